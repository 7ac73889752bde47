"""Which of the node's processes hang, judged by their signs of life in the shared state.

* The control process of a leader is **frozen** when its permission has ended and it has not turned since: awake, it
  would have stepped down at that moment. It is killed at once, so that what it holds can be given up for it.
* Any process that has shown no sign of life for :data:`HUNG_US` hangs.

After a pause of its own the supervisor gives all processes time to turn before it judges them.
"""

from typing import Final

from rppam.process.shared_state import CONTROL, SharedState

HUNG_US: Final = 10_000_000
WAKE_GRACE_US: Final = 20_000
"""How late a process may turn at the end of its permission."""
OWN_PAUSE_US: Final = 1_000_000
"""A turn of the supervisor that came later than this was a pause."""


class Watchdog:
    """Judges. It kills nothing itself."""

    def __init__(self, page: SharedState) -> None:
        self._page = page
        self._turned_us = 0
        self._judge_from_us = 0

    def turned(self, now_us: int) -> None:
        """Note that the supervisor turns."""
        if self._turned_us and now_us - self._turned_us > OWN_PAUSE_US:
            self.woke(now_us)
        self._turned_us = now_us

    def woke(self, now_us: int) -> None:
        """Note that this host, or the supervisor, stood still until now."""
        self._judge_from_us = now_us + OWN_PAUSE_US

    def why_frozen(self, generation: int, now_us: int) -> str:
        """Why the control process of this generation has to be killed; empty: it has not."""
        if now_us < self._judge_from_us:
            return ""
        permission, stamped_us = self._page.permission(), self._page.stamped_us(CONTROL)
        if (
            permission is not None
            and permission.generation == generation
            and now_us > permission.deadline_us + WAKE_GRACE_US
            and stamped_us < permission.deadline_us
        ):
            return f"it was frozen for {(now_us - stamped_us) // 1000} ms, past the end of its permission"
        return self.why_hung(CONTROL, now_us)

    def why_hung(self, place: int, now_us: int, patience: int = 1) -> str:
        """Why the process at ``place`` has to be killed; empty: it has not. ``patience``: times :data:`HUNG_US`."""
        silent_us = now_us - self._page.stamped_us(place)
        if now_us < self._judge_from_us or silent_us < patience * HUNG_US:
            return ""
        return f"it showed no sign of life for {silent_us // 1000} ms"

    def look_again_us(self, generation: int, now_us: int) -> int | None:
        """When the permission of this generation may turn out to be that of a frozen process."""
        permission = self._page.permission()
        if permission is None or permission.generation != generation:
            return None
        at_us = max(permission.deadline_us + WAKE_GRACE_US, self._judge_from_us) + 1_000
        return at_us if at_us > now_us else None
