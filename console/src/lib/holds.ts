/** Keeping a recording whatever its age, and no longer: the questions that the list and the player ask alike. */
import { api } from "./api";
import { ask, tell } from "./dialog.svelte";
import { t } from "./i18n.svelte";
import type { components } from "./openapi";

export type Recording = components["schemas"]["RecordingShape"];

const what = (one: Recording): string => `${one.user} → ${one.account}@${one.target}`;

export function holdIt(one: Recording, done: (now: Recording) => void): void {
  ask({
    title: t("Hold the recording {0}", what(one)), text: t("It is not deleted, however old it is, until the hold is lifted."), reason: true, confirm: t("Hold"),
    run: async (_, reason) => {
      done(await api.post("/api/v1/recordings/{recordingId}/hold", { path: { recordingId: one.id }, body: { reason }, reason }));
      tell(t("The recording is held."));
    },
  });
}

export function releaseIt(one: Recording, done: (now: Recording) => void): void {
  ask({
    title: t("Lift the hold of {0}", what(one)), text: t("Held for: {0}. Where its time is over, it is deleted within minutes.", one.hold), grave: true, confirm: t("Lift the hold"),
    run: async (_, reason) => {
      done(await api.post("/api/v1/recordings/{recordingId}/release", { path: { recordingId: one.id }, body: { reason }, reason }));
      tell(t("The hold is lifted."));
    },
  });
}
