/** One stream for all tabs of a browser: HTTP/1.1 gives a browser six connections to a host, and a tab needs some. */
import { Feed, type Said } from "./lib/feed";

const tabs = new Set<MessagePort>();
const last = new Map<Said["type"], Said>();
const feed = new Feed((said) => {
  last.set(said.type, said);
  if (said.type === "hello") last.delete("lost");
  for (const tab of tabs) tab.postMessage(said);
});

(self as unknown as SharedWorkerGlobalScope).onconnect = ({ ports: [port] }) => {
  if (!port) return;
  port.onmessage = ({ data }: MessageEvent<"join" | "leave" | "again">) => {
    if (data === "leave") {
      tabs.delete(port);
      if (!tabs.size) {
        feed.close();
        last.clear();
      }
      return;
    }
    const first = !tabs.size || data === "again";
    tabs.add(port);
    if (first) feed.open();
    else for (const said of last.values()) port.postMessage(said);
  };
};
