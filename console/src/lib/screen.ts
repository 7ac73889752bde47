/**
 * A terminal's screen under the strict policy: xterm writes style sheets and style attributes, which the policy forbids as
 * markup and allows as objects. So its sheets become adopted ones, and its attributes go through the style object.
 */
import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";

export interface Screen {
  write(text: string | Uint8Array, done?: () => void): void;
  resize(columns: number, rows: number): void;
  reset(): void;
  close(): void;
  size(): { columns: number; rows: number };
  /** Show it in `place`: it keeps what is on it when it is moved. */
  move(place: HTMLElement): void;
  fit(): void;
  focus(): void;
  paste(text: string): void;
  /** Whether what is pasted is told from what is typed, so that no line of it runs by itself. */
  brackets(): boolean;
  onData(take: (text: string) => void): void;
  onResize(take: (columns: number, rows: number) => void): void;
  onTitle(take: (title: string) => void): void;
}

const LOOK = { fontFamily: "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace", fontSize: 14, theme: { background: "#10151c", foreground: "#e8edf4" } };
/** The way out for those who have the keyboard alone: everything else is typed. */
const isWayOut = (event: KeyboardEvent): boolean => event.key === "F6" && event.ctrlKey;

/** Nothing can be typed into it unless it is `live`. */
export function openScreen(place: HTMLElement, columns: number, rows: number, live?: { wayOut: () => void; label: string }): Screen {
  const restore = adopt();
  const terminal = new Terminal({ ...LOOK, cols: columns, rows, disableStdin: !live, scrollback: 5_000, cursorBlink: Boolean(live) });
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.open(place);
  if (live) {
    terminal.attachCustomKeyEventHandler((event) => {
      if (event.type === "keydown" && isWayOut(event)) {
        event.preventDefault();
        live.wayOut();
        return false;
      }
      const copies = event.ctrlKey && ((event.shiftKey && event.code === "KeyC") || event.key === "Insert");
      if (copies && event.type === "keydown" && terminal.hasSelection()) {
        event.preventDefault();
        void navigator.clipboard?.writeText(terminal.getSelection());
        return false;
      }
      return true;
    });
    terminal.textarea?.setAttribute("aria-label", live.label);
  } else {
    // Nothing is typed here, and Tab has to lead on.
    terminal.attachCustomKeyEventHandler(() => false);
    if (terminal.textarea) terminal.textarea.tabIndex = -1;
  }
  return {
    write: (text, done) => terminal.write(text, done),
    resize: (wide, high) => terminal.resize(wide, high),
    reset: () => terminal.reset(),
    size: () => ({ columns: terminal.cols, rows: terminal.rows }),
    move: (to) => terminal.element && to.append(terminal.element),
    fit: () => fit.fit(),
    focus: () => terminal.focus(),
    paste: (text) => terminal.paste(text),
    brackets: () => terminal.modes.bracketedPasteMode,
    onData: (take) => void terminal.onData(take),
    onResize: (take) => void terminal.onResize((size) => take(size.cols, size.rows)),
    onTitle: (take) => void terminal.onTitleChange(take),
    close: () => {
      terminal.dispose();
      restore();
    },
  };
}

let users = 0;
let undo: () => void = () => undefined;

/** Until the last one undoes it, style elements that are made fill adopted sheets, and style attributes the style object. */
function adopt(): () => void {
  if (!users++) undo = replace();
  let mine = true;
  return () => {
    if (mine && !--users) undo();
    mine = false;
  };
}

function replace(): () => void {
  const create = document.createElement.bind(document);
  const set = Element.prototype.setAttribute;
  const sheets: CSSStyleSheet[] = [];
  document.createElement = ((name: string, options?: ElementCreationOptions) => {
    // A style element offends the policy even when it is empty, so what xterm gets is another one.
    const made = create(name.toLowerCase() === "style" ? "template" : name, options);
    if (name.toLowerCase() === "style") {
      const sheet = new CSSStyleSheet();
      sheets.push(sheet);
      document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
      Object.defineProperty(made, "textContent", { set: (text: string) => sheet.replaceSync(text), get: () => "" });
      Object.defineProperty(made, "sheet", { get: () => sheet });
    }
    return made;
  }) as typeof document.createElement;
  Element.prototype.setAttribute = function (name: string, value: string): void {
    if (name === "style" && this instanceof HTMLElement) this.style.cssText = value;
    else set.call(this, name, value);
  };
  return () => {
    document.createElement = create;
    Element.prototype.setAttribute = set;
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((one) => !sheets.includes(one));
  };
}
