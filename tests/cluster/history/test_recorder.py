"""The history gets what is marked for it, whatever the log's level is, and nothing else."""

import io
import json
import logging
from datetime import date

from rppam.cluster.history.recorder import HistoryEvent, HistoryHandler, noted
from rppam.kernel.logging import facts, logging_to
from rppam.kernel.secret import REDACTED, Secret

log = logging.getLogger("rppam.test")


class Lines:
    """A sink in memory."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, day: date, line: str) -> None:
        del day
        self.lines.append(line)

    def close(self) -> None:
        pass


def test_marked_records_are_noted_also_where_the_log_shows_errors_only() -> None:
    sink, stream = Lines(), io.StringIO()
    with logging_to(level="Error", stream=stream, also=HistoryHandler(sink)):
        log.info("node1 leads at epoch %d", 7, extra=noted(HistoryEvent.ELECTED, epoch=7, withoutLeaderMs=40))
        log.info("something else", extra=facts(epoch=7))
        log.debug("too small", extra=noted(HistoryEvent.NOTICE))
        log.error("the control process ended", extra=noted(HistoryEvent.CONTROL_ENDED))
    one, two = (json.loads(line) for line in sink.lines)
    assert one.pop("at") > 1_700_000_000_000
    assert one == {
        "event": "elected",
        "sentence": "node1 leads at epoch 7",
        "facts": {"epoch": 7, "withoutLeaderMs": 40},
    }
    assert two["event"] == "control-ended"
    assert [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()] == [
        "ERROR the control process ended event=control-ended"
    ]


def test_an_entry_is_one_line_without_secrets() -> None:
    sink = Lines()
    with logging_to(stream=io.StringIO(), also=HistoryHandler(sink)):
        log.warning("by %s", "eve\n\x1b[2J", extra=noted(HistoryEvent.ORDER, by="a\nb", password="hunter2"))
        log.warning("with %s", Secret("hunter2"), extra=noted(HistoryEvent.ORDER, what=Secret("hunter2"), n=None))
    assert all("\n" not in line and "\x1b" not in line and "hunter2" not in line for line in sink.lines)
    assert [json.loads(line)["facts"] for line in sink.lines] == [
        {"by": "a\\nb", "password": REDACTED},
        {"what": REDACTED, "n": None},
    ]
