"""What a fix names has to be there: no container and no service that nobody makes."""

import re
from pathlib import Path

import pytest

from rppam.catalogue.fixes import PLATFORMS
from rppam.catalogue.table import ROWS

COMPOSE = Path(__file__).parents[2] / "src/rppam/setup/templates/docker-compose.yml"
PLACEHOLDERS = {"NODE-CONTAINER", "NODE-SERVICE"}
_CONTAINER = re.compile(r"docker (?:restart|start|stop|exec|logs(?: --tail \d+)?|rm -f) ([\w-]+)")
_SERVICE = re.compile(r"(?:Restart|Start|Stop)-Service ([\w-]+)")


@pytest.mark.parametrize("code", sorted(ROWS))
def test_a_fix_names_no_container_and_no_service_that_nobody_makes(code: str) -> None:
    made = set(re.findall(r"container_name: (\S+)", COMPOSE.read_text(encoding="utf-8")))
    text = ROWS[code].fix.text()
    assert set(_CONTAINER.findall(text)) <= made | PLACEHOLDERS | {"each"}
    assert set(_SERVICE.findall(text)) <= {"Memurai"} | PLACEHOLDERS


def test_the_word_of_a_refused_connection_on_this_host_is_to_start_redis() -> None:
    said = ROWS["RD-101"].advice
    assert said.startswith("Start Redis.")
    assert "on another host" in said.partition("bind")[0], "an address to bind is nothing for a Redis on this host"
    assert len(PLATFORMS) == 4
