"""The licence file of this host.

A licence that cannot be read never keeps a node from starting: it runs as Standard would, which lets every member of a
running cluster come back and only refuses new nodes; and it says so wherever people look.
"""

from pathlib import Path

from rppam.config.settings import LicenseSettings
from rppam.licence.errors import LicenceError, LicenceKeyUnusable
from rppam.licence.model import Licence
from rppam.licence.service import TEXT_CHARS_MAX, TrustedKey, parse_public_key, verify


def read_licence(settings: LicenseSettings) -> tuple[Licence | None, str]:
    """The licence in force, or ``None``; and a sentence when a file is there that cannot be used."""
    path = settings.path
    try:
        text = _read(path)
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, f"license.path: {path} cannot be read ({error.strerror}), so this node counts as Standard"
    try:
        return verify(text, trusted_keys(settings)), ""
    except LicenceError as error:
        return None, f"license.path: {path} is not used, so this node counts as Standard: {error}"


def trusted_keys(settings: LicenseSettings) -> tuple[TrustedKey, ...]:
    """The keys in ``license.trustedKeys``. Raises :class:`LicenceKeyUnusable` naming the entry."""
    found: list[TrustedKey] = []
    for number, key in enumerate(settings.trusted_keys):
        place = f"license.trustedKeys[{number}]"
        if isinstance(key, Path):
            try:
                found.append(parse_public_key(_read(key), f"{place} ({key})"))
            except OSError as error:
                raise LicenceKeyUnusable(f"{place}: cannot read {key}: {error.strerror}") from None
        else:
            found.append(parse_public_key(key, place))
    return tuple(found)


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(TEXT_CHARS_MAX + 1).decode("utf-8", "replace")
