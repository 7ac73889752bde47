/** Who is what among the servers of Redis, and where the virtual address is seen. */
import { api, Problem } from "./api";

export type RedisPlaces = Awaited<ReturnType<typeof ask>>;

const ask = () => api.get("/api/v1/admin/cluster/failover-tests/redis", { once: true });

/** As Sentinel sees it; nothing where Redis is a single server, which no Sentinel watches. */
export async function redisPlaces(): Promise<RedisPlaces | null> {
  try {
    const found = await ask();
    return { ...found, sentinels: found.sentinels ?? [] }; // a node of the release before names none
  } catch (error) {
    if (error instanceof Problem && error.status === 409) return null;
    throw error;
  }
}

/** Those that say that the virtual address is on their host. */
export const holdersOf = (members: { nodeName: string; hasVirtualIp?: boolean | null }[]): string[] =>
  members.filter((one) => one.hasVirtualIp).map((one) => one.nodeName);
