"""What the Redis user of witnesses may do: vote, and neither read nor write what nodes cache and count."""

import re
from pathlib import PurePosixPath

import hiredis
import pytest

from rppam.config.endpoint import Endpoint
from rppam.doctor.redis_probe import DOCTOR
from rppam.kernel.secret import Secret
from rppam.redis.connection import Script
from rppam.setup.redis_acl import NODE_USER, WITNESS_COMMANDS, WITNESS_USER, users_acl
from rppam.setup.redis_wishes import Passwords, Wishes
from tests.support.raw_redis import Raw
from tests.support.redis_servers import Server

pytestmark = pytest.mark.integration

PLACE = PurePosixPath("/etc/redis")
PREFIX = "rppam:"


def entered(server: Server, user: str, password: Secret) -> Raw:
    raw = Raw(server)
    raw("AUTH", user, password.reveal())
    return raw


@pytest.fixture
def passwords(server: Server) -> Passwords:
    """The users of 'rppam redis setup', made on a server that runs."""
    made = Passwords.make()
    wishes = Wishes(hosts=(Endpoint("127.0.0.1", 1),), prefix=PREFIX, conf_dir=PLACE, data_dir=PLACE, node_dir=PLACE)
    with Raw(server) as admin:
        for line in users_acl(wishes, made).splitlines():
            _, name, *rules = line.split(" ")
            if name in {NODE_USER, WITNESS_USER}:
                admin("ACL", "SETUSER", name, "reset", *rules)
        admin("SET", f"{PREFIX}cache:x", "sealed")
        admin("SET", f"{PREFIX}limit:x", "1")
    return made


DENIED = (
    ("GET", f"{PREFIX}cache:x"), ("SET", f"{PREFIX}cache:x", "forged"), ("GET", f"{PREFIX}limit:x"),
    ("SET", f"{PREFIX}limit:x", "0"), ("EVAL", "return redis.call('GET', KEYS[1])", "1", f"{PREFIX}cache:x"),
    ("EVAL", "return redis.call('GET', 'rppam:cache:x')", "0"), ("DEL", f"{PREFIX}leader"), ("FLUSHALL",),
    ("MEMORY", "USAGE", f"{PREFIX}cache:x"), ("CLIENT", "TRACKING", "ON"), ("PUBLISH", f"{PREFIX}settings", "x"),
    ("CONFIG", "GET", "*"), ("ACL", "LIST"), ("RENAME", f"{PREFIX}cache:x", f"{PREFIX}leader"),
)  # fmt: skip
TAKEN = (
    ("SET", f"{PREFIX}heartbeat:w", "beat"), ("GET", f"{PREFIX}leader"), ("SADD", f"{PREFIX}members", "w"),
    ("SMEMBERS", f"{PREFIX}leavers"), ("SET", f"{PREFIX}cluster-id", "c"), ("PUBLISH", f"{PREFIX}releases", "x"),
    ("EVAL", "return redis.call('SET', KEYS[1], 'x')", "1", f"{PREFIX}leader:moved-aside:1"), ("PING",),
    ("SCARD", f"{PREFIX}members"), ("UNLINK", f"{PREFIX}leavers"),
)  # fmt: skip


@pytest.mark.server
def test_a_witness_s_user_votes_and_reads_no_cache(server: Server, passwords: Passwords) -> None:
    with entered(server, WITNESS_USER, passwords.witness) as raw:
        for words in DENIED:
            with pytest.raises(hiredis.ReplyError, match=r"(?i)noperm|permission|can't access|ACL failure"):
                raw(*words)
        for words in TAKEN:
            raw(*words)
        mark = f"{PREFIX}doctor:1"
        refused = raw("EVAL", DOCTOR.text, "3", f"{mark}:a", f"{mark}:b", f"{mark}:c", f"{mark}:d")
        assert refused == [], "what the doctor tries in a script"
    with entered(server, NODE_USER, passwords.node) as raw:
        assert raw("GET", f"{PREFIX}cache:x") == b"sealed"


@pytest.mark.parametrize("name", ["exchange", "release", "doctor"])
def test_a_witness_s_user_may_run_all_that_its_scripts_call(name: str) -> None:
    called = re.findall(r"(?:redis\.p?call|try)\('([A-Z]+)'", Script.load(name).text)
    assert "GET" in called
    assert {command.lower() for command in called} <= set(WITNESS_COMMANDS)
