"""Log lines: their shape, what they hide, and that they never raise or block."""

import io
import json
import logging
import os
import stat
import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from rppam.kernel.logging import DailyFileSink, QueuedHandler, StreamSink, facts, logging_to, one_line
from rppam.kernel.secret import Secret

log = logging.getLogger("rppam.test")


def lines_of(fmt: str, write: Callable[[], object], level: str = "Verbose") -> list[str]:
    stream = io.StringIO()
    with logging_to(level=level, fmt=fmt, stream=stream):
        write()
    return stream.getvalue().splitlines()


def test_human_line_is_time_level_sentence_and_facts() -> None:
    (line,) = lines_of("human", lambda: log.info("Took the lead.", extra=facts(epoch=7, why="record free", name="n")))
    time, rest = line.split(" ", 1)
    assert time.endswith("Z")
    assert "T" in time
    assert rest == 'INFO  Took the lead. epoch=7 why="record free" name=n'


def test_json_line_is_clef() -> None:
    (line,) = lines_of("json", lambda: log.warning("Renewal %d lost.", 3, extra=facts(**{"epoch": 7, "@odd": True})))
    event = json.loads(line)
    assert event.pop("@t").endswith("Z")
    assert event == {
        "@l": "Warning",
        "@m": "Renewal 3 lost.",
        "@mt": "Renewal %d lost.",
        "SourceContext": "rppam.test",
        "epoch": 7,
        "@@odd": True,
    }


@pytest.mark.parametrize(("fmt", "mark"), [("human", " worker=2"), ("json", '"worker": 2')])
def test_a_line_of_a_worker_names_it(fmt: str, mark: str) -> None:
    stream = io.StringIO()
    with logging_to(fmt=fmt, stream=stream, worker=2):
        log.info("no connection to Redis")
        logging.getLogger("rppam.audit").warning("who did what", extra=facts(by="eve"))
    assert [mark in line for line in stream.getvalue().splitlines()] == [True, True]
    assert "worker" not in "".join(lines_of(fmt, lambda: log.info("no connection to Redis")))


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (5, "Verbose"),
        (10, "Debug"),
        (20, "Information"),
        (30, "Warning"),
        (40, "Error"),
        (50, "Fatal"),
        (25, "Information"),
    ],
)
def test_levels_have_the_products_names(number: int, name: str) -> None:
    (line,) = lines_of("json", lambda: log.log(number, "x"))
    assert json.loads(line)["@l"] == name


def test_level_hides_what_is_below() -> None:
    def write() -> None:
        log.info("quiet")
        log.error("loud")

    lines = lines_of("human", write, level="Warning")
    assert len(lines) == 1
    assert "loud" in lines[0]


@pytest.mark.parametrize("level", ["Fatal", "Warning", "Information", "Verbose"])
def test_the_audit_is_written_at_every_level(level: str) -> None:
    audit = logging.getLogger("rppam.audit")
    before = audit.level

    def write() -> None:
        audit.info("who did what")
        log.info("quiet")

    lines = lines_of("human", write, level=level)
    assert ["who did what" in line for line in lines] == ([True] if level in {"Fatal", "Warning"} else [True, False])
    assert audit.level == before


@pytest.mark.parametrize("fmt", ["human", "json"])
def test_secrets_never_print(fmt: str) -> None:
    def write() -> None:
        log.info("Login with %s and %r", Secret("hunter2"), Secret("hunter2"), extra=facts(given=Secret("hunter2")))
        log.info("Named", extra=facts(password="hunter2", accessToken="hunter2", connection_string="hunter2"))
        log.info("Nested", extra=facts(settings={"deep": [Secret("hunter2")]}))

    text = "\n".join(lines_of(fmt, write))
    assert text.count("\n") == 2
    assert "hunter2" not in text
    assert "********" in text


@pytest.mark.parametrize("fmt", ["human", "json"])
def test_a_line_break_in_a_value_forges_no_entry(fmt: str) -> None:
    evil = "node1\n2026-01-01T00:00:00.000Z INFO forged\r\x1b[31m\u2028x"
    lines = lines_of(fmt, lambda: log.info("Seen %s", evil, extra=facts(name=evil)))
    assert len(lines) == 1
    assert "\x1b" not in lines[0]
    assert "\u2028" not in lines[0]


def test_a_traceback_stands_below_its_line_marked() -> None:
    def write() -> None:
        try:
            raise RuntimeError("bad\n2026-01-01T00:00:00.000Z FATAL forged")
        except RuntimeError:
            log.exception("Failed.")

    first, *rest = lines_of("human", write)
    assert first.endswith("ERROR Failed.")
    assert rest
    assert all(line.startswith("    | ") for line in rest)
    (line,) = lines_of("json", write)
    assert "RuntimeError" in json.loads(line)["@x"]


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


@pytest.mark.parametrize("fmt", ["human", "json"])
def test_logging_never_raises(fmt: str) -> None:
    cycle: list[object] = []
    cycle.append(cycle)

    def write() -> None:
        log.info("two %s %s", *["one"])
        log.info("bad %s", Unprintable())
        log.info("fact", extra=facts(value=Unprintable(), cycle=cycle, nan=float("nan"), raw=b"\xff", names={"b", "a"}))
        log.info("lone \ud800 surrogate")

    lines = lines_of(fmt, write)
    assert len(lines) == 4
    assert "arguments do not fit" in lines[0]
    assert "<unprintable Unprintable>" in lines[2]


def test_one_line_escapes_what_turns_the_line_and_half_characters() -> None:
    assert one_line("a\u202eb\u2067c\ud800d") == "a\\u202eb\\u2067c\\ud800d"


def test_one_line_keeps_ordinary_text() -> None:
    assert one_line("Größe = 5 µs — ok") == "Größe = 5 µs — ok"


def test_files_are_named_by_day_and_the_old_ones_go(tmp_path: Path) -> None:
    (tmp_path / "rppam-audit-20250101.log").write_text("not ours")
    sink = DailyFileSink(tmp_path, StreamSink(io.StringIO()), retained_days=2)
    for day in (1, 2, 3, 3):
        sink.write(date(2026, 11, day), f"day {day}")
    sink.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "rppam-20261102.log",
        "rppam-20261103.log",
        "rppam-audit-20250101.log",
    ]
    assert (tmp_path / "rppam-20261103.log").read_text() == "day 3\nday 3\n"
    assert stat.S_IMODE((tmp_path / "rppam-20261103.log").stat().st_mode) & 0o027 == 0


def test_a_folder_that_cannot_be_made_sends_lines_to_stderr(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    stream = io.StringIO()
    with logging_to(directory=tmp_path / "taken" / "logs", stream=stream):
        log.info("still here")
        log.info("and here")
    first, second, third = stream.getvalue().splitlines()
    assert "logging.directory" in first
    assert "still here" in second
    assert "and here" in third


def test_a_link_in_the_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    day = date(2026, 11, 1)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "rppam-20261101.log").symlink_to(target)
    stream = io.StringIO()
    sink = DailyFileSink(tmp_path / "logs", StreamSink(stream))
    sink.write(day, "line")
    sink.close()
    assert not target.exists()
    assert "line" in stream.getvalue()


def test_a_stalled_reader_never_stalls_the_caller_and_losses_are_counted() -> None:
    stalled, go = threading.Event(), threading.Event()
    written: list[str] = []

    class Stalling:
        def write(self, day: date, line: str) -> None:
            stalled.set()
            assert go.wait(10)
            written.append(line)

        def close(self) -> None:
            written.append("closed")

    handler = QueuedHandler(Stalling(), queue_lines=2)
    handler.emit(logging.makeLogRecord({"msg": "first"}))
    assert stalled.wait(10)
    for _ in range(5):  # two fit, three are dropped, none waits
        handler.emit(logging.makeLogRecord({"msg": "more"}))
    go.set()
    handler.close()
    assert written == [
        "first",
        "more",
        "more",
        "3 log lines were dropped: they came faster than they could be written.",
        "closed",
    ]


def test_a_broken_pipe_is_silent() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        with logging_to(stream=stream):
            log.info("nobody reads")
        with pytest.raises(BrokenPipeError):
            stream.close()


def test_an_unknown_level_or_format_is_refused() -> None:
    with pytest.raises(ValueError, match="Verbose, Debug"), logging_to(level="loud"):
        pass
    with pytest.raises(ValueError, match="xml"), logging_to(fmt="xml"):
        pass


def test_the_root_logger_is_put_back() -> None:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    with logging_to(stream=io.StringIO()):
        assert root.handlers != before[0]
    assert (root.handlers, root.level) == before
