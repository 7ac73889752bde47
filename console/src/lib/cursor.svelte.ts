/** Where one is in a list that the server pages by what comes after which row, and the way back. */
export class Cursor<T> {
  after = $state.raw<T>();
  private way = $state.raw<(T | undefined)[]>([]);

  get isFirst(): boolean {
    return this.way.length === 0;
  }
  on(to: T): void {
    this.way = [...this.way, this.after];
    this.after = to;
  }
  back(): void {
    this.after = this.way.at(-1);
    this.way = this.way.slice(0, -1);
  }
  restart(): void {
    this.after = undefined;
    this.way = [];
  }
}
