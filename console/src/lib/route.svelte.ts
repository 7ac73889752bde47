/** Where the page is: `#/words/of/it?and=questions`. In the hash, so that every node serves the one page. */
interface Place {
  path: string[];
  query: URLSearchParams;
}

function here(): Place {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { path: path.split("/").filter(Boolean).map(decode), query: new URLSearchParams(query) };
}

function decode(word: string): string {
  try {
    return decodeURIComponent(word);
  } catch {
    return word;
  }
}

export const route = $state<{ at: Place }>({ at: here() });
addEventListener("hashchange", () => {
  route.at = here();
});

/** Remember a filter in the address without a step in the history. */
export function remember(query: Record<string, string | undefined>): void {
  const wanted = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value) wanted.set(name, value);
  const hash = `#/${route.at.path.map(encodeURIComponent).join("/")}${wanted.size ? `?${wanted}` : ""}`;
  history.replaceState(null, "", hash);
}
