/**
 * A terminal's screen under the strict policy: xterm writes style sheets and style attributes, which the policy forbids as
 * markup and allows as objects. So its sheets become adopted ones, and its attributes go through the style object.
 */
import { Terminal } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";

export interface Screen {
  write(text: string): void;
  resize(columns: number, rows: number): void;
  reset(): void;
  close(): void;
}

export function openScreen(place: HTMLElement, columns: number, rows: number): Screen {
  const restore = adopt();
  const terminal = new Terminal({ cols: columns, rows, disableStdin: true, screenReaderMode: false, fontFamily: "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace", fontSize: 14, theme: { background: "#10151c", foreground: "#e8edf4" } });
  terminal.open(place);
  // Nothing is typed here, and Tab has to lead on.
  terminal.attachCustomKeyEventHandler(() => false);
  if (terminal.textarea) terminal.textarea.tabIndex = -1;
  return {
    write: (text) => terminal.write(text),
    resize: (wide, high) => terminal.resize(wide, high),
    reset: () => terminal.reset(),
    close: () => {
      terminal.dispose();
      restore();
    },
  };
}

/** Until it is undone, style elements that are made fill adopted sheets, and style attributes the style object. */
function adopt(): () => void {
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
