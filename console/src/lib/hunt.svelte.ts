/**
 * The search of what was said in sessions: its answer comes line by line while the server opens recording after recording.
 *
 * It stays while one looks at a hit and comes back, and goes with the log-in.
 */
import { lines, Problem } from "./api";
import { t } from "./i18n.svelte";
import { asProblem } from "./resource.svelte";

export interface Found {
  recording: string;
  startedAt: string;
  user: string;
  account: string;
  target: string;
  hits: { atMs: number; line: string }[];
  /** How many lines have it, where more do than are shown. */
  lines: number;
  /** Why it could not be read to its end. */
  problem: string;
}

interface Line extends Partial<Omit<Found, "hits">> {
  atMs?: number;
  line?: string;
  searched?: number;
  over?: boolean;
}

const fresh = () => ({ text: "", user: "", target: "", asked: "", found: [] as Found[], searched: 0, standing: "" as "" | "runs" | "over" | "stopped", problem: undefined as Problem | undefined });
export const hunt = $state(fresh());
let running: AbortController | undefined;

/** Look for what is typed; what was found before is gone. */
export async function look(): Promise<void> {
  stop();
  const mine = (running = new AbortController());
  Object.assign(hunt, { ...fresh(), text: hunt.text, user: hunt.user, target: hunt.target, asked: hunt.text, standing: "runs" });
  try {
    await lines("/api/v1/recordings/search", { text: hunt.text, user: hunt.user.trim(), target: hunt.target.trim() }, (one) => running === mine && take(one as Line), mine.signal);
    if (running === mine && hunt.standing === "runs") throw new Problem(0, "", t("The answer broke off: not all recordings were searched."), t("Search again."));
  } catch (error) {
    if (running !== mine) return;
    hunt.standing = "stopped";
    hunt.problem = asProblem(error);
  }
}

export function stop(): void {
  running?.abort();
  running = undefined;
  if (hunt.standing === "runs") hunt.standing = "stopped";
}

/** Nothing of it is left for whoever signs in next. */
export function forgetHunt(): void {
  stop();
  Object.assign(hunt, fresh());
}

function take(one: Line): void {
  if (one.searched !== undefined) hunt.searched = one.searched;
  if (one.over) hunt.standing = "over";
  if (!one.recording) return;
  let place = hunt.found.find((known) => known.recording === one.recording);
  if (!place) {
    hunt.found.push({ recording: one.recording, startedAt: one.startedAt ?? "", user: one.user ?? "", account: one.account ?? "", target: one.target ?? "", hits: [], lines: 0, problem: "" });
    place = hunt.found.at(-1)!;
  }
  if (one.line !== undefined) place.hits.push({ atMs: one.atMs ?? 0, line: one.line });
  if (one.lines) place.lines = one.lines;
  if (one.problem) place.problem = one.problem;
}
