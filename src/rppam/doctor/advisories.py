"""Versions of Redis and Valkey with security holes that matter where strangers can reach the server or scripts run.

From the projects' release notes as of May 2026: per branch the first release that mends each hole. An older branch that
is not listed is not mended any more. It knows nothing that was found later; distributions that mend without
changing the number are the affair of :mod:`rppam.doctor.packages`.
"""

from typing import Final, NamedTuple

Version = tuple[int, ...]


class _Advisory(NamedTuple):
    name: str
    about: str
    mended: dict[str, tuple[Version, ...]]
    """Product to the first mended release of each branch."""
    is_exact: bool = False
    """Only the branches listed are known to be affected."""


_HOLES: Final = (
    _Advisory(
        "CVE-2025-49844",
        "a Lua script can run code on the server",
        {
            "redis": ((6, 2, 20), (7, 2, 11), (7, 4, 6), (8, 0, 4), (8, 2, 2)),
            "valkey": ((7, 2, 11), (8, 0, 6), (8, 1, 4)),
        },
    ),
    _Advisory(
        "CVE-2025-21605",
        "clients without a password can fill the memory",
        {
            "redis": ((6, 2, 18), (7, 2, 8), (7, 4, 3)),
            "valkey": ((7, 2, 9), (8, 0, 3), (8, 1, 1)),
        },
    ),
    _Advisory(
        "CVE-2026-23479",
        "a client that waits can corrupt memory",
        {"redis": ((8, 6, 3),), "valkey": ((8, 1, 7),)},
        True,
    ),
)


def holes_of(server: str, version: Version) -> dict[str, str]:
    """The holes of this version by name, each with a word about it. Empty when the version is not known."""
    if not version:
        return {}
    return {
        hole.name: f"{hole.name} ({hole.about}; mended in {'.'.join(map(str, fix))})"
        for hole in _HOLES
        if (fix := _fix_for(hole, server, version)) is not None and version < fix
    }


def _fix_for(hole: _Advisory, server: str, version: Version) -> Version | None:
    """The release that mends ``version``'s branch; for an older branch without one the next that has it."""
    mended = hole.mended.get(server, ())
    same = [fix for fix in mended if fix[:2] == version[:2]]
    later = [fix for fix in mended if fix[:2] > version[:2] and not hole.is_exact]
    return same[0] if same else later[0] if later else None
