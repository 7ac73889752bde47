"""The setting ``recordings/store``: where the chunks of new recordings lie. A recording stays where it began."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from rppam.config.kinds import Choice, Text
from rppam.http.errors import FieldFlaw
from rppam.settings.model import TOGETHER, setting

SQL, DIR = "sql", "dir"
NONE: Final = "-"


class StorePolicy(NamedTuple):
    """See the module."""

    store: str = SQL
    """``sql``: in the database of the cluster; ``dir``: in a folder that all nodes share."""
    folder: str = NONE
    """Of ``dir``: its path, the same on all nodes."""


def _together(value: StorePolicy) -> Sequence[FieldFlaw]:
    if value.store == DIR and value.folder == NONE:
        text = "expected the path of a folder where the store is 'dir', found none. Write it such as /srv/recordings."
        return [FieldFlaw("folder", text, TOGETHER)]
    return ()


STORE: Final = setting(
    "recordings/store",
    "Where recordings lie",
    StorePolicy(),
    {
        "store": Choice(f"{SQL} or {DIR}", (SQL, DIR)),
        "folder": Text("a path, or -", r"-|/.{0,498}", "Write a whole path such as /srv/recordings."),
    },
    _together,
)
