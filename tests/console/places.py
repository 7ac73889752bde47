"""A cluster with gateways and a real target behind them, shells through them, and a browser with a passkey."""

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tests.console.conftest import PASSWORD, Watched, cluster
from tests.gateway.places import Sshd
from tests.support.lab import HOST, Answer, Lab, LabNode, eventually
from tests.support.redis_servers import Server

if TYPE_CHECKING:
    from playwright.sync_api import Page

UNDER_WAY: Final = "RPPAM-8802"
HOOK: Final = {"name": "hook", "kind": "webhook", "url": "https://hook.example.com/", "secret": "signs"}


@contextmanager
def reaching(redis: Server, folder: Path, target: Sshd) -> Iterator[Lab]:
    """Three nodes with gateways, and the target in their catalogue; nobody has a right on it yet but administrators."""
    with cluster(redis, folder, access=True) as lab:
        made = asking(lab)
        host = made("POST", "/api/v1/resources", name="web1", kind="ssh", address=HOST, port=target.port)
        made("POST", f"/api/v1/resources/{host['id']}/host-keys", key=target.host_key)
        account = made("POST", "/api/v1/accounts", resourceId=host["id"], name=target.user)
        fields = {"username": target.user, "privateKey": target.private_key}
        entry = {"folder": "ssh", "name": "key of web1", "type": "ssh-key", "accountId": account["id"]}
        made("POST", "/api/v1/vault/entries", **entry, fields=fields, exclusive=False)
        yield lab


class Company(NamedTuple):
    """A cluster in which there is one of everything."""

    lab: Lab
    host: str
    """Id of the target."""
    fingerprint: str


@contextmanager
def one_of_everything(redis: Server, folder: Path, target: Sshd) -> Iterator[Company]:
    with reaching(redis, folder, target) as lab:
        ask = asking(lab)
        (host,) = ask("GET", "/api/v1/resources")["items"]
        (account,) = ask("GET", "/api/v1/accounts")["items"]
        (key,) = ask("GET", f"/api/v1/resources/{host['id']}/host-keys")["items"]
        for name in ("ann", "eve"):
            roles = ["pam_admin", "pam_approver"] if name == "ann" else ["pam_user"]
            ask("POST", "/api/v1/users", username=name, displayName="", roles=roles, password=PASSWORD)
        fields = {"password": "correct-horse"}
        entry = {"folder": "servers", "name": "root", "type": "password", "fields": fields, "exclusive": True}
        made = ask("POST", "/api/v1/vault/entries", **entry)
        file = {"folder": "servers", "name": "keytab", "type": "file", "fields": {"content": "a2V5dGFi"}}
        ask("POST", "/api/v1/vault/entries", **file)
        servers = next(one for one in ask("GET", "/api/v1/vault/folders")["items"] if one["path"] == "servers")
        rights = {"items": [{"role": "pam_approver", "rights": ["list", "use"]}]}
        ask("PUT", f"/api/v1/vault/folders/{servers['id']}/rights", **rights)
        ask("POST", "/api/v1/siem/targets", name="collector", kind="syslog", url="tls://siem.example.com:6514")
        ask("POST", "/api/v1/notifications/channels", **HOOK)
        ask("POST", "/api/v1/audit/holds", name="mallory", reason="case 42")
        bob, ann = signed_in(lab, "bob"), signed_in(lab, "ann")
        (id_of_ann,) = (one["id"] for one in ask("GET", "/api/v1/users?search=ann")["items"])
        ask("POST", "/api/v1/user-groups", name="operators", members=[id_of_ann])
        wish = {"accountId": account["id"], "rights": ["use"], "minutes": 60, "reason": "the disk is full"}
        first = bob("POST", "/api/v1/access-requests", **wish)
        ann("POST", f"/api/v1/access-requests/{first['id']}/approve", note="", version=first["version"])
        again = {"entryId": made["id"], "rights": ["use"], "minutes": 60, "reason": "once more"}
        ann("POST", "/api/v1/access-requests", **again)
        ann("POST", "/api/v1/vault/checkouts", entryId=made["id"], reason="to see", minutes=60, wait=False)
        fire = {**wish, "reason": "the house burns", "emergency": True}
        signed_in(lab, "eve")("POST", "/api/v1/access-requests", **fire)
        signed_in(lab, "sue")("POST", "/api/v1/access-requests", **fire)
        settings = "/api/v1/settings/recordings/retention"
        before = ask("GET", settings)
        for days in (400, 300):
            answer = lab.wait_for_leader().ask(
                settings, method="PUT", send={**before, "days": days}, token=lab.token, timeout_s=20
            )
            assert answer.status == 200, answer
        yield Company(lab, host["id"], key["fingerprint"])


def asking(lab: Lab) -> Callable[..., Any]:
    def ask(method: str, path: str, /, **body: Any) -> Any:
        # Settings are changed by the leader alone.
        leads = path.startswith("/api/v1/settings/")
        return _answered(lab, method, path, body, lambda: lab.token, leads=leads)

    return ask


def signed_in(lab: Lab, user: str) -> Callable[..., Any]:
    def ask(method: str, path: str, /, **body: Any) -> Any:
        login = _answered(lab, "POST", "/api/v1/auth/login", {"username": user, "password": PASSWORD}, lambda: None)
        return _answered(lab, method, path, body, lambda: login["accessToken"])

    return ask


def _answered(
    lab: Lab, method: str, path: str, body: dict[str, Any], token: Callable[[], str | None], *, leads: bool = False
) -> Any:
    """What a node answers; asked again under the same key while a busy machine has it silent for a moment."""
    key, answers = "" if method == "GET" or path.endswith("/login") else secrets.token_hex(16), list[Answer]()

    def settled() -> bool:
        node = lab.wait_for_leader() if leads else lab.running()[0]
        with suppress(OSError):
            answers.append(node.ask(path, method=method, send=body or None, token=token(), timeout_s=20, key=key))
        if not answers or answers[-1].status in {421, 503}:
            return False
        return answers[-1].status != 409 or answers[-1].body["code"] != UNDER_WAY

    eventually(settled, within_s=60, what=f"an answer to {method} {path}", say=lab.logs)
    assert answers[-1].status < 300, answers[-1]
    return answers[-1].body


@contextmanager
def shell(
    node: LabNode, folder: Path, user: str = "sue", answers: str = f"echo '{PASSWORD}'", **more: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """``ssh`` of OpenSSH through the node's gateway, with a terminal; ``more``: options of it. ``answers``: what
    answers its questions, as a shell runs it."""
    answer = folder / "answer"
    answer.write_text(f"#!/bin/sh\n{answers}\n")
    answer.chmod(0o700)
    words = {"Port": node.config["access"]["port"], "User": f"{user}+web1", "StrictHostKeyChecking": "no"}
    words |= {"UserKnownHostsFile": "/dev/null", "LogLevel": "ERROR", "PubkeyAuthentication": "no", **more}
    argv = ["ssh", "-tt", *(word for name, value in words.items() for word in ("-o", f"{name}={value}")), HOST]
    kept = {name: value for name, value in os.environ.items() if name != "SSH_AUTH_SOCK"}
    kept |= {"SSH_ASKPASS": str(answer), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0", "TERM": "xterm-256color"}
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, env=kept) as process:
        try:
            yield process
        finally:
            process.kill()


def typed(process: "subprocess.Popen[bytes]", line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line.encode() + b"\n")
    process.stdin.flush()


def authenticator(page: "Page", **options: Any) -> Any:
    """A device with a PIN that says yes by itself. Browsers take passkeys for host names: pages open at localhost."""
    devices = page.context.new_cdp_session(page)
    devices.send("WebAuthn.enable")
    wanted = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    wanted |= {"isUserVerified": True, "automaticPresenceSimulation": True, **options}
    devices.send("WebAuthn.addVirtualAuthenticator", {"options": wanted})
    return devices


def with_passkey(watched: Watched, user: str, name: str) -> None:
    page = watched.page
    watched.sign_in(user)
    watched.open("account")
    page.get_by_role("button", name="Add a passkey").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Add it").click()
    page.get_by_role("cell", name=name).first.wait_for()
