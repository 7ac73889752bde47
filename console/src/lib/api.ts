/**
 * Calls of the REST API, typed by its own description.
 *
 * Decides what a caller need not know: a read is tried again while its node is away, a change carries a key by which it
 * happens once however often it is sent, a session that ended is renewed by a new log-in without losing what was typed.
 */
import type { paths } from "./openapi";
import { language, t } from "./i18n.svelte";

type Method = "get" | "post" | "put" | "patch" | "delete";
type Of<M extends Method> = { [P in keyof paths]: paths[P] extends Record<M, { responses: unknown }> ? P : never }[keyof paths];
type Op<P extends keyof paths, M extends Method> = M extends keyof paths[P] ? paths[P][M] : never;
type Json<R> = R extends { content: { "application/json": infer T } } ? T : undefined;
type Answer<O> = O extends { responses: infer R }
  ? R extends { 200: infer A } ? Json<A> : R extends { 201: infer A } ? Json<A> : R extends { 202: infer A } ? Json<A> : undefined
  : never;
type Body<O> = O extends { requestBody?: { content: { "application/json": infer B } } | undefined } ? B : undefined;
type Params<O> = O extends { parameters: { path: infer P } } ? P : undefined;
type QueryOf<O> = O extends { parameters: { query?: infer Q } } ? Q : undefined;

interface Loose {
  path?: unknown;
  query?: unknown;
  body?: unknown;
  reason?: string;
  seen?: number;
  once?: boolean;
}

export interface Given<P extends keyof paths, M extends Method> {
  path?: Params<Op<P, M>>;
  query?: QueryOf<Op<P, M>>;
  body?: Body<Op<P, M>>;
  /** Why, for the record. */
  reason?: string;
  /** The revision that the form was filled from: where somebody has changed it since, nothing is changed (412). */
  seen?: number;
  /** Fail at once instead of trying again. */
  once?: boolean;
}

/** What an error says: its code, what happened, and the fix. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly fix: string,
    readonly requestId = "",
    readonly errors: { field: string; expected: string }[] = [],
    readonly retryAfterS = 0,
    /** Whether the page says it, in its own language, and not a node. */
    readonly isOwn = status === 0,
  ) {
    super(message);
  }
}

const PATIENCE_READ_MS = 20_000;
const PATIENCE_CHANGE_MS = 90_000;
const ANSWER_MS = 20_000;
const UNDER_WAY = "RPPAM-8802";
const NO_SUCH_PATH = "RPPAM-6003";
const NOTHING_THERE = "there is nothing at this path";
/** An act takes a second factor: of the vault, of requests, and the end of somebody's session. */
const PROVE = ["RPPAM-8409", "RPPAM-8508", "RPPAM-8628"];

/** What the page does when a session is over: shows the log-in above what is there; true once somebody is signed in. */
let renew: () => Promise<boolean> = async () => false;
let raise: () => Promise<Record<string, unknown> | undefined> = async () => undefined;
export function onExpired(ask: () => Promise<boolean>): void {
  renew = ask;
}
/** What the page does when an act takes a second factor that is given just now; answers what proves it, for the body. */
export function onStepUp(ask: () => Promise<Record<string, unknown> | undefined>): void {
  raise = ask;
}

const get = <P extends Of<"get">>(path: P, given: Given<P, "get"> = {}) => call("get", path, given) as Promise<Answer<Op<P, "get">>>;
const post = <P extends Of<"post">>(path: P, given: Given<P, "post"> = {}) => call("post", path, given) as Promise<Answer<Op<P, "post">>>;
const put = <P extends Of<"put">>(path: P, given: Given<P, "put"> = {}) => call("put", path, given) as Promise<Answer<Op<P, "put">>>;
const patch = <P extends Of<"patch">>(path: P, given: Given<P, "patch"> = {}) => call("patch", path, given) as Promise<Answer<Op<P, "patch">>>;
const del = <P extends Of<"delete">>(path: P, given: Given<P, "delete"> = {}) => call("delete", path, given) as Promise<Answer<Op<P, "delete">>>;
export const api = { get, post, put, patch, del };

async function call(method: Method, path: string, given: Loose): Promise<unknown> {
  const url = address(path, given.path as Record<string, unknown> | undefined, given.query as Record<string, unknown> | undefined);
  const headers: Record<string, string> = { "Accept-Language": language() };
  if (method !== "get") headers["Idempotency-Key"] = key();
  if (given.seen !== undefined) headers["If-Match"] = `"${given.seen}"`;
  if (given.reason) headers["Rppam-Reason"] = encodeURIComponent(given.reason);
  if (given.body !== undefined) headers["Content-Type"] = "application/json";
  let body = given.body === undefined ? undefined : JSON.stringify(given.body);
  let proven = false;
  const until = Date.now() + (given.once ? 0 : method === "get" ? PATIENCE_READ_MS : PATIENCE_CHANGE_MS);
  for (let tries = 0; ; tries++) {
    let problem: Problem;
    try {
      return await answer(await fetch(url, { method: method.toUpperCase(), headers, body, cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS) }));
    } catch (error) {
      problem = error instanceof Problem ? error : new Problem(0, "", t("No node answered."), t("It is tried again by itself; nothing you typed is lost."));
    }
    if (problem.status === 401 && !given.once && !path.startsWith("/api/v1/auth/")) {
      if (await renew()) continue;
      throw problem;
    }
    if (PROVE.includes(problem.code) && !proven && method !== "get") {
      const proof = await raise();
      if (!proof) throw problem;
      // The refusal was the answer to the old key; this is a new act.
      proven = true;
      headers["Idempotency-Key"] = key();
      headers["Content-Type"] = "application/json";
      body = JSON.stringify({ ...(given.body as Record<string, unknown> | undefined), ...proof });
      continue;
    }
    const passing = problem.status === 0 || problem.status === 502 || problem.status === 503 || problem.status === 504 || problem.status === 421 || problem.code === UNDER_WAY;
    if (!passing || Date.now() > until) throw problem;
    await new Promise((done) => setTimeout(done, problem.retryAfterS * 1000 || Math.min(2_000, 200 * 2 ** tries)));
  }
}

/** The lines of a long answer, each as it comes. Whether the last one was an end is for the caller to say. */
export async function lines(path: keyof paths, body: unknown, take: (line: unknown) => void, signal: AbortSignal): Promise<void> {
  const headers = { "Accept-Language": language(), "Content-Type": "application/json" };
  const wanted = { method: "POST", headers, body: JSON.stringify(body), cache: "no-store" as const, signal };
  const sent = (): Promise<Response> => fetch(path, wanted).catch(() => {
    throw new Problem(0, "", t("No node answered."), t("Try again."));
  });
  let found = await sent();
  if (found.status === 401 && (await renew())) found = await sent();
  if (!found.ok || !found.body) {
    await answer(found);
    return;
  }
  const reader = found.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read().catch(() => ({ done: true, value: undefined }));
    const parts = (rest + (value ?? "")).split("\n");
    rest = parts.pop()!;
    for (const part of parts) if (part) take(JSON.parse(part));
    if (done) return;
  }
}

function address(path: string, params?: Record<string, unknown>, query?: Record<string, unknown>): string {
  let url = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(params?.[name])));
  const wanted = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== "") wanted.set(name, String(value));
  }
  if (wanted.size) url += `?${wanted}`;
  return url;
}

async function answer(response: Response): Promise<unknown> {
  if (response.status === 204) return undefined;
  const text = await response.text();
  let value: Record<string, unknown> = {};
  try {
    value = JSON.parse(text) as Record<string, unknown>;
  } catch {
    if (response.ok) return text;
  }
  if (response.ok) return value;
  const word = (name: string) => (typeof value[name] === "string" ? (value[name] as string) : "");
  if (response.status === 404 && word("code") === NO_SUCH_PATH && word("detail") === NOTHING_THERE) {
    // This page asks for what its own release has, so the node has not been updated yet.
    throw new Problem(404, NO_SUCH_PATH, t("The node that answered runs an older release, which does not have this."), t("Update it; a node that runs the release of this page shows it."), word("requestId"), [], 0, true);
  }
  throw new Problem(
    response.status,
    word("code"),
    word("detail") || word("title") || `HTTP ${response.status}`,
    word("fix"),
    word("requestId"),
    (value.errors as Problem["errors"]) ?? [],
    Number(response.headers.get("Retry-After")) || 0,
  );
}

/** A name for one act. Not randomUUID(), which a browser has only over HTTPS. */
function key(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (one) => one.toString(16).padStart(2, "0")).join("");
}
