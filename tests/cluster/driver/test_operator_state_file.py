"""The file of orders: what was written is read, and nothing else is believed."""

import json
from pathlib import Path

import pytest

from rppam.cluster.admin.errors import OrdersUnwritable
from rppam.cluster.consensus.operator_state import NO_ORDERS, OperatorState, Pause, person
from rppam.cluster.driver.operator_state import OperatorStateFile
from rppam.cluster.errors import OrdersFileBroken
from rppam.kernel.instant import WallMs

ORDERS = OperatorState(Pause(1_795_000_000_000, True, "eve"), True, "böb")
GOOD = {"pause": {"stamp": 5, "is_on": True, "by": "eve"}, "maintenance": False, "maintenance_by": ""}


def test_what_was_written_is_read_and_only_the_account_can_read_it(tmp_path: Path) -> None:
    file = OperatorStateFile(tmp_path / "orders")
    assert file.load() == NO_ORDERS
    file.save(ORDERS)
    assert file.load() == ORDERS
    assert file.path.stat().st_mode & 0o077 == 0
    file.save(NO_ORDERS)
    assert file.load() == NO_ORDERS


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[" * 3000,
        json.dumps(GOOD | {"more": 1}),
        json.dumps({name: value for name, value in GOOD.items() if name != "pause"}),
        json.dumps(GOOD | {"maintenance": 1}),
        json.dumps(GOOD | {"maintenance_by": "a\x1b[2J"}),
        json.dumps(GOOD | {"maintenance_by": "x" * 65}),
        json.dumps(GOOD | {"pause": {"stamp": -1, "is_on": True, "by": ""}}),
        json.dumps(GOOD | {"pause": {"stamp": 2**60, "is_on": True, "by": ""}}),
        json.dumps(GOOD | {"pause": {"stamp": True, "is_on": True, "by": ""}}),
        json.dumps(GOOD) + " " * 5000,
    ],
)
def test_anything_else_is_refused_with_the_place_and_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "orders").write_text(text)
    with pytest.raises(OrdersFileBroken, match=r"orders: expected maintenance and pause .* again"):
        OperatorStateFile(tmp_path / "orders").load()


def test_a_disk_that_refuses_is_told_with_the_place(tmp_path: Path) -> None:
    with pytest.raises(OrdersUnwritable, match=r"absent/orders.*No such file"):
        OperatorStateFile(tmp_path / "absent" / "orders").save(ORDERS)


def test_a_name_is_printable_and_short() -> None:
    assert person("eve\x1b[2J\n" + "x" * 100) == "eve?[2J?" + "x" * 56


def test_a_newer_order_is_above_every_known_one_whatever_the_clock_says() -> None:
    first = Pause().followed_by(WallMs(5), is_on=True, by="eve")
    assert first == Pause(5, True, "eve")
    assert first.followed_by(WallMs(3), is_on=False, by="bob") > first
