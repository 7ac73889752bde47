"""The JSON around settings of hot configuration. The values themselves are described in docs/operations/settings.md."""

from typing import Annotated, Any

from pydantic import Field

from rppam.http.times import iso_utc
from rppam.manager.schemas import Shape
from rppam.settings.service import PastRevision, Shown

REVISION_MAX = 2**53


class SettingShape(Shape):
    """One setting as it stands in the database."""

    name: str
    title: str
    revision: int
    """0: nobody has set it, the default holds."""
    value: dict[str, Any]
    default: dict[str, Any]
    author: str | None
    """Who made this revision; null for the default."""
    changed_at: str | None
    """By the database's clock."""
    epoch: int | None
    """The leadership under which it was made."""
    node: str | None
    revision_here: int
    """The revision in force in the answering process."""


class SettingList(Shape):
    """All settings."""

    settings: list[SettingShape]


class FieldChangeShape(Shape):
    """What a revision did to one field."""

    field: str
    from_value: Annotated[Any, Field(alias="from")]
    """null: the field was not there."""
    to_value: Annotated[Any, Field(alias="to")]


class RevisionShape(Shape):
    """One revision of a setting."""

    revision: int
    value: dict[str, Any]
    changes: list[FieldChangeShape]
    """Against the revision before; the first one against the default."""
    author: str
    changed_at: str
    epoch: int
    node: str


class SettingHistory(Shape):
    """Revisions, the newest first."""

    name: str
    revisions: list[RevisionShape]
    next_before: int | None
    """Ask again with `before` set to this for older ones; null: there are none."""


class RollbackRequest(Shape):
    """To which revision."""

    revision: Annotated[int, Field(ge=0, le=REVISION_MAX, strict=True)]
    """Its value becomes a new revision. 0 is the default."""


def setting_shape(shown: Shown) -> SettingShape:
    """``shown`` as JSON."""
    stored = shown.stored
    return SettingShape(
        name=shown.setting.name,
        title=shown.setting.title,
        revision=shown.revision,
        value=dict(shown.value),
        default=shown.setting.write(shown.setting.default),
        author=stored.author if stored else None,
        changed_at=iso_utc(stored.changed_at) if stored else None,
        epoch=stored.epoch if stored else None,
        node=stored.node if stored else None,
        revision_here=shown.revision_here,
    )


def revision_shape(past: PastRevision) -> RevisionShape:
    """``past`` as JSON."""
    stored = past.stored
    return RevisionShape(
        revision=stored.revision,
        value=dict(past.value),
        changes=[FieldChangeShape(field=one.field, from_value=one.before, to_value=one.after) for one in past.changed],
        author=stored.author,
        changed_at=iso_utc(stored.changed_at),
        epoch=stored.epoch,
        node=stored.node,
    )
