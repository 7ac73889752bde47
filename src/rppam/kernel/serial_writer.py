"""Calls that may block, each on a thread, never two at a time and never an older one after a newer one.

A host that starts no thread refuses a call and keeps it all the same: the next free thread makes it, at any later time,
although its caller has given up. Such a late call must neither write beside a newer one nor over it.

What it does not promise: that a call which was refused is not made. It is, when a thread comes free before a newer call
was begun; that does no harm where the newest value is to be kept anyway.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Overtaken(Exception):
    """A call was not made, since a later one was begun before it."""


class InOrder(Generic[Value]):
    """One place that is written, and the call that writes it. Use it from one loop."""

    def __init__(self, call: Callable[[Value], None]) -> None:
        self._call = call
        self._asked = 0
        self._begun = 0
        """The number of the newest call that a thread began."""
        self._one_at_a_time = threading.Lock()

    async def run(self, value: Value) -> None:
        """Make the call on a thread; returns when it has ended.

        Raises what the call raises, :class:`RuntimeError` where no thread can be started (it may be made later then),
        and :class:`Overtaken` where it was not made.
        """
        self._asked += 1
        await asyncio.to_thread(self._in_turn, self._asked, value)

    def _in_turn(self, number: int, value: Value) -> None:
        with self._one_at_a_time:
            if number < self._begun:
                raise Overtaken(f"call {number} comes after call {self._begun} was begun")
            self._begun = number
            self._call(value)
