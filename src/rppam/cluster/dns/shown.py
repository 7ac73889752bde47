"""What health shows of the name: where it points, since when, and what is wrong with that.

Every node makes it of what it read itself from the name server, a few seconds ago at most, so all show the same; what
stops this node alone (a key, a way) is said beside it. It promises nothing of what resolvers between remember.
"""

from rppam.cluster.dns.model import Mark, Seen
from rppam.cluster.health.model import NameView
from rppam.http.times import iso_utc
from rppam.kernel.errors import RppamError
from rppam.kernel.instant import WallMs


def view_of(name: str, seen: Seen | None, read_ms: int, trouble: RppamError | str, leader: str | None) -> NameView:
    """``trouble``: what the answering node meets. ``leader``: who leads as it sees it."""
    if seen is None:
        return NameView(name, problem=str(trouble) or "the name server was not read yet")
    mark = seen.mark
    return NameView(
        name,
        tuple(sorted(map(str, seen.addresses))),
        node=mark.node if mark else None,
        epoch=mark.epoch if mark else None,
        since=iso_utc(WallMs(mark.since_ms)) if mark and mark.since_ms else None,
        read_at=iso_utc(WallMs(read_ms)),
        problem=str(trouble) or _why_wrong(seen, mark, leader),
    )


def _why_wrong(seen: Seen, mark: Mark | None, leader: str | None) -> str:
    if not seen.addresses:
        return "it points nowhere: no leader has written it yet"
    if mark is None:
        return "no leader wrote what it points to"
    if leader is None:
        return f"nobody leads; it still points to {mark.node}"
    return "" if mark.node == leader else f"{leader} leads; it still points to {mark.node}"
