"""The secrets of one Redis set-up: made once, kept in one private file, used again by the next run.

Passwords are 48 letters and digits (285 bits), as the vendor article's generator makes them: no character that any
configuration file, URL or shell would take for something else.
"""

import json
import secrets
import string
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Self

from rppam.kernel.secret import Secret

LETTERS: Final = string.ascii_letters + string.digits
CHARS: Final = 48
FILE: Final = "secrets.json"


def new_password() -> Secret:
    """A password for Redis."""
    return Secret("".join(secrets.choice(LETTERS) for _ in range(CHARS)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Passwords:
    """Every secret that the files of a set-up hold."""

    default: Secret
    """Of the user ``default``: ``requirepass``, for administrators."""
    node: Secret
    """Of the user that nodes use."""
    witness: Secret
    """Of the user that witnesses use."""
    replica: Secret
    """Of the user that replicas copy with."""
    sentinel: Secret
    """Of the user that sentinels use on Redis."""
    at_sentinel: Secret
    """Of the sentinels themselves."""
    pfx: Secret
    """Of the client certificate."""
    config_name: Secret
    """What CONFIG is called."""

    @classmethod
    def make(cls) -> Self:
        """Fresh ones."""
        made = {entry.name: new_password() for entry in fields(cls)}
        return cls(**made | {"config_name": Secret("RPPAM_CONFIG_" + secrets.token_hex(8))})

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Those of the run before, or ``None``. Raises :class:`ValueError` when the file is not whole."""
        try:
            held = json.loads((folder / FILE).read_text(encoding="utf-8"))
            held.setdefault("witness", new_password().reveal())  # a file of before has none
            return cls(**{entry.name: _secret(held[entry.name]) for entry in fields(cls)})
        except FileNotFoundError:
            return None
        except (AttributeError, KeyError, TypeError, ValueError, UnicodeDecodeError):
            raise ValueError(f"{folder / FILE} is not the file of passwords that this command wrote") from None

    def text(self) -> str:
        """The file's content."""
        return json.dumps({entry.name: getattr(self, entry.name).reveal() for entry in fields(self)}, indent=2) + "\n"


def _secret(value: object) -> Secret:
    if not isinstance(value, str) or not value or set(value) - set(LETTERS + "_"):
        raise ValueError("not a password of ours")
    return Secret(value)
