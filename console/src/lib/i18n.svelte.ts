/** Words: English in the source, German in the one catalogue beside it. What the server says stays as it says it. */
import { german } from "./german";

export type Language = "en" | "de";
const KEPT = "rppam.language";

function first(): Language {
  const kept = read(KEPT);
  if (kept === "en" || kept === "de") return kept;
  return navigator.language.toLowerCase().startsWith("de") ? "de" : "en";
}

const state = $state({ language: first() });

export const language = (): Language => state.language;
export function speak(chosen: Language): void {
  state.language = chosen;
  keep(KEPT, chosen);
  document.documentElement.lang = chosen;
}
document.documentElement.lang = state.language;

/** `text` in the chosen language, with `{0}`, `{1}` ... replaced. */
export function t(text: string, ...values: (string | number)[]): string {
  const found = state.language === "de" ? (german[text] ?? text) : text;
  return values.length ? found.replace(/\{(\d)\}/g, (whole, n: string) => String(values[Number(n)] ?? whole)) : found;
}

/** What this browser remembers for this person: no secret, and nothing that must be there. */
export function read(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}
export function keep(name: string, value: string): void {
  try {
    localStorage.setItem(name, value);
  } catch {
    // Private windows may have no place for it.
  }
}
