/** Files in the vault: what a form asks for each kind of entry, bytes as base64 on their way in, and out as a download. */
import { Problem } from "./api";
import type { Field, Values } from "./dialog.svelte";
import { count } from "./format";
import { t } from "./i18n.svelte";
import { how, PASSWORDS } from "./makeup";

/** Kinds of entries, in the order of the form. */
export const TYPES = ["password", "ssh-key", "ssh-ca-account", "database", "ldap", "api-token", "certificate", "totp-seed", "note", "file"];
/** What one field of the vault takes. */
const BYTES_MAX = 1024 * 1024;
const BINARY: Record<string, string[]> = { file: ["content"], certificate: ["pfx"] };
const LINES: Record<string, string> = { "ssh-key": "privateKey", note: "text", certificate: "certificate" };
const WORDS: Record<string, string> = { "api-token": "token", "totp-seed": "seed" };
/** Under this name the file's own name is kept beside its content. */
const NAME = "fileName";

const of = (...types: string[]) => (values: Values): boolean => types.includes(values.type as string);
const isGiven = (...types: string[]) => (values: Values): boolean => types.includes(values.type as string) && how(values) === "given";

/** The secret of an entry, as its kind needs it. */
export function secretFields(): Field[] {
  return [
    { name: "secret", label: t("Secret"), kind: "password", max: 20000, when: isGiven(...PASSWORDS) },
    { name: "word", label: t("Secret"), kind: "password", max: 20000, when: isGiven(...Object.keys(WORDS)) },
    { name: "lines", label: t("Private key"), kind: "area", max: 20000, when: of("ssh-key") },
    { name: "lines", label: t("Text"), kind: "area", max: 20000, when: of("note") },
    { name: "lines", label: t("Certificate as PEM"), kind: "area", optional: true, max: 100000, when: of("certificate") },
    { name: "file", label: t("PFX file"), kind: "file", optional: true, hint: limit(), when: of("certificate") },
    { name: "file", label: t("File"), kind: "file", hint: limit(), when: of("file") },
    { name: "passphrase", label: t("Passphrase"), kind: "password", optional: true, when: isGiven("ssh-key", "certificate") },
  ];
}

const limit = (): string => t("At most {0} bytes; bytes stay as they are.", count(BYTES_MAX));

/** What the vault keeps of what was given for an entry of `type`; what is to be made up is not in it. */
export async function secretOf(type: string, given: Values): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  const typed = how({ ...given, type }) === "given";
  if (PASSWORDS.includes(type) && typed) found.password = given.secret;
  if (WORDS[type] && typed) found[WORDS[type]] = given.word;
  if (LINES[type] && given.lines) found[LINES[type]] = given.lines;
  if (BINARY[type] && given.file) {
    found[BINARY[type][0]!] = await base64(given.file as File);
    if (type === "file") found[NAME] = (given.file as File).name.slice(0, 255);
  }
  if ((type === "ssh-key" || type === "certificate") && typed && given.passphrase) found.passphrase = given.passphrase;
  return found;
}

/** What a field of a shown secret holds, where it holds bytes. */
export function bytesOf(type: string, field: string, value: string): Uint8Array<ArrayBuffer> | undefined {
  if (!BINARY[type]?.includes(field)) return undefined;
  try {
    return Uint8Array.from(atob(value), (one) => one.charCodeAt(0));
  } catch {
    return undefined; // An earlier release has kept it as text.
  }
}

/** Under which name a shown file is saved. */
export function nameOf(entry: string, type: string, fields: [string, string][]): string {
  const kept = fields.find(([name]) => name === NAME)?.[1];
  return kept || (type === "certificate" ? `${entry}.pfx` : entry);
}

export function save(name: string, content: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

async function base64(file: File): Promise<string> {
  if (file.size > BYTES_MAX) {
    throw new Problem(0, "", t("{0} has {1} bytes; the vault takes files of at most {2}.", file.name, count(file.size), count(BYTES_MAX)), t("Choose a smaller file, or keep it elsewhere, encrypted, and its key here."));
  }
  if (!file.size) throw new Problem(0, "", t("{0} is empty.", file.name), t("Choose a file with something in it."));
  const bytes = await file.arrayBuffer().catch(() => {
    throw new Problem(0, "", t("{0} cannot be read.", file.name), t("It may have been changed or moved since it was chosen: choose it again."));
  });
  let text = "";
  // In parts, as a call takes so many arguments and no more.
  for (let at = 0; at < bytes.byteLength; at += 8_192) text += String.fromCharCode(...new Uint8Array(bytes, at, Math.min(8_192, bytes.byteLength - at)));
  return btoa(text);
}
