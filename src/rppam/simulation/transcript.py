"""What happened, in sentences: the last lines before a violation tell how it came about."""

from collections import deque

from rppam.core.effects import Event, Exchange, Found, Granted
from rppam.domain.record import NOBODY, Record, parse_record

LINES_KEPT = 60


def clock_time(true_us: int) -> str:
    """True time since the start of the run, as ``h:mm:ss.uuuuuu``."""
    seconds, micro = divmod(true_us, 1_000_000)
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{micro:06d}"


def record_words(record: Record | None) -> str:
    """A record for people; epochs by their last digits are no easier to read, so they stand in full."""
    if record is None:
        return "no record"
    if record.holder == NOBODY:
        return f"the vacant mark {record.nonce[:6]} at epoch {record.epoch}"
    return f"'{record.state} by {record.holder} (life {record.boot_id[-4:]}), epoch {record.epoch}, seq {record.seq}'"


class Transcript:
    """The last lines of a run."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=LINES_KEPT)

    def add(self, true_us: int, sentence: str) -> None:
        """One more line."""
        self.lines.append(f"{clock_time(true_us)}  {sentence}")

    def exchange(self, name: str, effect: Exchange, answer: Event, stands: str | None) -> str:
        """One exchange at the store."""
        shown = record_words(None if stands is None else parse_record(stands))
        if effect.swap is None:
            outcome = f"{name} reads; there stands {shown}"
        elif isinstance(answer, Granted):
            outcome = f"{name} may {effect.swap.purpose}: there stands now {shown}"
        elif isinstance(answer, Found):
            outcome = f"{name} may not {effect.swap.purpose}: there stands {shown}"
        else:
            outcome = f"{name} wants to {effect.swap.purpose} and gets an error; there stands {shown}"
        if isinstance(answer, Found) and answer.was_absent:
            outcome += " (none stood there before)"
        return "store: " + outcome
