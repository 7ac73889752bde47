"""Accounts on a cluster of real nodes: a change holds on all of them, and a log-in outlives the node it began on."""

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.support.authenticator import code
from tests.support.lab import CALM, Answer, Lab, LabNode, eventually
from tests.support.lab_fixtures import MakeLab

pytestmark = pytest.mark.integration

USERS, AUTH = "/api/v1/users", "/api/v1/auth"
PASSWORD = "a password of its own"


def post(node: LabNode, path: str, body: Any, token: str | None = None) -> Answer:
    return node.ask(path, token=token, method="POST", send=body)


def login(node: LabNode) -> dict[str, Any]:
    answer = post(node, f"{AUTH}/login", {"username": "anna", "password": PASSWORD})
    assert answer.status == 200, answer
    found: dict[str, Any] = answer.body
    return found


def everywhere(lab: Lab, path: str, token: str, status: int) -> None:
    """Within seconds each node that runs answers so."""

    def is_answered(node: LabNode) -> bool:
        return node.ask(path, token=token).status == status

    for node in lab.running():
        eventually(
            functools.partial(is_answered, node),
            within_s=30,
            what=f"{path} is {status} at {node.name}",
            say=lab.logs,
        )


def at_once(tries: Sequence[Callable[[], Answer]]) -> list[int]:
    found: list[int] = []
    threads = [threading.Thread(target=lambda one=one: found.append(one().status)) for one in tries]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(found)


def test_people_are_the_same_on_every_node(make_lab: MakeLab) -> None:
    lab = make_lab(nodes=3, times=CALM)
    lab.start()
    first, second, third = lab.nodes
    made = post(first, USERS, {"username": "Anna", "password": PASSWORD, "roles": ["pam_admin"]}, lab.token)
    assert made.status == 201, made
    path = f"{USERS}/{made.body['id']}"

    token = login(second)["accessToken"]
    everywhere(lab, USERS, token, 200)
    given = third.ask(f"{path}/roles", token=lab.token, method="PUT", send={"roles": ["pam_user"]})
    assert given.status == 200, given
    everywhere(lab, USERS, token, 403)
    everywhere(lab, f"{USERS}/me", token, 200)

    begun = post(first, f"{AUTH}/mfa/enroll", {"currentPassword": PASSWORD}, token)
    secret = begun.body["secret"]
    confirmed = post(second, f"{AUTH}/mfa/enroll", {"code": code(secret)}, token)
    assert confirmed.status == 200, confirmed
    leader = lab.wait_for_leader()
    gone = next(node for node in lab.nodes if node is not leader)
    step = login(gone)
    assert step["mfaRequired"] is True
    gone.kill()
    left = lab.running()
    good = code(secret, 1)
    done = post(left[0], f"{AUTH}/mfa/challenge", {"mfaToken": step["mfaToken"], "code": good})
    assert done.status == 200, "the log-in outlives the node it began on"
    used = post(left[1], f"{AUTH}/mfa/challenge", {"mfaToken": login(left[1])["mfaToken"], "code": good})
    assert used.status == 401, used
    backup = confirmed.body["backupCodes"][0]
    tries = [
        functools.partial(post, node, f"{AUTH}/mfa/challenge", {"mfaToken": login(node)["mfaToken"], "code": backup})
        for node in left * 2
    ]
    assert at_once(tries) == [200, 401, 401, 401], "one code is worth one log-in in the whole cluster"

    for mine in (token, done.body["accessToken"]):
        everywhere(lab, f"{USERS}/me", mine, 200)
    off = left[0].ask(path, token=lab.token, method="PATCH", send={"disabled": True})
    assert off.status == 200, off
    for mine in (token, done.body["accessToken"]):
        everywhere(lab, f"{USERS}/me", mine, 401)
    refused = post(left[1], f"{AUTH}/login", {"username": "anna", "password": PASSWORD})
    assert refused.status == 401
