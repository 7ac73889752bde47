/** RFC 6962, section 2.1.1: whether a leaf is in a tree of this root. Hashes are base64. */
const bytes = (text: string): Uint8Array => Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
const text = (value: Uint8Array): string => btoa(String.fromCharCode(...value));

async function sha(...parts: Uint8Array[]): Promise<Uint8Array> {
  const whole = new Uint8Array(parts.reduce((size, one) => size + one.length, 0));
  let at = 0;
  for (const one of parts) {
    whole.set(one, at);
    at += one.length;
  }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", whole));
}

const node = (left: Uint8Array, right: Uint8Array): Promise<Uint8Array> => sha(new Uint8Array([1]), left, right);

/** Whether the path `proof` leads from `leaf`, at `index` of `size`, to `root` (RFC 9162, section 2.1.3.2). */
export async function included(index: number, size: number, leaf: string, proof: string[], root: string): Promise<boolean> {
  if (index >= size) return false;
  let fn = index;
  let sn = size - 1;
  let hash = bytes(leaf);
  for (const step of proof) {
    if (sn === 0) return false;
    if (fn % 2 === 1 || fn === sn) {
      hash = (await node(bytes(step), hash)) as typeof hash;
      while (fn % 2 === 0 && fn !== 0) {
        fn = Math.floor(fn / 2);
        sn = Math.floor(sn / 2);
      }
    } else {
      hash = (await node(hash, bytes(step))) as typeof hash;
    }
    fn = Math.floor(fn / 2);
    sn = Math.floor(sn / 2);
  }
  return sn === 0 && text(hash) === root;
}
