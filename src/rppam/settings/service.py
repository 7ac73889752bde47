"""Changing settings of hot configuration, and looking back.

Decides what a new value is (read strictly, so nothing unreadable is ever kept), and what going back means: the old
value once more, as a new revision, if this release still takes it. Who may ask, and who leads, is decided before.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from rppam.cache.model import LIFE_MS_MAX, CacheKey, Kind
from rppam.cache.ports import SharedCache
from rppam.cluster.health.ports import Leadership
from rppam.settings.errors import RevisionUnknown
from rppam.settings.hot import LiveSettings, copy_of
from rppam.settings.model import Setting, StoredSetting
from rppam.settings.registry import SETTINGS
from rppam.settings.store import SqlSettingsStore

audit: Final = logging.getLogger("rppam.audit")


class FieldChange(NamedTuple):
    """What one revision did to one field."""

    field: str
    before: object
    """``None``: it was not there."""
    after: object


class PastRevision(NamedTuple):
    stored: StoredSetting
    value: Mapping[str, object]
    changed: tuple[FieldChange, ...]


class Shown(NamedTuple):
    """A setting as it stands in SQL now."""

    setting: Setting[Any]
    revision: int
    """0: nobody has set it."""
    value: Mapping[str, object]
    stored: StoredSetting | None
    revision_here: int
    """The one in force in this process."""


class SettingChanges:
    """See the module. Every method raises a :class:`~rppam.db.errors.DatabaseError`."""

    def __init__(self, store: SqlSettingsStore, cache: SharedCache, live: LiveSettings) -> None:
        self._store, self._cache, self._live = store, cache, live

    async def show(self, setting: Setting[Any]) -> Shown:
        return self._shown(setting, await self._store.read(setting.name))

    async def show_all(self) -> list[Shown]:
        stored = {one.name: one for one in await self._store.read_all()}
        return [self._shown(setting, stored.get(setting.name)) for setting in SETTINGS.values()]

    async def put(
        self,
        leader: Leadership,
        setting: Setting[Any],
        fields: Mapping[str, object],
        author: str,
        expected: Sequence[int] | None,
    ) -> Shown:
        """Make ``fields`` the value, under the authority of ``leader``; what is left out has its default. ``expected``:
        revisions it may replace.
        The value that is in force already makes no revision and no line in the audit.

        Raises :class:`~rppam.settings.errors.SettingInvalid`,
        :class:`~rppam.settings.errors.SettingChanged` or
        :class:`~rppam.http.errors.FencedError`; then nothing has changed.
        """
        value = json.dumps(setting.write(setting.read(fields)))
        stored, is_new = await self._store.write(leader, setting.name, value, author, expected)
        if is_new:
            audit.info(
                "Setting %s: %s made revision %d under epoch %d: %s",
                setting.name,
                author,
                stored.revision,
                stored.epoch,
                stored.value,
            )
        self._live.wrote(stored)
        # Redis may not take it: then the others see it with their next look at SQL.
        await self._cache.publish(CacheKey(Kind.SETTING, setting.name), copy_of(stored), LIFE_MS_MAX)
        return self._shown(setting, stored)

    async def roll_back(
        self, leader: Leadership, setting: Setting[Any], to: int, author: str, expected: Sequence[int] | None
    ) -> Shown:
        """Make the value of revision ``to`` (0: the default) a new revision. Raises as :meth:`put`, and
        :class:`~rppam.settings.errors.RevisionUnknown`."""
        if to == 0:
            return await self.put(leader, setting, {}, author, expected)
        past = await self._store.revision(setting.name, to)
        if past is None:
            raise RevisionUnknown(f"{setting.name} has no revision {to}")
        return await self.put(leader, setting, json.loads(past.value), author, expected)

    async def history(self, setting: Setting[Any], below: int | None, count: int) -> list[PastRevision]:
        """At most ``count`` revisions, the newest first, each with what it changed."""
        found = await self._store.history(setting.name, below, count + 1)
        values: list[Mapping[str, object]] = [json.loads(one.value) for one in found]
        if len(found) <= count:  # the first of all changed the default
            values.append(setting.write(setting.default))
        return [
            PastRevision(stored, after, _compare(before, after))
            for stored, after, before in zip(found[:count], values, values[1:], strict=False)
        ]

    def _shown(self, setting: Setting[Any], stored: StoredSetting | None) -> Shown:
        here = self._live.revision_of(setting.name)
        if stored is None:
            return Shown(setting, 0, setting.write(setting.default), None, here)
        return Shown(setting, stored.revision, json.loads(stored.value), stored, here)


def _compare(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[FieldChange, ...]:
    return tuple(
        FieldChange(field, before.get(field), after.get(field))
        for field in dict.fromkeys([*before, *after])
        if before.get(field) != after.get(field)
    )
