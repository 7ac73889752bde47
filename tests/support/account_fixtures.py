"""Accounts in memory, with passwords that cost next to nothing."""

from collections.abc import AsyncIterator

import pytest

from rppam.access.accounts.passwords import Passwords
from rppam.access.accounts.service import Accounts
from tests.support.shelf import CHEAP, Shelf, Still


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    passwords = Passwords(CHEAP)
    yield passwords
    passwords.close()


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def clock() -> Still:
    return Still()


@pytest.fixture
def accounts(shelf: Shelf, passwords: Passwords, clock: Still) -> Accounts:
    return Accounts(shelf, passwords, clock)
