"""Where a node's history stands, and who of its processes writes it."""

from pathlib import Path

from rppam.adapters.system.history_file import FILE_NAME, HistoryFile
from rppam.config.settings import Settings
from rppam.runtime.history import HistoryHandler


def history_path(settings: Settings) -> Path:
    """The file, in the node's data directory."""
    return settings.node.data_dir / FILE_NAME


def history_handler(settings: Settings) -> HistoryHandler:
    """For the one process of a node that leadership runs in."""
    return HistoryHandler(HistoryFile(history_path(settings), begins_anew=True))
