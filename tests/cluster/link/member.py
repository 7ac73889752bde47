"""One member as a process of its own, to be paused: grants everything, and says where it listens.

Run as ``python member.py NAME PEER PEER_ADDRESS``; ends when its standard input does.
"""

import asyncio
import sys

from tests.cluster.link.links import make_node, start


async def live(name: str, peer: str, address: str) -> None:
    node = make_node(name)
    await start(node)
    node.link.know({peer: address})
    node.link.expect([peer])
    print(node.address, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await node.link.stop()


if __name__ == "__main__":
    asyncio.run(live(*sys.argv[1:]))
