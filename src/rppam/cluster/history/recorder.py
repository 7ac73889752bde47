"""The history: log records that tell what happened to leadership go to a file of their own as well.

Decides which records those are (they carry a ``HistoryEvent``) and how they look there: one
line of JSON each. They take the same way as log lines, over a bounded queue to a thread of their own, so a disk that
hangs stalls neither who holds the lease nor the supervisor. What the log promises, and what not, holds here too.

Use::

    log.warning("stepped down", extra=noted(HistoryEvent.STEPPED_DOWN, epoch=7))
"""

import json
import logging
from typing import Final

from rppam.cluster.history.model import HistoryEvent
from rppam.kernel.logging import QueuedHandler, Sink, facts, one_line, properties_of, sentence_of

EVENT: Final = "event"
"""The name of the property that makes a log record part of the history."""
QUEUE_ENTRIES: Final = 1_000
SENTENCE_CHARS_MAX: Final = 2_000
FACT_CHARS_MAX: Final = 300


def noted(event: HistoryEvent, **properties: object) -> dict[str, object]:
    """What goes into ``extra=`` of a log call whose record belongs to the history."""
    return facts(event=str(event), **properties)


class HistoryFormatter(logging.Formatter):
    """``{"at": ms, "event": ..., "sentence": ..., "facts": {...}}`` in one line."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as one line of JSON. Never raises."""
        told = properties_of(record)
        return json.dumps(
            {
                "at": round(record.created * 1000),
                EVENT: told.pop(EVENT, ""),
                "sentence": one_line(sentence_of(record))[:SENTENCE_CHARS_MAX],
                "facts": {name: _plain(value) for name, value in told.items()},
            }
        )


class HistoryHandler(QueuedHandler):
    """Takes the records that belong to the history, whatever level the log has; the others pass by."""

    def __init__(self, sink: Sink) -> None:
        super().__init__(sink, QUEUE_ENTRIES, thread_name="rppam-history")
        self.setFormatter(HistoryFormatter())

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it belongs to the history."""
        return EVENT in properties_of(record)


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int):
        return value
    return one_line(str(value))[:FACT_CHARS_MAX]
