"""The settings ``recordings/store``: where the chunks of new recordings lie; and ``recordings/retention``: how long.

A recording stays where it began. How long it is kept follows what the setting and its target's tags say now.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from rppam.config.kinds import Choice, Text, Texts, Whole
from rppam.http.errors import FieldFlaw
from rppam.settings.model import TOGETHER, setting

SQL, DIR, S3 = "sql", "dir", "s3"
NONE: Final = "-"


class StorePolicy(NamedTuple):
    """See the module."""

    store: str = SQL
    """``sql``: in the database of the cluster; ``dir``: in a folder that all nodes share; ``s3``: in a bucket."""
    folder: str = NONE
    """Of ``dir``: its path, the same on all nodes."""
    bucket: str = NONE
    """Of ``s3``: its URL, with the path that objects begin with. The keys stand in the config of each node."""
    region: str = "us-east-1"
    """Of ``s3``: the region that requests are signed for."""


def _together(value: StorePolicy) -> Sequence[FieldFlaw]:
    if value.store == DIR and value.folder == NONE:
        text = "expected the path of a folder where the store is 'dir', found none. Write it such as /srv/recordings."
        return [FieldFlaw("folder", text, TOGETHER)]
    if value.store == S3 and value.bucket == NONE:
        text = "expected a URL where the store is 's3', found none. Write it such as https://s3.example.com/bucket."
        return [FieldFlaw("bucket", text, TOGETHER)]
    return ()


async def _tried(value: StorePolicy) -> Sequence[str]:
    """Whether this host has the folder, and may write there."""
    if value.store != DIR:
        return ()
    from rppam.recordings.errors import RecordingStoreFailed  # noqa: PLC0415
    from rppam.recordings.folder import Folder  # noqa: PLC0415 - who only reads settings does not load it

    try:
        await Folder(Path(value.folder)).try_out()
    except RecordingStoreFailed as error:
        return [f"folder: expected a folder of every node that rppam may write to, found: {error}"]
    return ()


STORE: Final = setting(
    "recordings/store",
    "Where recordings lie",
    StorePolicy(),
    {
        "store": Choice(f"one of {SQL}, {DIR}, {S3}", (SQL, DIR, S3)),
        "folder": Text("a path, or -", r"-|/.{0,498}", "Write a whole path such as /srv/recordings."),
        "bucket": Text(
            "the URL of a bucket, or -",
            r"-|https?://[A-Za-z0-9.\[\]:-]{1,255}/[A-Za-z0-9._-]{3,63}(/[A-Za-z0-9._-]{1,100}){0,2}/?",
            "Write it such as https://s3.example.com/bucket/recordings.",
        ),
        "region": Text("a region", "[a-z0-9-]{1,40}", "Write a region such as eu-central-1."),
    },
    _together,
    _tried,
)


DAYS_MAX: Final = 36_500
FOR_EVER: Final = DAYS_MAX + 1
"""Longer than any: what 0 days are compared as."""


class RecordingRetention(NamedTuple):
    """For how many days recordings are kept after their end. 0: for ever."""

    days: int = 0
    by_tag: tuple[str, ...] = ()
    """``tag=days``, for recordings of targets with that tag; of several the longest counts."""

    def of(self, tags: Sequence[str]) -> int:
        """Days that a recording of a target with these tags is kept."""
        return self.decided(tags)[0]

    def decided(self, tags: Sequence[str]) -> tuple[int, str]:
        """Those days, and the tag that decides; empty: the days of all do."""
        own = [(days or FOR_EVER, tag) for tag, days in sorted(self._classes().items()) if tag in tags]
        days, tag = max(own, key=lambda one: one[0], default=(self.days, ""))
        return (0 if days == FOR_EVER else days), tag

    def least(self) -> int:
        """The shortest of all; 0 where everything is kept for ever."""
        return min((days for days in (self.days, *self._classes().values()) if days), default=0)

    def _classes(self) -> dict[str, int]:
        return {tag: int(days) for tag, _, days in (one.rpartition("=") for one in self.by_tag)}


def _once(value: RecordingRetention) -> Sequence[FieldFlaw]:
    tags = [one.rpartition("=")[0] for one in value.by_tag]
    twice = sorted({tag for tag in tags if tags.count(tag) > 1})
    if twice:
        return [FieldFlaw("byTag", f"expected each tag once, found {twice[0]} twice. Leave one of them.", TOGETHER)]
    over = [one for one in value.by_tag if int(one.rpartition("=")[2]) > DAYS_MAX]
    if over:
        return [FieldFlaw("byTag", f"expected at most {DAYS_MAX} days, found {over[0]}. Write 0 for ever.", TOGETHER)]
    return ()


RETENTION: Final = setting(
    "recordings/retention",
    "For how many days recordings are kept",
    RecordingRetention(),
    {
        "days": Whole(f"whole days from 0 (for ever) to {DAYS_MAX}", 0, DAYS_MAX),
        "byTag": Texts(
            'a list of TAG=DAYS, such as ["pci=400", "lab=30"]; 0 days: for ever',
            r"[^=\s][^=]{0,62}=[0-9]{1,6}",
            'Write each as "tag=days".',
            100,
        ),
    },
    _once,
)
