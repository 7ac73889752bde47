// Findings of the doctor, and which of them count: an error always does, and what nobody has acknowledged.

export interface Finding {
  code: string;
  severity: string;
  what: string;
  evidence: string;
  fix: string;
  acknowledged?: { by: string; reason: string; until: string } | null;
}

export const counts = (one: Finding): boolean => !one.acknowledged || one.severity === "error";
