"""The features of this product, one line each: what is not listed here does not exist.

Each is a folder whose ``__init__`` declares its parts. A feature is added by its folder and one line here.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import rppam.access.accounts
import rppam.access.lockouts
import rppam.access.mfa
import rppam.access.passkeys
import rppam.access.rbac
import rppam.access.sessions
import rppam.access.tokens
import rppam.app
import rppam.audit
import rppam.console
import rppam.demo
import rppam.doctor
import rppam.failover_test
import rppam.gateway
import rppam.licence
import rppam.limits
import rppam.manager
import rppam.notifications
import rppam.recordings
import rppam.requests
import rppam.rotation
import rppam.setup
import rppam.siem
import rppam.targets
import rppam.vault
import rppam.welcome
from rppam.db.steps import STEPS
from rppam.kernel.slice import Command, Slice, load
from rppam.ledger.events import ACTIONS
from rppam.settings.registry import SETTINGS

if TYPE_CHECKING:
    from sqlalchemy import MetaData

__all__ = ["ACTIONS", "SETTINGS", "SLICES", "STEPS", "add", "commands", "routers", "tables"]

SLICES: Final[list[Slice]] = [
    rppam.access.tokens.SLICE,
    rppam.access.rbac.SLICE,
    rppam.access.accounts.SLICE,
    rppam.access.lockouts.SLICE,
    rppam.access.mfa.SLICE,
    rppam.access.sessions.SLICE,
    rppam.access.passkeys.SLICE,
    rppam.audit.SLICE,
    rppam.siem.SLICE,
    rppam.targets.SLICE,
    rppam.vault.SLICE,
    rppam.recordings.SLICE,
    rppam.gateway.SLICE,
    rppam.rotation.SLICE,
    rppam.notifications.SLICE,
    rppam.requests.SLICE,
    rppam.limits.SLICE,
    rppam.manager.SLICE,
    rppam.failover_test.SLICE,
    rppam.console.SLICE,
    rppam.licence.SLICE,
    rppam.doctor.SLICE,
    rppam.setup.SLICE,
    rppam.demo.SLICE,
    rppam.welcome.SLICE,
    rppam.app.SLICE,
]
"""In the order in which they are wired: a slice finds the services of those above it."""

_BASE_TABLES: Final = ("rppam.cache.tables", "rppam.ledger.tables", "rppam.settings.tables")

_SIMULATOR: Final = "rppam_sim"
"""A package beside this one, which an installation may lack."""


def commands() -> dict[str, Command]:
    """Every word of the ``rppam`` command, with its whole module."""
    found = {
        word: Command(slice_.place(command.module), command.help)
        for slice_ in SLICES
        for word, command in slice_.commands.items()
    }
    if find_spec(_SIMULATOR):
        found["simulate"] = Command(
            f"{_SIMULATOR}.cli", "Run the election under seeded faults and check its properties."
        )
    return dict(sorted(found.items()))


def routers() -> list[Any]:
    """The routers of the REST API, in the order of the reference."""
    return [load(slice_.place(route)) for slice_ in SLICES for route in slice_.routes]


def tables() -> "MetaData":
    """All tables of this release, of slices and of what they stand on."""
    from rppam.db.tables import metadata

    for module in (*_BASE_TABLES, *(slice_.place(slice_.tables) for slice_ in SLICES if slice_.tables)):
        import_module(module)
    return metadata


def add(slice_: Slice) -> None:
    """Make one more feature part of the product. ValueError where its name or one of its words is taken."""
    taken = {one.name for one in SLICES} | {word for one in SLICES for word in one.commands}
    if clash := {slice_.name, *slice_.commands} & taken:
        raise ValueError(f"the slice {slice_.name} uses what another has: {', '.join(sorted(clash))}")
    SLICES.append(slice_)
    SETTINGS.declare(map(slice_.place, slice_.settings))
    STEPS.declare([slice_.place(slice_.migrations)] if slice_.migrations else [])
    ACTIONS.declare([slice_.place(slice_.actions)] if slice_.actions else [])


SETTINGS.declare(slice_.place(setting) for slice_ in SLICES for setting in slice_.settings)
STEPS.declare(slice_.place(slice_.migrations) for slice_ in SLICES if slice_.migrations)
ACTIONS.declare(slice_.place(slice_.actions) for slice_ in SLICES if slice_.actions)
