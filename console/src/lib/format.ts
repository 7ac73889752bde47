/** Times and numbers as people read them: in their own zone, with UTC to be seen on demand. */
import { language } from "./i18n.svelte";

/** The reader's own region, where it speaks the chosen language: an English reader in Europe expects no AM and PM. */
const region = (): string => navigator.languages.find((one) => one.split("-")[0] === language()) ?? language();

export function when(iso: string | null | undefined): string {
  if (!iso) return "–";
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return iso;
  return new Intl.DateTimeFormat(region(), { dateStyle: "medium", timeStyle: "medium" }).format(at);
}

export function utc(iso: string | null | undefined): string {
  return iso ? `${iso.replace("T", " ").replace(/(\.\d+)?Z$/, "")} UTC` : "";
}

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]];

/** "3 minutes ago", by the server's clock and not by the browser's. */
export function ago(iso: string | null | undefined, now: number): string {
  if (!iso) return "–";
  const seconds = (new Date(iso).getTime() - now) / 1000;
  const [unit, size] = STEPS.find(([, one]) => Math.abs(seconds) >= one) ?? STEPS[3]!;
  return new Intl.RelativeTimeFormat(language(), { numeric: "auto" }).format(Math.round(seconds / size), unit);
}

export function ms(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  return value < 1_000 ? `${value} ms` : `${new Intl.NumberFormat(region(), { maximumFractionDigits: 1 }).format(value / 1000)} s`;
}

export const count = (value: number): string => new Intl.NumberFormat(region()).format(value);
