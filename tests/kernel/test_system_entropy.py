"""Real chance keeps the form that records and requests need."""

import re

import pytest

from rppam.kernel.system_entropy import SystemEntropy, fresh_boot_id

SIXTEEN_HEX = re.compile(r"[0-9a-f]{16}")


def test_nonces_and_boot_ids_are_sixteen_hex_digits_and_never_repeat() -> None:
    entropy = SystemEntropy()
    drawn = [entropy.nonce() for _ in range(2_000)] + [fresh_boot_id() for _ in range(2_000)]
    assert all(SIXTEEN_HEX.fullmatch(one) for one in drawn)
    assert len(set(drawn)) == len(drawn)


def test_below_reaches_every_number_and_no_other() -> None:
    entropy = SystemEntropy()
    assert {entropy.below(5) for _ in range(500)} == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("bound", [0, -1])
def test_below_refuses_a_bound_without_numbers(bound: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        SystemEntropy().below(bound)
