"""What the supervisor is told at its start, and what the template tells it once the settings are read."""

from pathlib import Path
from typing import Any, NamedTuple


class Start(NamedTuple):
    """What stands on the command line."""

    config: Path
    log_format: str | None
    log_level: str | None

    def words(self) -> list[str]:
        """The same for the command line of the template."""
        words = ["--config", str(self.config)]
        if self.log_format is not None:
            words += ["--log-format", self.log_format]
        if self.log_level is not None:
            words += ["--log-level", self.log_level]
        return words


class Hello(NamedTuple):
    """What the settings ask of the supervisor."""

    workers: int
    drain_s: int
    log_level: str
    log_format: str
    log_directory: Path | None
    history: Path
    """The file with this node's history."""
    address: tuple[str, str] | None
    """The virtual address with its prefix length, and its interface; ``None``: there is none."""
    uses_tls: bool
    """Whether last words may have to be said by TLS."""
    fingerprint: str
    """Of all settings: a template started later must have read the same."""

    @classmethod
    def of(cls, facts: dict[str, Any]) -> "Hello":
        """As the template sent it."""
        directory = facts.pop("log_directory")
        history, address = Path(facts.pop("history")), facts.pop("address")
        return cls(
            **facts,
            log_directory=Path(directory) if directory else None,
            history=history,
            address=(address[0], address[1]) if address else None,
        )
