"""A small run of `make sessions-outlive`: gateways and nodes die under a shell, and no line is missing or twice."""

import random
from pathlib import Path

import pytest

from benchmarks.sessions_outlive import outlive, page
from tests.demo.running import demo

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.pair]


async def test_a_shell_outlives_a_killed_gateway_a_stopped_one_and_a_dead_node(tmp_path: Path) -> None:
    with demo(tmp_path, nodes=2) as running:
        ready = running.until("ready", 90)
        outcome = await outlive(
            ready, tmp_path, lines=3_000, deaths=3, pause_s=3, node_deaths=1, chance=random.Random(7)
        )
    assert outcome.problems == [], outcome
    assert (outcome.deaths, outcome.resumed >= 3) == (3, True), outcome
    assert page(outcome, 1, 2, 3).endswith("| none |")
