"""What a leader's node says to the other members when its control process is dead: ready to be sent by the supervisor.

It is an errand (see ``codec.Purpose``) whose frames are all packed beforehand: the greeting, the promise given back,
the invitation, and a ping. The answer that matters is the pong, whose frame is known in advance.
"""

from collections.abc import Mapping
from typing import Final

from rppam.cluster.consensus.messages import Candidacy, Freeing, Invitation
from rppam.cluster.link.codec import Greeting, Ping, Pong, Purpose, encode, encode_greeting
from rppam.cluster.link.connection import FrameWriter
from rppam.cluster.link.credentials import Credentials
from rppam.cluster.link.local_peer import MemberOptions
from rppam.kernel.entropy import Entropy
from rppam.process.crash_release import LastWord, TlsWords

MEMBER: Final = "member"
WORDS_MAX: Final = 50
"""How many members hear of it; where there are more, the others' promises end by themselves."""


def freeing_words(
    options: MemberOptions,
    credentials: Credentials,
    places: Mapping[str, tuple[str, int]],
    claim: Candidacy,
    invited: str,
    entropy: Entropy,
) -> tuple[LastWord, ...]:
    """Make one message for each member in ``places`` (address and port by name).

    ``invited`` is asked to stand at once. It comes first, so that it hears of it where not all can.
    """
    words = []
    for name in sorted(places, key=lambda name: (name != invited, name))[:WORDS_MAX]:
        host, port = places[name]
        greeting = Greeting(Purpose.ERRAND, options.cluster_id, options.node_name, options.boot_id, entropy.nonce(), "")
        said = [encode_greeting(greeting), encode(Freeing(claim))]
        if name == invited:
            said.append(encode(Invitation(claim)))
        writer = FrameWriter()
        send = b"".join(writer.pack(data) for data in (*said, encode(Ping(1))))
        tls = TlsWords(name, None, credentials.own_pem, "", credentials.root_pem)
        words.append(LastWord(MEMBER, host, port, send, b"", ending=_pong(), tls=tls))
    return tuple(words)


def _pong() -> bytes:
    """Make the second frame of the other side; the first one is its greeting."""
    writer = FrameWriter()
    writer.pack(b"")
    return writer.pack(encode(Pong(1)))
