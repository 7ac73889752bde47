/** Something to show, asked for again when it changed. What is there stays on the page until the newer one has come. */
import { onDestroy } from "svelte";
import { Problem } from "./api";
import { onChange } from "./live.svelte";

const TOGETHER_MS = 150;

export class Resource<T> {
  data = $state.raw<T>();
  error = $state.raw<Problem>();
  loading = $state(false);
  private turn = 0;

  constructor(private readonly ask: () => Promise<T>) {}

  async load(): Promise<void> {
    const turn = ++this.turn;
    this.loading = true;
    try {
      const found = await this.ask();
      // An older question that is answered later must not overwrite the newer answer.
      if (turn === this.turn) {
        this.data = found;
        this.error = undefined;
      }
    } catch (error) {
      if (turn === this.turn) this.error = asProblem(error);
    } finally {
      if (turn === this.turn) this.loading = false;
    }
  }
}

/** A resource of the component that is being made, loaded at once and when a thing of one of `kinds` changed. */
export function resource<T>(ask: () => Promise<T>, kinds: string[] = [], everyMs = 0): Resource<T> {
  const one = new Resource(ask);
  void one.load();
  let soon: ReturnType<typeof setTimeout> | undefined;
  const stop = onChange((kind) => {
    if (kind === "" || kinds.includes(kind)) {
      clearTimeout(soon);
      soon = setTimeout(() => void one.load(), TOGETHER_MS);
    }
  });
  const timer = everyMs ? setInterval(() => !document.hidden && void one.load(), everyMs) : undefined;
  onDestroy(() => {
    stop();
    clearTimeout(soon);
    clearInterval(timer);
  });
  return one;
}

export function asProblem(error: unknown): Problem {
  return error instanceof Problem ? error : new Problem(0, "", String(error), "");
}
