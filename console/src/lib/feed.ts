/**
 * The stream of events, held open for a browser or a tab: opened again when its node dies, from the position reached.
 *
 * A stream that says nothing for longer than its heartbeat is taken for dead, as a frozen node closes no connection.
 */
export interface Said {
  type: "open" | "lost" | "hello" | "changed" | "cluster" | "alive" | "end";
  data?: unknown;
}

const SILENCE_MS = 12_000;
const PAUSE_MS = 500;
const PAUSE_MAX_MS = 3_000;

export class Feed {
  private source: EventSource | undefined;
  private position = "";
  private heard = 0;
  private tries = 0;
  private watch: ReturnType<typeof setInterval> | undefined;
  private again: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly say: (said: Said) => void) {}

  open(): void {
    this.close();
    this.heard = Date.now();
    const source = (this.source = new EventSource(`/api/v1/events${this.position ? `?after=${this.position}` : ""}`));
    for (const type of ["hello", "changed", "cluster", "alive"] as const) {
      source.addEventListener(type, (event) => {
        this.heard = Date.now();
        this.tries = 0;
        const message = event as MessageEvent<string>;
        if (message.lastEventId) this.position = message.lastEventId;
        this.say(type === "alive" ? { type } : { type, data: JSON.parse(message.data) });
      });
    }
    source.addEventListener("end", () => this.lose());
    source.onerror = () => this.lose();
    this.watch = setInterval(() => {
      if (Date.now() - this.heard > SILENCE_MS) this.lose();
    }, 1_000);
  }

  close(): void {
    this.source?.close();
    this.source = undefined;
    clearInterval(this.watch);
    clearTimeout(this.again);
  }

  private lose(): void {
    this.close();
    this.say({ type: "lost" });
    this.again = setTimeout(() => this.open(), Math.min(PAUSE_MAX_MS, PAUSE_MS * 2 ** this.tries++));
  }
}
