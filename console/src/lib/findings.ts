// Findings of the doctor, and which of them count: an error always does, a note never, and of warnings those that nobody
// has acknowledged.

export interface Finding {
  code: string;
  severity: string;
  what: string;
  evidence: string;
  fix: string;
  acknowledged?: { by: string; reason: string; until: string } | null;
}

export const counts = (one: Finding): boolean => one.severity === "error" || (one.severity !== "note" && !one.acknowledged);
