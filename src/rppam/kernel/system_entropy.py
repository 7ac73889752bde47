"""Real chance: the operating system's generator, for nonces, back-off and the name of a life.

What it does not promise: repeatability. The simulation brings its own, seeded.
"""

import secrets
from typing import Final

_BYTES: Final = 8


class SystemEntropy:
    """The real :class:`rppam.kernel.entropy.Entropy`."""

    def nonce(self) -> str:
        """16 fresh hexadecimal digits."""
        return secrets.token_hex(_BYTES)

    def below(self, bound: int) -> int:
        """A whole number from 0 to ``bound - 1``, all equally likely. ValueError unless ``bound`` is positive."""
        return secrets.randbelow(bound)


def fresh_boot_id() -> str:
    """16 hexadecimal digits that name one life of a process.

    Drawn at each start and never read from the host: the kernel's own boot id survives a restart of the process, and a
    restarted node must not pass for the one that died.
    """
    return secrets.token_hex(_BYTES)
