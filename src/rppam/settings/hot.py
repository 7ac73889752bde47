"""Hot configuration in force in this process.

Two ways lead here: word from the shared cache that a setting has changed, by Redis within milliseconds or by the log
of changes within seconds; and what this process has written itself. A higher revision wins, whichever way it came.
While nobody answers, the last value known stays in force. Every :data:`LOOK_S` all of them are compared with SQL, which
makes up for a process that slept through everything else.

What it does not promise: before the first look has succeeded :meth:`LiveSettings.current` tells defaults. What must
not be decided by a default (whether a second factor is asked for) is decided by :meth:`LiveSettings.get`, which raises.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeVar

from rppam.cache.model import LIFE_MS_MAX, CacheKey, Copy, Kind
from rppam.cache.ports import SharedCache
from rppam.db.errors import DatabaseError
from rppam.settings.errors import SettingInvalid
from rppam.settings.model import InForce, Setting, StoredSetting
from rppam.settings.registry import SETTINGS
from rppam.settings.store import SqlSettingsStore

log: Final = logging.getLogger("rppam.settings")

T = TypeVar("T")

LOOK_S: Final = 60.0
AGAIN_S: Final = 2.0
"""After SQL did not answer."""
FIRST_S: Final = 0.05
"""After it did not for the first time in this process: doubled each time, up to :data:`AGAIN_S`."""


_UNSET: Final = Copy(0, b"")


class _Text(NamedTuple):
    """A revision as it is kept and cached."""

    revision: int
    value: str


class LiveSettings:
    def __init__(
        self, store: SqlSettingsStore, cache: SharedCache, settings: Mapping[str, Setting[Any]] = SETTINGS
    ) -> None:
        self._store, self._settings = store, settings
        self._reader = cache.reader(Kind.SETTING, _decode, self._load)
        cache.on_change(self._told)
        self._held: dict[str, InForce[Any]] = {}
        self._revisions: dict[str, int] = {}
        """Also of settings that only another release knows, so that all nodes count alike."""
        self._named: set[str] = set()
        self._look_at = 0.0
        self._woken = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._is_known = False

    @property
    def revision(self) -> int | None:
        """How many changes of settings are in force here, of all that there ever were; ``None``: not known yet."""
        return sum(self._revisions.values()) if self._is_known else None

    def revision_of(self, name: str) -> int:
        """The revision of one setting in force here; 0 for the default."""
        return self._held[name].revision if name in self._held else 0

    def current(self, setting: Setting[T]) -> T:
        """The value in force here now. Never waits, never fails: the near copy, else the last one known, else the
        default."""
        held = self._held.get(setting.name)
        return setting.default if held is None else held.value

    async def get(self, setting: Setting[T]) -> InForce[T]:
        """The value and its revision, asking cache and SQL where the near copy may not be used.

        Raises a ``DatabaseError`` when nobody can tell.
        """
        found = self._reader.hit(setting.name) or await self._reader.get(setting.name)
        if found is not None:
            self._use(setting.name, found)
        return self._held.get(setting.name) or InForce(setting.default, 0)

    def wrote(self, stored: StoredSetting) -> None:
        """This process has written it: it is in force here at once."""
        self._use(stored.name, _Text(stored.revision, stored.value))

    async def refresh(self) -> None:
        """Compare all with SQL now, if it answers: for a process that is about to serve."""
        await self._look()

    def start(self) -> None:
        """Keep what is in force up to date from now on. Call inside the event loop."""
        self._following = asyncio.create_task(self._follow(), name="settings")

    async def stop(self) -> None:
        """No longer; what is in force stays."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait({self._following})

    # ---- what is heard ----------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        clock = asyncio.get_running_loop().time
        first_s = FIRST_S
        while True:
            self._woken.clear()
            try:
                if clock() >= self._look_at:
                    self._look_at = clock() + LOOK_S  # before looking: word that comes meanwhile may ask for another
                    if not await self._look():
                        self._look_at = clock() + (AGAIN_S if self._is_known else first_s)
                        first_s = min(2 * first_s, AGAIN_S)
                if not await self._read_named():
                    self._look_at = min(self._look_at, clock() + AGAIN_S)
            except Exception:  # whatever it is, a process must not stop following in silence
                log.exception("Settings: cannot be followed; trying again in %g s", AGAIN_S)
                self._look_at = clock() + AGAIN_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._look_at - clock()):
                    await self._woken.wait()

    def _told(self, key: CacheKey | None) -> None:
        if key is None:
            self._look_at = 0.0
        elif key.kind is Kind.SETTING:
            self._named.add(key.ident)
        else:
            return
        self._woken.set()

    async def _look(self) -> bool:
        try:
            for stored in await self._store.read_all():
                self._use(stored.name, _Text(stored.revision, stored.value))
        except DatabaseError:
            return False
        self._is_known = True
        return True

    async def _read_named(self) -> bool:
        named, self._named = self._named, set()
        answered = True
        for name in named:
            try:
                found = await self._reader.get(name)
            except DatabaseError:
                answered = False
                continue
            if found is not None:
                self._use(name, found)
        return answered

    async def _load(self, name: str) -> tuple[Copy, int] | None:
        stored = await self._store.read(name)
        # Most settings are as they were made: that nobody has set one is kept as well, else it would be asked of SQL
        # again and again.
        return _UNSET if stored is None else copy_of(stored), LIFE_MS_MAX

    def _use(self, name: str, found: _Text) -> None:
        if found.revision <= self._revisions.get(name, 0):
            return
        self._revisions[name] = found.revision
        setting = self._settings.get(name)
        if setting is not None:
            self._held[name] = InForce(_read(setting, found), found.revision)
            log.info("Setting %s: revision %d is in force: %s", name, found.revision, found.value)


async def value_in_sql(store: SqlSettingsStore, setting: Setting[T]) -> T:
    """The value as it stands in the database, for a command. Raises a ``DatabaseError``."""
    stored = await store.read(setting.name)
    return setting.default if stored is None else _read(setting, _Text(stored.revision, stored.value))


def copy_of(stored: StoredSetting) -> Copy:
    return Copy(stored.revision, stored.value.encode())


def _decode(copy: Copy) -> _Text:
    return _Text(copy.revision, copy.value.decode())


def _read(setting: Setting[T], found: _Text) -> T:
    """The value, without the fields that this release cannot take: one from another release must not cost the rest."""
    try:
        fields = json.loads(found.value)
        try:
            return setting.read(fields)
        except SettingInvalid as error:
            wrong = {flaw.field.partition(".")[0] for flaw in error.flaws}
            value = setting.read({name: content for name, content in fields.items() if name not in wrong})
            log.warning(
                "Setting %s, revision %d: what this release cannot take is passed over: %s",
                setting.name,
                found.revision,
                error,
            )
            return value
    except (ValueError, AttributeError, SettingInvalid) as error:
        log.warning(
            "Setting %s, revision %d, cannot be read; its default holds: %s", setting.name, found.revision, error
        )
        return setting.default
