"""What the ledger records of recordings."""

from typing import Final

from rppam.ledger.events import Action, Retention

_A = Retention.ACCESS

ACTIONS: Final = (
    Action("recording.start", "recording", "The recording of a channel began", _A, "session, kind, first hash"),
    Action("recording.head", "recording", "A recording has come so far", _A, "chunks, last hash"),
    Action("recording.end", "recording", "A recording ended", _A, "chunks, last hash, bytes, how the channel ended"),
    Action("recording.lose", "recording", "What came last in a recording was lost", _A, "why"),
    Action("recording.export", "recording", "A recording was exported or played", _A, "format"),
    Action("recording.watch", "recording", "Somebody watched a session as it went on", _A, "session"),
    Action("recording.search", "recording", "Recordings were searched for a text", _A, "session, user, target"),
    Action("recording.hold", "recording", "A recording is kept whatever its age", Retention.ADMINISTRATION, ""),
    Action("recording.release", "recording", "A recording ages again", Retention.ADMINISTRATION, ""),
    Action(
        "recording.delete",
        "recording",
        "The key of a recording was destroyed, as its time was over",
        Retention.ADMINISTRATION,
        "session, chunks, last hash, bytes",
    ),
    Action("recording.verify", "recording", "A recording was verified", _A, "what was found"),
)
