"""What the ledger tells of acts, read by the command that an administrator would read it by."""

import json
from pathlib import Path
from typing import Any

from tests.support import prefork


def acts_told(config: Path) -> dict[str, dict[str, Any]]:
    """The newest event of each action, by the action's name. AssertionError where the command does not end with 0."""
    told = prefork.run("audit", "list", "--config", config, "--json", timeout=90)
    assert told.returncode == 0, told.stderr
    events = json.loads(told.stdout)["items"]  # the newest last
    newest = {one["action"]: one for one in events}
    assert newest, "an empty ledger"
    return newest
