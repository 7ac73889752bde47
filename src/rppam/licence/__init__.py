"""Licences: signed files, and what they allow."""

from typing import TYPE_CHECKING

from rppam.kernel.slice import Command, Slice, exports

if TYPE_CHECKING:
    from rppam.licence.model import Denied as Denied, Seats as Seats, Tier as Tier, warning_of as warning_of
    from rppam.licence.service import (
        Terms as Terms,
        issue as issue,
        new_private_key as new_private_key,
        parse_private_key as parse_private_key,
        parse_public_key as parse_public_key,
        read_licence as read_licence,
    )

SLICE = Slice(
    name="licence",
    package=__name__,
    commands={"license": Command("cli", "Issue, show and verify licence files.")},
)

__getattr__ = exports(
    __name__,
    model="Denied Seats Tier warning_of",
    service="Terms issue new_private_key parse_private_key parse_public_key read_licence",
)
