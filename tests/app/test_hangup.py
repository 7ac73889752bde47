"""What a node says when it is asked to read its config again."""

import json
import logging
from pathlib import Path

import pytest

from rppam.app.hangup import explain_hangup
from rppam.config.load import load_settings


@pytest.mark.parametrize(("idle", "told"), [(15, "nothing has changed"), (-1, "would not start a node any more")])
def test_a_file_with_which_the_node_would_not_start_again_is_told_before_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, idle: int, told: str
) -> None:
    file = tmp_path / "rppam.config"
    file.write_text(json.dumps({"settings": {"security/sessions": {"idleMinutes": idle}}}))
    with caplog.at_level(logging.INFO, "rppam.node"):
        explain_hangup(load_settings(file), file)
    assert [told in record.getMessage() for record in caplog.records] == [True]
