/** Adding an entry of the vault, changing what is known of it, and giving it a new secret: the questions for each. */
import { api } from "./api";
import { ask, tell, type Choice, type Field, type Values } from "./dialog.svelte";
import { secretFields, secretOf, TYPES } from "./files";
import { accounts, peopleWith } from "./find";
import { t } from "./i18n.svelte";
import { makeUpFields, rulesOf } from "./makeup";
import type { components } from "./openapi";
import { may, session } from "./session.svelte";
import { entryType } from "./words";

export type Entry = components["schemas"]["EntryShape"];

/** Whether the reader may. A node of the release before does not tell: then it is offered, and the node decides. */
export const mayDo = (one: Entry, right: string): boolean => (one.rights as string[] | null | undefined)?.includes(right) ?? true;

export const revealWord = (one: string): string => ({ never: t("Never: only used"), "with-reason": t("With a reason"), "with-approval": t("With an approved request") })[one] ?? one;
const REVEALS = ["never", "with-reason", "with-approval"];
const apart = (text: string): string[] => text.split(/[\s,]+/).filter(Boolean);

/** Who looks after it. Who may not look people up names oneself, or leaves it as it is. */
function owner(now?: Entry): Field {
  const field: Field = { name: "owner", label: t("Looked after by"), optional: true, value: now?.ownerId ?? "", hint: t("To be asked about it; it gives no right.") };
  const known: Choice[] = now?.ownerId ? [{ value: now.ownerId, label: now.ownerName ?? now.ownerId }] : [];
  if (may.seeSecurity) return { ...field, kind: "lookup", find: peopleWith(known) };
  const me = { value: session.me?.id ?? "", label: session.me?.username ?? "" };
  return { ...field, kind: "choice", choices: [...known, ...(me.value === now?.ownerId ? [] : [me])] };
}

/** What a node of the release before does not tell is not asked for: it is not sent either, and stays as it is. */
const about = (now?: Entry): Field[] => [
  { name: "description", label: t("Description"), optional: true, max: 500, value: now?.description ?? "" },
  ...(now && !now.tags ? [] : [{ name: "tags", label: t("Tags, separated by commas"), optional: true, max: 1000, value: now?.tags.join(", ") ?? "" }]),
  ...(now && now.ownerId === undefined ? [] : [owner(now)]),
];
const rules = (now?: Entry): Field[] => [
  { name: "reveal", label: t("Showing it"), kind: "choice", value: now?.reveal ?? "with-reason", choices: REVEALS.map((value) => ({ value, label: revealWord(value) })) },
  { name: "exclusive", label: t("One at a time"), kind: "check", value: now?.exclusive ?? false },
  { name: "rotateAfterUse", label: t("Change it after each check-out"), kind: "check", value: now?.rotateAfterUse ?? false },
  { name: "killOnCheckin", label: t("End its sessions when it is given back"), kind: "check", value: now?.killOnCheckin ?? false },
];
const put = (given: Values) => ({
  folder: given.folder, name: given.name, description: given.description, tags: given.tags === undefined ? undefined : apart(String(given.tags)), reveal: given.reveal,
  exclusive: given.exclusive, rotateAfterUse: given.rotateAfterUse, killOnCheckin: given.killOnCheckin,
});

export function addEntry(folder: string, done: () => void): void {
  ask({
    title: t("New entry"),
    fields: [
      { name: "folder", label: t("Folder"), value: folder, hint: "servers/linux", max: 256 },
      { name: "name", label: t("Name"), max: 128 },
      { name: "type", label: t("Kind"), kind: "choice", choices: TYPES.map((one) => ({ value: one, label: entryType(one) })), value: "password" },
      { name: "account", label: t("Of the account on a target"), kind: "lookup", find: accounts, optional: true },
      { name: "username", label: t("User name"), optional: true },
      ...makeUpFields(),
      ...secretFields(),
      ...about(),
      ...rules(),
    ],
    run: async (given) => {
      const fields = await secretOf(given.type, given);
      if (given.username) fields.username = given.username;
      const body = { ...put(given), type: given.type, fields, accountId: given.account || null, ownerId: given.owner || null, generate: rulesOf(given.type, given) };
      await api.post("/api/v1/vault/entries", { body: body as never });
      done();
    },
  });
}

export function changeEntry(one: Entry, done: () => void): void {
  ask({
    title: t("Change {0}", one.name), reason: true,
    fields: [{ name: "folder", label: t("Folder"), value: one.folder, max: 256 }, { name: "name", label: t("Name"), max: 128, value: one.name }, ...about(one), ...rules(one)],
    run: async (given, reason) => {
      await api.put("/api/v1/vault/entries/{entryId}", { path: { entryId: one.id }, body: { ...put(given), ownerId: given.owner } as never, seen: one.revision, reason });
      tell(t("Saved."));
      done();
    },
  });
}

export function renewEntry(one: Entry, done: () => void): void {
  const type = one.type;
  const named = type !== "file" && type !== "note" && type !== "certificate";
  // Its kind is known, and not asked for.
  const fixed = (field: Field): Field => ({ ...field, when: field.when && ((values) => field.when!({ ...values, type })), told: field.told && { ...field.told, of: (values) => field.told!.of({ ...values, type }) } });
  ask({
    title: t("A new version of {0}", one.name), text: t("The versions before it stay."),
    fields: [
      ...[...makeUpFields(), ...secretFields()].map(fixed),
      ...(named ? [{ name: "username", label: t("User name"), optional: true, hint: t("Of a secret that is typed; one that is made up keeps the one that is there."), when: (values: Values) => !rulesOf(type, values) }] : []),
    ],
    run: async (given) => {
      const generate = rulesOf(type, given);
      const fields = await secretOf(type, given);
      if (given.username) fields.username = given.username;
      await api.put("/api/v1/vault/entries/{entryId}", { path: { entryId: one.id }, body: { ...(generate && !Object.keys(fields).length ? {} : { fields }), ...(generate ? { generate } : {}) } as never, seen: one.revision });
      tell(t("{0} has a new version.", one.name));
      done();
    },
  });
}
