"""The Lua scripts, one file each in ``scripts/`` beside this module, shipped as package data."""

from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Script:
    """One script: what Redis calls it (``sha``) and what it says (``text``)."""

    name: str
    text: str
    sha: str
    """SHA-1 of the text in hexadecimal: its name in the script cache, not a security measure."""

    @classmethod
    def of(cls, name: str, text: str) -> "Script":
        """A script from its text."""
        return cls(name, text, sha1(text.encode(), usedforsecurity=False).hexdigest())

    @classmethod
    def load(cls, name: str) -> "Script":
        """The script in ``scripts/NAME.lua``. Raises FileNotFoundError when the package does not hold it."""
        return cls.of(name, (files("rppam.adapters.redis") / "scripts" / f"{name}.lua").read_text(encoding="utf-8"))
