"""A host that starts no thread, as CPython meets it: the call is refused, kept all the same, and made later."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class LateThreads(ThreadPoolExecutor):
    """Refuses the next ``refuses`` calls; :meth:`make_late_ones` makes them after all. A loop can have it."""

    def __init__(self, refuses: int = 1) -> None:
        super().__init__()
        self.refuses = refuses
        self._late: list[Callable[[], object]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        if self.refuses:
            self.refuses -= 1
            self._late.append(lambda: fn(*args, **kwargs))
            raise RuntimeError("can't start new thread")
        return super().submit(fn, *args, **kwargs)

    def make_late_ones(self) -> "list[Future[Any]]":
        """Have threads make the calls that were refused."""
        late, self._late = self._late, []
        return [super(LateThreads, self).submit(call) for call in late]
