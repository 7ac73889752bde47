"""The JSON of rotation."""

from typing import Annotated, Final

from fastapi import Path
from pydantic import Field

from rppam.http.schemas import Flag, Shape
from rppam.http.times import iso_utc
from rppam.rotation.machine import Phase
from rppam.rotation.model import EVERY_HOURS_MAX, LENGTH, LENGTHS, Cause, Rotation, Rules
from rppam.rotation.service import Standing

REASON_CHARS_MAX: Final = 1_000
EntryId = Annotated[str, Path(alias="entryId", pattern="^[0-9a-zA-Z-]{1,36}$")]


class RotateRequest(Shape):
    """An order."""

    reason: Annotated[str, Field(max_length=REASON_CHARS_MAX)] = ""


class RulesPut(Shape):
    """How the secret of an entry is changed on its target."""

    enabled: Flag = True
    """false: not by itself; an order still is carried out."""
    every_hours: Annotated[int, Field(ge=0, le=EVERY_HOURS_MAX, strict=True)] = 0
    """0: not by time. With `rotateAfterUse` it is changed after each check-out all the same."""
    by_entry_id: Annotated[str | None, Field(max_length=36)] = None
    """The entry of another account on the same target that changes it; null: the account changes its own."""
    length: Annotated[int, Field(ge=LENGTHS[0], le=LENGTHS[1], strict=True)] = LENGTH
    without: Annotated[str, Field(max_length=64)] = ""
    """Characters that the target refuses."""
    revision: Annotated[int | None, Field(ge=0)] = None
    """If given, the one that the rules stand at: a change that somebody else made meanwhile is not overwritten."""


class RotationShape(Shape):
    """One change of a secret on its target."""

    id: str
    entry_id: str
    entry: str
    """Folder and name."""
    target: str
    cause: Cause
    phase: Phase
    """`waiting`, `staged`, `changing`: under way; `uncertain`: the target takes none of the secrets that are kept;
    `done`, `cancelled`: over."""
    attempts: int
    problem: str
    """What the last attempt failed by; empty: nothing did."""
    node: str
    """Which works on it, or did last."""
    created_at: str
    changed_at: str
    next_at: str | None
    """Not before then it is tried again; null: it is over."""
    ended_at: str | None


class RotationList(Shape):
    """Changes, the newest first."""

    items: list[RotationShape]


class StandingShape(Shape):
    """How it stands with one entry."""

    enabled: bool
    every_hours: int
    by_entry_id: str | None
    length: int
    without: str
    revision: int
    """0: nobody has set anything, and these are the defaults."""
    problem: str
    """Why its secret cannot be changed on a target; empty where it can."""
    rotations: list[RotationShape]
    """The newest first."""


def rules_of(body: RulesPut) -> Rules:
    """For the service."""
    return Rules(body.enabled, body.every_hours, body.by_entry_id or None, body.length, body.without)


def rotation_shape(one: Rotation) -> RotationShape:
    """For the answer."""
    return RotationShape(
        id=one.id,
        entry_id=one.entry_id,
        entry=one.entry,
        target=one.target,
        cause=one.cause,
        phase=one.phase,
        attempts=one.attempts,
        problem=one.problem,
        node=one.node,
        created_at=iso_utc(one.created_at),
        changed_at=iso_utc(one.changed_at),
        next_at=None if one.next_at is None else iso_utc(one.next_at),
        ended_at=None if one.ended_at is None else iso_utc(one.ended_at),
    )


def standing_shape(found: Standing) -> StandingShape:
    """For the answer."""
    rules = found.rules
    return StandingShape(
        enabled=rules.enabled,
        every_hours=rules.every_hours,
        by_entry_id=rules.by_entry_id,
        length=rules.length,
        without=rules.without,
        revision=rules.revision,
        problem=found.problem,
        rotations=[rotation_shape(one) for one in found.newest],
    )
