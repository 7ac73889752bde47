/** A fresh second factor, asked for when the server wants one for what was just tried. */
import { api, type Problem } from "./api";
import { dialogs } from "./dialog.svelte";
import { t } from "./i18n.svelte";

export function stepUp(problem: Problem): Promise<boolean> {
  return new Promise((done) => {
    dialogs.above = {
      title: t("Confirm that it is you"),
      text: problem.message,
      fields: [{ name: "code", label: t("Code from your authenticator, or a backup code"), kind: "code" }],
      confirm: t("Confirm"),
      cancelled: () => done(false),
      run: async ({ code }) => {
        await api.post("/api/v1/auth/mfa/stepup", { body: { code }, once: true });
        done(true);
      },
    };
  });
}
