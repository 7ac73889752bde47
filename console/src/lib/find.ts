/** Looking up people and what access can be asked for, a few at a time. */
import { api } from "./api";
import type { Choice } from "./dialog.svelte";

const SOME = 20;

export async function people(search: string): Promise<Choice[]> {
  const found = await api.get("/api/v1/users", { query: { search: search || undefined, pageSize: SOME } as never });
  return found.items.map((one) => ({ value: one.id, label: one.displayName && one.displayName !== one.username ? `${one.username} (${one.displayName})` : one.username }));
}

/** The same; who is chosen already stands first, however many there are. */
export const peopleWith = (known: Choice[]) => async (search: string): Promise<Choice[]> => {
  const found = await people(search);
  return search ? found : [...known, ...found.filter((one) => !known.some((each) => each.value === one.value))];
};

/** Accounts of targets. */
export async function accounts(search: string): Promise<Choice[]> {
  const found = await api.get("/api/v1/accounts", { query: { search: search || undefined, pageSize: SOME } as never });
  return found.items.map((one) => ({ value: one.id, label: `${one.name}@${one.resourceName}` }));
}

/** Accounts of targets and entries of the vault, as `kind id`. */
export async function objects(search: string): Promise<Choice[]> {
  const query = { search: search || undefined, pageSize: SOME } as never;
  const [accounts, entries] = await Promise.all([api.get("/api/v1/accounts", { query }), api.get("/api/v1/vault/entries", { query })]);
  return [
    ...accounts.items.map((one) => ({ value: `account ${one.id}`, label: `${one.name}@${one.resourceName}` })),
    ...entries.items.map((one) => ({ value: `entry ${one.id}`, label: `${one.folder}/${one.name}` })),
  ];
}

/** Names of accounts by their ids, asked one by one: nobody has many of them. */
export async function names(ids: string[]): Promise<Map<string, string>> {
  const found = await Promise.all(ids.map((id) => api.get("/api/v1/users/{userId}", { path: { userId: id } }).then((one) => one.username, () => id)));
  return new Map(ids.map((id, n) => [id, found[n]!]));
}
