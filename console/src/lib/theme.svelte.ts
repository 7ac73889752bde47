/** Dark or light: as the system says, unless somebody chose. */
import { keep, read } from "./i18n.svelte";

export type Theme = "system" | "light" | "dark";
const KEPT = "rppam.theme";
const kept = read(KEPT);
export const theme = $state({ chosen: (kept === "light" || kept === "dark" ? kept : "system") as Theme });

export function paint(chosen: Theme): void {
  theme.chosen = chosen;
  keep(KEPT, chosen);
  if (chosen === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
}
paint(theme.chosen);
