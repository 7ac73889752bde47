/**
 * Secrets that the vault makes up: which rules are asked for, by the kind of the entry, and how hard they are to guess.
 *
 * The node decides what may be made up for which kind, and counts the bits; here it is only asked.
 */
import { api } from "./api";
import type { Field, Values } from "./dialog.svelte";
import { count } from "./format";
import { t } from "./i18n.svelte";
import type { components } from "./openapi";

type Rules = components["schemas"]["MakeUp"];

/** Of these a password is made up where nothing else is asked for, so that nobody knows it. */
export const PASSWORDS = ["password", "database", "ldap"];
/** Of these it is typed where nothing else is asked for: it comes from elsewhere, or locks a key that does. */
const TYPED = ["ssh-key", "api-token"];
/** As long as the longest that is made up of itself, for a kind whose own rule is words. */
const LENGTH = 24;
const WORDS = 6;

/** How the secret of what is being filled in comes to be. */
export function how(values: Values): "given" | "characters" | "words" {
  const type = String(values.type);
  if (PASSWORDS.includes(type)) return values.made || "characters";
  return TYPED.includes(type) ? values.typed || "given" : "given";
}
const is = (wanted: "characters" | "words") => (values: Values): boolean => how(values) === wanted;
const isMade = (values: Values): boolean => how(values) !== "given";

export function makeUpFields(): Field[] {
  const choices = [
    { value: "characters", label: t("Made up of characters: nobody knows it") },
    { value: "words", label: t("Made up of words: can be typed and remembered") },
    { value: "given", label: t("Typed here") },
  ];
  const label = t("Where the secret comes from");
  return [
    { name: "made", label, kind: "choice", choices, value: "characters", when: (values) => PASSWORDS.includes(values.type) },
    { name: "typed", label, kind: "choice", choices: [choices[2]!, choices[1]!, choices[0]!], value: "given", when: (values) => values.type === "api-token" },
    { name: "typed", label: t("Where its passphrase comes from"), kind: "choice", choices: [choices[2]!, choices[1]!, choices[0]!], value: "given", when: (values) => values.type === "ssh-key" },
    { name: "length", label: t("How many characters"), kind: "number", optional: true, min: 1, max: 256, hint: t("Left empty: 24, and 40 of an API token."), when: is("characters") },
    {
      name: "classes", label: t("Which characters"), kind: "choice", value: "own", when: is("characters"),
      choices: [{ value: "own", label: t("As fits its kind") }, { value: "lower,upper,digits,symbols", label: t("Letters, digits and symbols") }, { value: "lower,upper,digits", label: t("Letters and digits") }, { value: "digits", label: t("Digits alone") }],
    },
    { name: "words", label: t("How many words"), kind: "number", min: 3, max: 20, value: WORDS, when: is("words") },
    {
      name: "separator", label: t("Between the words"), kind: "choice", value: "-", when: is("words"),
      choices: [...["-", "_", ".", ",", "+", "=", "/", "~"].map((one) => ({ value: one, label: one })), { value: " ", label: t("a blank") }],
    },
    { name: "capitals", label: t("Begin each word with a capital"), kind: "check", when: is("words") },
    { name: "digit", label: t("End one of the words with a digit"), kind: "check", when: is("words") },
    { name: "without", label: t("Never these characters"), optional: true, max: 64, hint: t("Those that the target refuses."), when: isMade },
    { name: "bits", label: t("How hard it is to guess"), kind: "told", told: { of: asked, say: bits }, when: isMade },
  ];
}

/** The rules for an entry of this type; nothing where its secret is typed. */
export function rulesOf(type: string, values: Values): Omit<Rules, "type"> | null {
  const wanted = how({ ...values, type });
  const without = String(values.without ?? "");
  if (wanted === "words") return { words: number(values.words), separator: String(values.separator), capitals: Boolean(values.capitals), digit: Boolean(values.digit), without } as Rules;
  if (wanted === "given") return null;
  const classes = values.classes && values.classes !== "own" ? String(values.classes).split(",") : null;
  return { length: number(values.length) ?? (type === "ssh-key" ? LENGTH : null), classes, without } as Rules;
}

const number = (value: unknown): number | null => (value === "" || value === null || value === undefined ? null : Number(value));
const asked = (values: Values): unknown => ({ ...rulesOf(String(values.type), values), type: values.type });

/** The node makes one up, which nobody sees, and says how many bits of chance are in it. */
async function bits(rules: unknown): Promise<string> {
  const made = await api.post("/api/v1/vault/generate", { body: rules as Rules, once: true });
  if (made.entropyBits === undefined) return ""; // a node of the release before does not count them
  return t("{0} bits: one of 2 to the power of {0}, each as likely as any other.", count(made.entropyBits));
}
