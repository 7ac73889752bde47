"""What can be wrong with recordings (RPPAM-8701 and on)."""

from rppam.kernel.errors import Exit, Fault, Retry, RppamError


class RecordingError(RppamError, fault=Fault.CALLER, retry=Retry.NO, exit=Exit.ERRORS, level="info"):
    """Base of all errors of recordings."""


class RecordingUnknown(RecordingError, code="RPPAM-8701", status=404):
    """No recording has this id."""

    fix = "GET /api/v1/recordings or 'rppam recording ls' lists them; with --session ID those of a session."


class RecordingUnavailable(
    RecordingError, code="RPPAM-8702", fault=Fault.SURROUNDINGS, retry=Retry.SLOWLY, status=503, level="error"
):
    """The session cannot be recorded, and the policy allows none that is not."""

    fix = "See why the store of recordings takes nothing: the database of the cluster, its disk."


class RecordingBroken(RecordingError, code="RPPAM-8703", fault=Fault.OPERATOR, status=500, level="error"):
    """A recording is not what was recorded: a chunk is missing, or was changed."""

    fix = "Keep the database as it is, and compare it with a backup: somebody has written to it."


class RecordingFileBroken(RecordingError, code="RPPAM-8704"):
    """An exported recording is not what was exported."""

    fix = "Export it anew, and compare the two."


class RecordingStoreFailed(
    RecordingError, code="RPPAM-8706", fault=Fault.SURROUNDINGS, retry=Retry.SLOWLY, status=503, level="error"
):
    """The folder or bucket that recordings lie in takes nothing, or does not have what it should."""

    fix = (
        "See that the folder of the setting recordings/store is mounted on this node and has room, or that its bucket "
        "answers and takes the node's keys (access.s3KeyId); rppam must be allowed to delete there as well."
    )


class RecordingDeleted(RecordingError, code="RPPAM-8707", status=410):
    """The recording was kept for as long as the setting says, and is deleted."""

    fix = "Nothing brings it back. 'rppam settings get recordings/retention' says for how long others are kept."


class RecordingTaken(RecordingError, code="RPPAM-8705", status=409):
    """Another gateway goes on with the recording: this one was away, and writes to it no more."""

    fix = "Nothing: the session goes on where it was taken up."
