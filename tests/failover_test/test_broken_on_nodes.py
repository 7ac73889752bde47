"""A failover test of real nodes that cannot keep two of the promises: it names those two, and why, and no other.

The lease is longer than a promotion may take, and the database forgets every third write of the test after it has
acknowledged it. Broken promises of each other kind are shown by nodes that are made up (``test_doctored.py``).
"""

import json
import sqlite3
from pathlib import Path

import pytest

from rppam.failover_test.page import report_in
from tests.support import prefork
from tests.support.lab import CALM
from tests.support.lab_fixtures import MakeLab

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.pair, pytest.mark.long]

SLOW = {**CALM, "leaseMs": 17_000}
FORGETS = """
CREATE TRIGGER forgets AFTER INSERT ON failover_test_writes WHEN NEW.number % 3 = 0 BEGIN
  DELETE FROM failover_test_writes WHERE test_id = NEW.test_id AND number = NEW.number;
END
"""


def test_what_a_cluster_cannot_keep_is_named_with_what_shows_it(make_lab: MakeLab, tmp_path: Path) -> None:
    lab = make_lab(times=SLOW)
    for node in lab.nodes:
        node.config["settings"]["failoverTest/allowedMethods"] = {"kill": True}
    lab.start()
    with sqlite3.connect(lab.folder / "rppam.db", timeout=30) as database:
        database.execute(FORGETS)
    database.close()
    urls = [word for one in lab.nodes for word in ("--url", f"http://127.0.0.1:{one.port}")]
    page = tmp_path / "broken.html"
    words: list[str | Path] = [
        "failover-test",
        "--config",
        lab.nodes[0].file,
        *urls,
        "--method",
        "kill",
        "--seconds",
        "6",
        "--yes",
    ]
    environment = prefork.clean(XDG_STATE_HOME=str(tmp_path))
    ran = prefork.run(*words, "--json", "--report", page, environment=environment)
    assert ran.returncode == 1, f"{ran.stdout}\n{ran.stderr}\n{lab.logs()}"
    report = json.loads(ran.stdout)
    why = {one["promise"]: one["why"] for one in report["verdicts"] if not one["held"]}
    assert set(why) == {2, 3}, why
    assert "later than the 15000 ms that are promised" in why[2]
    assert report["promotedAfterMs"] > 15_000
    assert "acknowledged writes some are gone" in why[3]
    assert "(3, 6, 9" in why[3]
    assert report_in(page.read_text()) == report
    assert "<h1>A promise was broken</h1>" in page.read_text()
    shown = prefork.run("failover-report", page, environment=environment)
    assert "later than the 15000 ms" in shown.stdout
