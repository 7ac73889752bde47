/** Who is signed in, and what they may. The page hides what a role may not do; the server decides. */
import { api, Problem } from "./api";
import { forgetHunt } from "./hunt.svelte";
import { deafen, listen } from "./live.svelte";
import { leaveAll } from "./shells.svelte";
import type { components } from "./openapi";

export type Account = components["schemas"]["UserShape"];

export const session = $state({
  me: undefined as Account | undefined,
  known: false,
  /** The log-in is shown above the page, as the session ended while it was open. */
  expired: false,
});

const has = (...roles: string[]): boolean => roles.some((role) => session.me?.roles.includes(role as never));
export const may = {
  get administrate() { return has("pam_admin"); },
  get see() { return has("pam_admin", "pam_auditor"); },
  get audit() { return has("pam_admin", "pam_auditor"); },
  get secure() { return has("pam_admin", "security_admin"); },
  get seeSecurity() { return has("pam_admin", "security_admin", "pam_auditor"); },
  get approve() { return has("pam_admin", "pam_approver"); },
};

/** All tabs of a browser are one log-in: what one does, the others hear. */
const tabs = new BroadcastChannel("rppam.session");
tabs.onmessage = ({ data }: MessageEvent<string>) => {
  if (!session.known) return;
  if (data && data === session.me?.id) {
    // The same person signed in again in another tab.
    session.expired = false;
    for (const done of waiting.splice(0)) done(true);
    listen();
  } else if (data || session.me) location.reload();
};
/** A tab that slept may wake under somebody else's log-in, or none. */
document.addEventListener("visibilitychange", () => {
  if (document.hidden || !session.me || session.expired) return;
  const mine = session.me.id;
  api.get("/api/v1/users/me", { once: true }).then(
    (now) => now.id === mine || location.reload(),
    (error: unknown) => error instanceof Problem && error.status === 401 && void askToSignIn(),
  );
});

let timer: ReturnType<typeof setTimeout> | undefined;
let waiting: ((signedIn: boolean) => void)[] = [];

/** Learn who is signed in, if anybody. */
export async function begin(): Promise<void> {
  try {
    session.me = await api.get("/api/v1/users/me", { once: true });
    await renewSoon();
    listen();
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 401) throw error;
    session.me = undefined;
  } finally {
    session.known = true;
  }
}

/** A log-in is complete. */
export async function signedIn(): Promise<void> {
  const before = session.me?.id;
  session.me = await api.get("/api/v1/users/me");
  session.known = true;
  session.expired = false;
  if (before && before !== session.me.id) {
    // Somebody else: what is on the page is not theirs.
    location.reload();
    return;
  }
  tabs.postMessage(session.me.id);
  await renewSoon();
  listen();
  for (const done of waiting.splice(0)) done(true);
}

export async function signOut(): Promise<void> {
  clearTimeout(timer);
  try {
    await api.post("/api/v1/auth/logout", { once: true });
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 401) throw error;
  }
  tabs.postMessage("");
  deafen();
  leaveAll();
  forgetHunt();
  session.me = undefined;
  location.hash = "#/";
}

/** Show the log-in above the page, and wait for it. */
export function askToSignIn(): Promise<boolean> {
  if (!session.me) return Promise.resolve(false);
  session.expired = true;
  return new Promise((done) => waiting.push(done));
}

export function giveUp(): void {
  session.expired = false;
  session.me = undefined;
  deafen();
  leaveAll();
  forgetHunt();
  for (const done of waiting.splice(0)) done(false);
}

/** A newer token well before this one expires, for as long as the session may last. */
async function renewSoon(): Promise<void> {
  clearTimeout(timer);
  try {
    const { expiresAt } = await api.post("/api/v1/auth/refresh", { once: true });
    const left = new Date(expiresAt).getTime() - Date.now();
    // By half of the time that is left: a browser's clock may be wrong, and a tab may sleep.
    timer = setTimeout(() => void renewSoon(), Math.min(Math.max(left / 2, 20_000), 240_000));
  } catch (error) {
    timer = setTimeout(() => void renewSoon(), error instanceof Problem && error.status === 0 ? 5_000 : 60_000);
  }
}
