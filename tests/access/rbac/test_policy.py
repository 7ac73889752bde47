"""Roles: who may do what."""

from itertools import chain, combinations

import pytest

from rppam.access.accounts.model import AccountRole
from rppam.access.rbac.policy import refusal, role_allows

SECURITY = AccountRole.SECURITY_ADMIN
OTHERS: list[AccountRole] = [role for role in AccountRole if role not in {AccountRole.ADMIN, AccountRole.AUDITOR}]


def sets_of(roles: list[AccountRole]) -> list[frozenset[AccountRole]]:
    sizes = range(len(roles) + 1)
    return [frozenset(some) for some in chain.from_iterable(combinations(roles, size) for size in sizes)]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
def test_an_administrator_may_everything_and_an_auditor_reads_everything(method: str) -> None:
    for wanted in sets_of(list(AccountRole)):
        assert role_allows(frozenset({AccountRole.ADMIN}), method, wanted)
        may_read = method in {"GET", "HEAD"}
        assert role_allows(frozenset({AccountRole.AUDITOR}), method, wanted - {AccountRole.AUDITOR}) is may_read


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_every_other_role_opens_what_is_marked_with_it_and_nothing_else(method: str) -> None:
    for held in sets_of(OTHERS):
        for wanted in sets_of(OTHERS):
            assert role_allows(held, method, wanted) is bool(held & wanted)
    assert not role_allows(frozenset({"a_role_of_tomorrow"}), method, OTHERS)


def test_a_refusal_names_each_role_that_would_do() -> None:
    assert str(refusal("PUT", {SECURITY})) == "this needs the role pam_admin or security_admin"
    assert str(refusal("GET", {SECURITY})) == "this needs the role pam_admin or security_admin or pam_auditor"
