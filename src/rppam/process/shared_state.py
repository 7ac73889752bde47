"""The memory that the processes of one node share: which may act, until when, and what the node sees.

* The control process writes the **permission** (epoch, boot id, deadline) and the **picture** of the cluster.
* The supervisor **withdraws**: it notes the generation of a control process that is dead. A permission of that
  generation, or of an earlier one, is void from then on, whatever its deadline says.
* The API workers and gateways read both at each act. There is no I/O and no waiting in that, on either side. Each
  writes which **settings** it obeys and how it stands with its **database**, for the control process to tell.

Each part has one writer. Times are this host's boot-time clock in microseconds (see ``clock.host_us``), which is the
same in all processes of a host. Linux only. What it does not promise: secrecy; everything on it may be read by each
process of the node, so no password is put there.
"""

import json
import mmap
import os
import struct
import sys
from typing import Final, NamedTuple

from rppam.cluster.health.ports import Authority
from rppam.process.seqlock import SeqlockCell, numbers

PICTURE_BYTES_MAX: Final = 512 * 1024
"""Room for a cluster of several hundred members; pages that were never written take no memory."""
WORKERS_MAX: Final = 64
GATEWAYS_MAX: Final = 32
_WORD_BYTES: Final = 256
_WITHDRAWN_AT: Final = 0
_NEXT_START_AT: Final = 1
_STAMPS_AT: Final = 8
_SETTINGS_AT: Final = 128
"""These are places of numbers; the next ones are of bytes."""
_PERMISSION_AT: Final = 2048
_PICTURE_AT: Final = 4096
_DATABASES_AT: Final = _PICTURE_AT + SeqlockCell.size(PICTURE_BYTES_MAX)
DATABASE_TEXT_MAX: Final = 1_000
"""Bytes of what one process can say of its database."""
_DATABASE_BYTES: Final = SeqlockCell.size(DATABASE_TEXT_MAX)
_BYTES: Final = _DATABASES_AT + (WORKERS_MAX + GATEWAYS_MAX) * _DATABASE_BYTES
_PICTURE_HEAD: Final = struct.Struct("@QQ")
PICTURE_TEXT_MAX: Final = PICTURE_BYTES_MAX - _PICTURE_HEAD.size
"""Bytes of the text of a picture that can be shown."""

ALIVE_US: Final = 10_000_000
"""A process that has not turned for this long is dead, or about to be killed."""
SUPERVISOR: Final = 0
CONTROL: Final = 1
_DEATHS_BITS: Final = 16
"""Of the number that describes the next start; the rest is its time in milliseconds. It is read in one piece."""


class Permission(NamedTuple):
    """What the control process may do, as it last said."""

    generation: int
    """Which control process of this node said it: the first is 1."""
    authority: Authority
    deadline_us: int
    """When it ends, on the host's boot-time clock."""


class Picture(NamedTuple):
    """What the control process last saw."""

    generation: int
    taken_us: int
    """When, on the host's boot-time clock."""
    text: bytes


class SharedState:
    """One such page, mapped into this process."""

    def __init__(self, descriptor: int) -> None:
        """Map the page that ``descriptor`` names; the descriptor stays the caller's."""
        self._memory = memoryview(mmap.mmap(descriptor, _BYTES))
        self._numbers = numbers(self._memory[:_PERMISSION_AT])
        self._permission = SeqlockCell(self._memory, _PERMISSION_AT, _WORD_BYTES)
        self._picture = SeqlockCell(self._memory, _PICTURE_AT, PICTURE_BYTES_MAX)
        self._databases = tuple(
            SeqlockCell(self._memory, _DATABASES_AT + number * _DATABASE_BYTES, DATABASE_TEXT_MAX)
            for number in range(WORKERS_MAX + GATEWAYS_MAX)
        )

    @staticmethod
    def make() -> int:
        """A descriptor of a new page. Nothing of it is on any disk."""
        return make_memory("rppam-node", _BYTES)

    # ---- the control process ----------------------------------------------------------------------------------------

    def permit(self, permission: Permission | None) -> None:
        """Say what this node may do from now on; ``None``: nothing."""
        if permission is None:
            self._permission.write(b"")
            return
        generation, authority, deadline_us = permission
        self._permission.write(json.dumps([generation, authority.epoch, authority.boot_id, deadline_us]).encode())

    def show(self, picture: Picture) -> bool:
        """Show what the node sees; false when it is too large to be shown."""
        return self._picture.write(_PICTURE_HEAD.pack(picture.generation, picture.taken_us) + picture.text)

    # ---- the supervisor ---------------------------------------------------------------------------------------------

    def withdraw(self, generation: int) -> None:
        """Void every permission of control processes up to ``generation``. Never taken back."""
        self._numbers[_WITHDRAWN_AT] = max(generation, self.withdrawn)

    @property
    def withdrawn(self) -> int:
        """The last generation whose permission is void."""
        return self._numbers[_WITHDRAWN_AT]

    def plan_start(self, deaths: int, due_us: int) -> None:
        """Say that the control process died ``deaths`` times in a row, and when the next one is started."""
        self._numbers[_NEXT_START_AT] = due_us // 1_000 << _DEATHS_BITS | min(deaths, (1 << _DEATHS_BITS) - 1)

    def planned_start(self) -> tuple[int, int]:
        """The deaths in a row and the time of the next start as last said; zeros: no control process was waited for."""
        number = self._numbers[_NEXT_START_AT]
        return number & (1 << _DEATHS_BITS) - 1, (number >> _DEATHS_BITS) * 1_000

    def permission(self) -> Permission | None:
        """The permission as it stands, valid or not; ``None`` when the control process claims nothing."""
        text = self._permission.read()
        if not text:
            return None
        generation, epoch, boot_id, deadline_us = json.loads(text)
        return Permission(generation, Authority(epoch, boot_id), deadline_us)

    # ---- the workers ------------------------------------------------------------------------------------------------

    def authority(self, now_us: int) -> Authority | None:
        """The authority under which this node may act right now; ``None``: none. Ask again for each act."""
        permission = self.permission()
        if permission is None or permission.generation <= self.withdrawn or now_us >= permission.deadline_us:
            return None
        return permission.authority

    def picture_newer(self, known: int) -> tuple[int, Picture | None]:
        """The picture and its number; no picture when ``known`` is its number, or when there is none yet."""
        number, value = self._picture.read_newer(known)
        if value is None:
            return number, None
        generation, taken_us = _PICTURE_HEAD.unpack_from(value)
        return number, Picture(generation, taken_us, value[_PICTURE_HEAD.size :])

    def obeys(self, place: int, revision: int | None) -> None:
        """Say which revision of the settings the worker at ``place`` obeys; ``None``: it does not know yet."""
        self._numbers[_SETTINGS_AT + place] = 0 if revision is None else revision + 1

    def settings_revision(self, now_us: int) -> int | None:
        """The lowest that a living worker or gateway obeys; ``None`` when one does not know, or there is none."""
        lowest = min((self._numbers[_SETTINGS_AT + place] for place in self._alive(now_us)), default=0)
        return lowest - 1 if lowest else None

    def tell_database(self, place: int, text: bytes) -> None:
        """Say how the worker or gateway at ``place`` stands with its database; empty: it does not know yet."""
        self._databases[place - worker_place(0)].write(text)

    def databases(self, now_us: int) -> dict[str, bytes]:
        """What each living worker and gateway says of its database, by what people call it."""
        texts = {_title(place): self._databases[place - worker_place(0)].read() for place in self._alive(now_us)}
        return {title: text for title, text in texts.items() if text}

    def _alive(self, now_us: int) -> list[int]:
        return [
            place
            for place in (*map(worker_place, range(WORKERS_MAX)), *map(gateway_place, range(GATEWAYS_MAX)))
            if (stamped_us := self.stamped_us(place)) and now_us - stamped_us < ALIVE_US
        ]

    # ---- signs of life ----------------------------------------------------------------------------------------------

    def stamp(self, place: int, now_us: int) -> None:
        """Say that the process at ``place`` (:data:`SUPERVISOR`, :data:`CONTROL`, :func:`worker_place`, ...) turns."""
        self._numbers[_STAMPS_AT + place] = now_us

    def stamped_us(self, place: int) -> int:
        """When it last did; 0: never."""
        return self._numbers[_STAMPS_AT + place]


def worker_place(number: int) -> int:
    """Where the API worker with this number, from 0, puts its sign of life."""
    return 2 + number


def worker_number(place: int) -> int:
    """What people call the API worker at ``place``; the first is 1."""
    return place - worker_place(0) + 1


def gateway_place(number: int) -> int:
    """Where the gateway with this number, from 0, puts its sign of life."""
    return worker_place(WORKERS_MAX) + number


def gateway_number(place: int) -> int:
    """What people call the gateway at ``place``; the first is 1."""
    return place - gateway_place(0) + 1


def _title(place: int) -> str:
    if place >= gateway_place(0):
        return f"gateway {gateway_number(place)}"
    return f"worker {worker_number(place)}"


def make_memory(name: str, size: int) -> int:
    """A descriptor of ``size`` bytes of memory that belong to no file. Linux only."""
    if sys.platform != "linux":
        raise NotImplementedError("memory without a file needs Linux")
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    os.ftruncate(descriptor, size)
    return descriptor
