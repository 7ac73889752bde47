/** What the page knows of the cluster right now, and how old that is. */
import { Feed, type Said } from "./feed";
import type { Finding } from "./findings";

export interface Cluster {
  clusterId: string;
  answeredBy: string;
  leader: { leaderNode: string | null; epoch: number; noLeaderReason: string };
  members: Record<string, { nodeName: string; role: string; status: string | null; redisConnected: boolean; version: string }>;
  cluster: { clusterHealthy: boolean; quorumMet: boolean; quorumReason: string; redisConnected: boolean; redisReason: string; paused: boolean; warnings: string[] };
  findings: Finding[];
  time: string;
}

export interface Changed {
  position: number;
  kind: string;
  action?: string;
  id?: string;
}

export const live = $state({
  connected: false,
  /** When something was last heard, by this browser's clock. */
  heard: 0,
  /** How far the cluster's clock is ahead of this browser's. */
  ahead: 0,
  now: Date.now(),
  node: "",
  cluster: undefined as Cluster | undefined,
  newer: false,
  /** How many changes have been heard of, for those who count them. */
  changes: 0,
});

/** The cluster's time, as far as this browser can tell. */
export const clusterNow = (): number => live.now + live.ahead;

const listeners = new Set<(kind: string) => void>();
const seen = new Set<number>();
const SEEN_MAX = 2_000;
const build = document.querySelector<HTMLMetaElement>("meta[name=rppam-build]")?.content ?? "";

/** Be told of the kinds of things that changed; `""` after a gap, when anything may have. */
export function onChange(listener: (kind: string) => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function take(said: Said): void {
  if (said.type === "lost" || said.type === "end") {
    live.connected = false;
    return; // which is nothing that was heard: what is shown gets older with each try
  }
  live.heard = Date.now();
  if (said.type === "hello") {
    const hello = said.data as { time: string; node: string; build: string; gap: boolean };
    live.ahead = new Date(hello.time).getTime() - Date.now();
    live.node = hello.node;
    live.newer = hello.build !== build;
    live.connected = true;
    if (hello.gap) for (const listener of listeners) listener("");
  } else if (said.type === "cluster") {
    live.cluster = said.data as Cluster;
  } else if (said.type === "changed") {
    const changed = said.data as Changed;
    if (seen.has(changed.position)) return;
    seen.add(changed.position);
    if (seen.size > SEEN_MAX) seen.delete(seen.values().next().value!);
    live.changes += 1;
    for (const listener of listeners) listener(changed.kind);
  }
}

let leave: (() => void) | undefined;

/** Begin to listen; a second call begins again, as somebody else may be signed in now. */
export function listen(): void {
  leave?.();
  const script = document.querySelector<HTMLScriptElement>("script[data-worker]");
  if (typeof SharedWorker !== "undefined" && script?.dataset.worker) {
    const worker = new SharedWorker(trusted(script.dataset.worker), { type: "module", name: build });
    worker.port.onmessage = ({ data }: MessageEvent<Said>) => take(data);
    worker.port.postMessage(live.heard ? "again" : "join");
    leave = () => {
      worker.port.postMessage("leave");
      worker.port.onmessage = null;
    };
  } else {
    const feed = new Feed(take);
    feed.open();
    leave = () => feed.close();
  }
}

export function deafen(): void {
  leave?.();
  leave = undefined;
  live.connected = false;
  live.cluster = undefined;
}

addEventListener("pagehide", () => leave?.());
setInterval(() => (live.now = Date.now()), 1_000);

interface Policies {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): unknown };
}

/** The page's own file as a script's address, which the Content-Security-Policy lets only a named policy make. */
function trusted(url: string): string {
  const policies = (globalThis as { trustedTypes?: Policies }).trustedTypes;
  if (!policies) return url;
  policy ??= policies.createPolicy("rppam-console", {
    createScriptURL: (one) => {
      if (!/^\/static\/console\/[0-9a-f]{16}\/worker\.js$/.test(one)) throw new TypeError(`no script of the console: ${one}`);
      return one;
    },
  });
  return policy.createScriptURL(url) as string;
}
let policy: ReturnType<Policies["createPolicy"]> | undefined;
