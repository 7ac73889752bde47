"""The one-time code over SSH: in one exchange with the password, or after it, and counted like everywhere."""

import asyncio

import asyncssh
import pytest

from rppam.gateway.ssh import chained_login
from rppam.gateway.ssh.server import GatewayServer
from rppam.kernel.secret import Secret
from tests.access.mfa.test_api import enrolled
from tests.gateway.places import Place
from tests.gateway.test_register import live
from tests.gateway.test_user_keys import signed_in
from tests.support.authenticator import code
from tests.support.served import PASSWORD

pytestmark = [pytest.mark.integration]


async def test_the_code_follows_the_password(place: Place) -> None:
    _, secret, backup = await enrolled(place.served)
    fine = await place.ssh("echo in", answers=(PASSWORD, code(secret, 1)))
    assert (fine.code, fine.out) == (0, b"in\n"), fine
    again = await place.ssh("echo in", answers=(PASSWORD, code(secret, 1)))
    assert again.code == 255  # a code is used once
    assert (await place.ssh("echo in", answers=(PASSWORD, backup[0]))).out == b"in\n"
    assert (await place.ssh("echo in", answers=(PASSWORD, "000000"))).code == 255
    assert (await place.ssh("echo in", answers=(PASSWORD,))).code == 255


async def test_after_the_plain_password_method_the_code_is_asked_for(place: Place) -> None:
    _, secret, _ = await enrolled(place.served)
    chosen = ("-o", "PreferredAuthentications=password,keyboard-interactive")
    fine = await place.ssh("echo in", answers=(PASSWORD, code(secret, 1)), options=chosen)
    assert (fine.code, fine.out) == (0, b"in\n"), fine
    alone = await place.ssh("echo in", options=("-o", "PreferredAuthentications=password"))
    assert alone.code == 255


async def test_nothing_that_was_proved_for_one_user_counts_for_another(place: Place) -> None:
    """A client may change the user name between the factors."""
    server = GatewayServer(place.gateway.gate, place.served.clock.wall_ms, "192.0.2.1")
    server._pending = Secret("the password of somebody else was right")
    assert await server.begin_auth("ursula+web1") is True
    assert not server.needs_second()
    assert server._account is None


async def test_ending_somebodys_session_takes_a_factor_where_the_setting_says_so(place: Place) -> None:
    http, host = place.served.http, place.served.bearer()
    headers, secret, _ = await enrolled(place.served)
    running = asyncio.create_task(place.ssh("echo on; sleep 60", user="simon+web1"))
    (one,) = await live(place)
    kill = f"/api/v1/access/sessions/{one['id']}/kill"
    changed = await http.put("/api/v1/settings/access/ssh", json={"killFactor": "required"}, headers=host)
    assert changed.status_code == 200, changed.text
    for given in (headers, host):  # also who has no account at all
        bare = await http.post(kill, json={"reason": "lunch"}, headers=given)
        assert (bare.status_code, bare.json()["code"]) == (403, "RPPAM-8628")
    wrong = await http.post(kill, json={"reason": "lunch", "code": "000000"}, headers=headers)
    assert wrong.status_code in {401, 403}, wrong.text
    assert not running.done()
    done = await http.post(kill, json={"reason": "lunch", "code": code(secret, 1)}, headers=headers)
    assert done.status_code == 200, done.text
    assert "ended by admin: lunch" in (await asyncio.wait_for(running, 10)).err
    running = asyncio.create_task(place.ssh("echo on; sleep 60", user="simon+web1"))
    (mine,) = await live(place)
    own = await http.post(
        f"/api/v1/access/sessions/{mine['id']}/kill", json={}, headers=await signed_in(place, "simon")
    )
    assert own.status_code == 200, "one's own session is nobody else's business"
    await asyncio.wait_for(running, 10)


def test_the_private_parts_of_the_library_are_as_they_were() -> None:
    from asyncssh import auth

    assert asyncssh.__version__ == "2.24.1", "look again at chained_login, and at channel.ByteChannel"
    chained_login.install()
    assert auth._server_auth_handlers[b"password"] is chained_login._Password
    assert auth._server_auth_handlers[b"publickey"] is chained_login._Key
    for name in ("_process_exec_request", "_process_env_request", "_process_x11_req_request", "_start_session"):
        assert hasattr(asyncssh.SSHServerChannel, name)
    assert hasattr(asyncssh.SSHServerConnection, "_cancel_login_timer")
    assert hasattr(auth._ServerPublicKeyAuth, "_start")
