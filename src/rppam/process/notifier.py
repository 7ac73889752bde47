"""The service manager outside, as far as the node speaks to it."""

from typing import Protocol


class Notifier(Protocol):
    """The node's line to its service manager. Each call answers at once: whether the manager was told."""

    @property
    def alive_every_ms(self) -> int | None:
        """How often :meth:`alive` is due; ``None`` when nobody watches."""
        ...

    def ready(self, status: str) -> bool:
        """The node serves. Tell it once."""
        ...

    def status(self, text: str) -> bool:
        """One line for people, shown by ``systemctl status``."""
        ...

    def alive(self) -> bool:
        """The watchdog's ping: the node's loop turns."""
        ...

    def stopping(self, status: str) -> bool:
        """The node has begun to stop."""
        ...
