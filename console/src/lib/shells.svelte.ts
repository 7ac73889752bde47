/**
 * Terminals that are open in this tab. They outlive the page that shows them, the node that carries them, and a log-in.
 *
 * Every byte is shown once and typed once: both directions count, and a new WebSocket goes on from what this one has.
 */
import { api, Problem } from "./api";
import { t } from "./i18n.svelte";
import type { Screen } from "./screen";

type State = "opening" | "live" | "lost" | "over";
interface Message { type: string; offset?: number; typed?: number; text?: string; code?: string; again?: boolean; status?: number | null; signal?: string | null; kept?: boolean; recorded?: boolean; target?: string; account?: string }

/** Nothing at all for longer: the node is gone, whatever its connection says. */
const SILENCE_MS = 10_000;
const ALIVE_MS = 60_000;
const PAUSE_MS = 300;
const PAUSE_MAX_MS = 3_000;
const PART_BYTES = 16_384;
/** So much typing is on its way at most. */
const WINDOW_BYTES = 131_072;
const ACK_BYTES = 65_536;
const ACK_MS = 250;
/** What may be typed ahead while nobody takes it. */
const AHEAD_BYTES = 65_536;

export class Shell {
  state = $state<State>("opening");
  title = $state("");
  /** Why it ended, or what the node says. */
  said = $state("");
  recorded = $state(false);
  kept = $state(true);
  lostAt = $state(0);
  screen: Screen | undefined;
  target = $state("");
  account = $state("");

  private socket: WebSocket | undefined;
  private heard = 0;
  private tries = 0;
  private again: ReturnType<typeof setTimeout> | undefined;
  private watch: ReturnType<typeof setInterval>;
  private acking: ReturnType<typeof setTimeout> | undefined;
  /** Output: everything before it has been written to the screen, shown by it, and told to the node. */
  private had: number | undefined;
  private shown = 0;
  private acked = 0;
  /** Typing: what the node has not taken, and where in all that was ever typed it begins; what of it is on its way. */
  private waiting = new Uint8Array(0);
  private taken = 0;
  private sent = 0;
  private said_alive = Date.now();

  constructor(readonly id: string, target: string, account: string) {
    this.target = target;
    this.account = account;
    this.watch = setInterval(() => this.look(), 1_000);
  }

  get name(): string {
    return `${this.account}@${this.target}`;
  }

  /** With a screen it can begin: the size has to be known. */
  show(screen: Screen): void {
    this.screen = screen;
    screen.onData((text) => this.type(text));
    screen.onResize((columns, rows) => this.tell({ type: "resize", columns, rows }));
    screen.onTitle((title) => (this.title = title.slice(0, 80)));
    this.connect();
  }

  type(text: string): void {
    if (this.state === "over") return;
    const more = new TextEncoder().encode(text);
    if (this.state !== "live" && this.waiting.length + more.length > AHEAD_BYTES) return;
    const all = new Uint8Array(this.waiting.length + more.length);
    all.set(this.waiting);
    all.set(more, this.waiting.length);
    this.waiting = all;
    this.pump();
  }

  /** End the shell, and forget it here. */
  close(): void {
    this.tell({ type: "close" });
    // Where nobody hears it, the register does.
    if (this.state === "lost") void api.post("/api/v1/access/sessions/{accessId}/kill", { path: { accessId: this.id }, body: { reason: "closed by its user" } }).catch(() => undefined);
    this.over("");
    this.drop();
  }

  /** Forget it here; the shell goes on. */
  drop(): void {
    clearInterval(this.watch);
    clearTimeout(this.again);
    clearTimeout(this.acking);
    const socket = this.socket;
    this.socket = undefined;
    setTimeout(() => socket?.close(), 200);
    this.screen?.close();
    this.screen = undefined;
  }

  private connect(): void {
    clearTimeout(this.again);
    this.heard = Date.now();
    const size = this.screen!.size();
    const query = new URLSearchParams({ columns: String(size.columns), rows: String(size.rows) });
    if (this.had !== undefined) query.set("off", String(this.had));
    const where = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/v1/access/terminals/${encodeURIComponent(this.id)}?${query}`;
    const socket = (this.socket = new WebSocket(where));
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      if (socket !== this.socket) return;
      this.heard = Date.now();
      if (typeof data === "string") this.hear(JSON.parse(data) as Message);
      else this.take(new DataView(data));
    };
    socket.onclose = () => socket === this.socket && this.lose();
  }

  private hear(one: Message): void {
    if (one.type === "hello") {
      this.recorded = one.recorded ?? false;
      this.kept = one.kept ?? false;
      if (this.had === undefined) this.shown = this.acked = one.offset ?? 0;
      this.had = one.offset ?? 0;
      this.took(one.typed ?? 0);
      this.sent = this.taken;
      this.state = "live";
      this.tries = 0;
      this.said = this.kept ? "" : t("This shell ends with its connection: the target keeps none.");
      this.pump();
    } else if (one.type === "typed") {
      this.took(one.offset ?? 0);
      this.pump();
    } else if (one.type === "notice") {
      this.said = one.text ?? "";
    } else if (one.type === "exit") {
      this.over(one.signal ? t("The shell has ended by the signal {0}.", one.signal) : t("The shell has ended with status {0}.", one.status ?? 0));
    } else if (one.type === "end" && !one.again) {
      const text = one.text ?? "";
      this.over(!one.code || text.includes(one.code) ? text : `${text} (${one.code})`);
    } else if (one.type === "end") {
      this.said = one.text ?? "";
    }
  }

  private take(view: DataView): void {
    const offset = Number(view.getBigUint64(0));
    const skip = Math.max(0, (this.had ?? offset) - offset);
    const bytes = new Uint8Array(view.buffer, 8).subarray(skip);
    if (!bytes.length) return;
    const end = offset + skip + bytes.length;
    this.had = end;
    this.screen?.write(bytes, () => {
      this.shown = end;
      if (this.shown - this.acked >= ACK_BYTES) this.ack();
      else this.acking ??= setTimeout(() => this.ack(), ACK_MS);
    });
  }

  private ack(): void {
    clearTimeout(this.acking);
    this.acking = undefined;
    this.acked = this.shown;
    this.tell({ type: "ack", offset: this.shown });
  }

  private took(offset: number): void {
    if (offset <= this.taken) return;
    this.waiting = this.waiting.slice(offset - this.taken);
    this.taken = offset;
    this.sent = Math.max(this.sent, offset);
  }

  private pump(): void {
    while (this.state === "live" && this.socket?.readyState === WebSocket.OPEN) {
      const from = this.sent - this.taken;
      const part = this.waiting.subarray(from, Math.min(from + PART_BYTES, WINDOW_BYTES));
      if (!part.length) return;
      const message = new Uint8Array(8 + part.length);
      new DataView(message.buffer).setBigUint64(0, BigInt(this.sent));
      message.set(part, 8);
      this.socket.send(message);
      this.sent += part.length;
    }
  }

  private tell(message: Record<string, unknown>): void {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    this.said_alive = Date.now();
    this.socket.send(JSON.stringify(message));
  }

  private look(): void {
    if (this.state === "over") return;
    if (this.state === "live" && Date.now() - this.said_alive > ALIVE_MS) this.tell({ type: "alive" });
    if (this.socket && this.state !== "lost" && Date.now() - this.heard > SILENCE_MS) this.lose();
  }

  private over(why: string): void {
    this.state = "over";
    this.said = why;
    clearTimeout(this.again);
  }

  /** Go on at another node, unless the shell is over or somebody has to sign in first. */
  private lose(): void {
    if (this.state === "over") return;
    const socket = this.socket;
    this.socket = undefined;
    socket?.close();
    if (this.state !== "lost") this.lostAt = Date.now();
    this.state = "lost";
    this.again = setTimeout(() => void this.resume(), Math.min(PAUSE_MAX_MS, PAUSE_MS * 2 ** this.tries++));
  }

  private async resume(): Promise<void> {
    try {
      const found = await api.get("/api/v1/access/sessions/{accessId}", { path: { accessId: this.id } });
      if (this.state !== "lost") return;
      if (found.active) this.connect();
      else this.over(found.why || t("The session is over."));
    } catch (error) {
      if (this.state !== "lost") return;
      if (error instanceof Problem && error.status === 404 && this.had === undefined) this.connect();
      else if (error instanceof Problem && error.status >= 400 && error.status < 500 && error.status !== 401) this.over(error.message);
      else this.lose();
    }
  }
}

export const shells = $state<{ open: Shell[]; current: string }>({ open: [], current: "" });

/** A new terminal of an account of a target. */
export async function openShell(target: string, account: string): Promise<void> {
  const made = await api.post("/api/v1/access/terminals", { body: { target, account } });
  join(made.id, made.target, made.account);
}

/** One that runs already: what is on its screen comes again. */
export function join(id: string, target: string, account: string): void {
  const had = shells.open.find((one) => one.id === id && one.state === "over");
  if (had) {
    had.drop();
    leave(had); // it was taken up elsewhere, and is wanted here again
  }
  if (!shells.open.some((one) => one.id === id)) shells.open.push(new Shell(id, target, account));
  shells.current = id;
}

export function leave(shell: Shell): void {
  const at = shells.open.indexOf(shell);
  shells.open.splice(at, 1);
  if (shells.current === shell.id) shells.current = shells.open[Math.max(0, at - 1)]?.id ?? "";
}

/** Whoever signed out shall not leave them to the next one at this browser. */
export function leaveAll(): void {
  for (const one of shells.open.splice(0)) one.drop();
  shells.current = "";
}
