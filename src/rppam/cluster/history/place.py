"""Where a node's history stands, and who of its processes writes it."""

from pathlib import Path

from rppam.cluster.history.file import FILE_NAME, HistoryFile
from rppam.cluster.history.recorder import HistoryHandler
from rppam.config.settings import Settings


def history_path(settings: Settings) -> Path:
    """The file, in the node's data directory."""
    return settings.node.data_dir / FILE_NAME


def history_handler(settings: Settings) -> HistoryHandler:
    """For the one process of a node that leadership runs in."""
    return HistoryHandler(HistoryFile(history_path(settings), begins_anew=True))
