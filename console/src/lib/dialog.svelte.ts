/**
 * Questions that stand above the page: forms, confirmations, and short words of success.
 *
 * Where the keyboard was when the first of them opened, there it is again when the last one is closed; where that is
 * gone, at the beginning of the page.
 */
import { tick } from "svelte";
import { t } from "./i18n.svelte";

export interface Choice {
  value: string;
  label: string;
}

export interface Field {
  name: string;
  label: string;
  kind?: "text" | "password" | "number" | "area" | "check" | "choice" | "many" | "code" | "date" | "lookup" | "file" | "told";
  choices?: Choice[];
  /** For a lookup: some of what matches. */
  find?: (text: string) => Promise<Choice[]>;
  value?: unknown;
  hint?: string;
  optional?: boolean;
  /** Of a number. */
  min?: number;
  /** Of a number; of a text its length. */
  max?: number;
  /** Of what is told, not asked for: what of the values it depends on, and the sentence for that. */
  told?: { of: (values: Values) => unknown; say: (of: unknown) => Promise<string> };
  /** Whether it is asked for, by what has been chosen so far. */
  when?: (values: Values) => boolean;
}

/** What was typed, by the field's name; the server checks it. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Values = { [name: string]: any };

export interface Question {
  title: string;
  text?: string;
  /** What a phone's camera shall read. */
  scan?: string;
  fields?: Field[];
  confirm?: string;
  /** It takes something away or interrupts somebody. */
  grave?: boolean;
  /** Why, for the record: asked for where it is grave. */
  reason?: boolean;
  cancelled?: () => void;
  /** Another way to answer, which needs no field. */
  other?: { label: string; run: () => Promise<unknown> };
  run: (values: Values, reason: string) => Promise<unknown>;
}

export const dialogs = $state({ open: undefined as Question | undefined, above: undefined as Question | undefined, secret: undefined as { title: string; text: string; lines: string[] } | undefined });
export const toasts = $state<{ id: number; text: string }[]>([]);

let came: HTMLElement | undefined;

/** Show a dialog above all that is there. */
export async function show(box: () => HTMLDialogElement | undefined): Promise<void> {
  if (!document.querySelector("dialog[open]")) {
    const now = document.activeElement;
    came = now instanceof HTMLElement && now !== document.body ? now : undefined;
  }
  await tick();
  box()?.showModal();
}

/** A dialog is gone. */
export async function shut(): Promise<void> {
  await tick();
  if (document.querySelector("dialog[open]")) return;
  const back = came?.isConnected && !(came as HTMLButtonElement).disabled ? came : document.getElementById("main");
  came = undefined;
  back?.focus();
}

let next = 0;
const TOAST_MS = 6_000;

export function ask(question: Question): void {
  dialogs.open = { reason: question.grave, ...question };
}

/** For what changes how one signs in: the password, which the server asks for where the session is not new. */
export const owner = (): Field => ({
  name: "currentPassword", label: t("Current password"), kind: "password", optional: true, hint: t("Needed where you signed in more than ten minutes ago."),
});

/** Shown once: a password or codes that nobody can ask for again. */
export function showSecret(title: string, lines: string[], text = t("It is shown only now. Keep it where it belongs.")): void {
  dialogs.secret = { title, text, lines };
}

export function tell(text: string): void {
  const id = next++;
  toasts.push({ id, text });
  setTimeout(() => toasts.splice(toasts.findIndex((one) => one.id === id), 1), TOAST_MS);
}
