"""Where a node writes on disks of its own host, by what people call each place."""

from pathlib import Path
from typing import Final

from rppam.cluster.health.disk_room import RoomWatch
from rppam.config.settings import Settings
from rppam.kernel.clock import Clock
from rppam.kernel.instant import US_PER_S

_SQLITE: Final = "sqlite"


def places_of(settings: Settings, *, has_database: bool = True) -> dict[str, Path]:
    """The folders. A database that is elsewhere has none here."""
    places = {"data": settings.node.data_dir}
    if settings.logging.directory is not None:
        places["logs"] = settings.logging.directory
    url = settings.database.url.reveal().strip() if has_database else ""
    if url.startswith(_SQLITE) and ":///" in url:
        places["database"] = Path(url.partition(":///")[2]).parent
    return places


def room_watch_of(settings: Settings, clock: Clock, *, has_database: bool = True) -> RoomWatch:
    """What looks at them while the node runs."""
    return RoomWatch(places_of(settings, has_database=has_database), lambda: clock.now() / US_PER_S)
