"""A witness's Redis password is changed while it runs, and the old one stays until the witness uses the new one."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.setup.made import rppam
from tests.support.lab import CALM, eventually
from tests.support.lab_fixtures import KIND, MakeLab
from tests.support.placed_witness import RunningWitness, place_example
from tests.support.redis_servers import PASSWORD, Server

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow]


@pytest.fixture
def own_redis() -> Iterator[Server]:
    """A server whose users a test may change."""
    with Server(KIND) as running:
        yield running


def test_the_old_password_stays_until_the_witness_uses_the_new_one(
    make_lab: MakeLab, own_redis: Server, tmp_path: Path
) -> None:
    own_redis.ask("ACL", "SETUSER", "admin", "on", ">of-the-administrator", "~*", "&*", "+@all")
    lab = make_lab(nodes=1, times=CALM, redis_port=own_redis.port)
    (node,) = lab.nodes
    (node.folder / "redis.password").write_text(PASSWORD)
    (node.folder / "redis.password").chmod(0o600)
    node.config["redis"]["password"] = {"file": "redis.password"}
    lab.start()
    admin, new = tmp_path / "admin.pw", tmp_path / "new.pw"
    admin.write_text("of-the-administrator")
    words = ["--config", str(node.file), "--admin-user", "admin", "--admin-password-file", str(admin)]
    with RunningWitness(place_example(lab, own_redis.port)) as witness:
        keys = witness.file.parent / "keys"
        eventually(lambda: {"node1", "witness1"} <= {one["nodeName"] for one in lab.health()["nodes"]},
                   within_s=30, what="the witness is a member", say=witness.log)  # fmt: skip
        rppam("redis", "rotate-password", "begin", *words, "--out", str(new))
        shutil.copy(new, node.folder / "redis.password")

        def finish() -> str:
            done = rppam("redis", "rotate-password", "finish", *words, "--new", str(new), expect=None)
            assert done.returncode == 1, done.stdout + done.stderr
            return done.stdout

        eventually(lambda: "node1:" not in finish(), within_s=30, what="the node uses the new one", say=lab.logs)
        old = "witness1: Redis let it in by another password than the new one"
        eventually(lambda: old in finish(), within_s=30, what="the witness shows the old one", say=lab.logs)
        assert len(own_redis.ask("ACL", "GETUSER", "default")[3]) == 2, "nothing was taken away"

        shutil.copy(new, keys / "redis.password")
        eventually(lambda: "accepted the new password" in witness.log(), within_s=30, what="seen", say=witness.log)

        def finished() -> bool:
            words_of_finish = (*words, "--new", str(new))
            return rppam("redis", "rotate-password", "finish", *words_of_finish, expect=None).returncode == 0

        eventually(finished, within_s=30, what="its next heartbeat tells it", say=witness.log)
        own_redis.password = new.read_text().strip()
        assert len(own_redis.ask("ACL", "GETUSER", "default")[3]) == 1
        before = witness.log().count("connected to Redis")
        own_redis.ask("CLIENT", "KILL", "USER", "default")
        eventually(lambda: witness.log().count("connected to Redis") > before, within_s=30, what="it comes back",
                   say=witness.log)  # fmt: skip


def test_a_witness_with_a_user_of_its_own_holds_up_no_change_and_has_one_of_its_own(
    make_lab: MakeLab, own_redis: Server, tmp_path: Path
) -> None:
    own_redis.ask("ACL", "SETUSER", "admin", "on", ">of-the-administrator", "~*", "&*", "+@all")
    own_redis.ask("ACL", "SETUSER", "rppam-witness", "on", ">of-the-witness", "~*", "&*", "+@all")
    lab = make_lab(nodes=1, times=CALM, redis_port=own_redis.port)
    (node,) = lab.nodes
    (node.folder / "redis.password").write_text(PASSWORD)
    (node.folder / "redis.password").chmod(0o600)
    node.config["redis"]["password"] = {"file": "redis.password"}
    lab.start()
    admin, new, newer = tmp_path / "admin.pw", tmp_path / "new.pw", tmp_path / "newer.pw"
    admin.write_text("of-the-administrator")
    words = ["--config", str(node.file), "--admin-user", "admin", "--admin-password-file", str(admin)]
    file = place_example(lab, own_redis.port)
    config = json.loads(file.read_text())
    config["redis"]["connectionString"] += ",user=rppam-witness"
    file.write_text(json.dumps(config))
    (file.parent / "keys" / "redis.password").write_text("of-the-witness")

    def finish(*more: str) -> tuple[int, str]:
        done = rppam("redis", "rotate-password", "finish", *words, *more, expect=None)
        return done.returncode, done.stdout + done.stderr

    with RunningWitness(file) as witness:
        eventually(lambda: {"node1", "witness1"} <= {one["nodeName"] for one in lab.health()["nodes"]},
                   within_s=30, what="the witness is a member", say=witness.log)  # fmt: skip
        rppam("redis", "rotate-password", "begin", *words, "--out", str(new))
        assert "node1:" in finish("--new", str(new))[1]
        shutil.copy(new, node.folder / "redis.password")
        eventually(lambda: finish("--new", str(new))[0] == 0, within_s=30, what="the nodes' old one goes", say=lab.logs)
        own_redis.password = new.read_text().strip()
        assert len(own_redis.ask("ACL", "GETUSER", "default")[3]) == 1

        rppam("redis", "rotate-password", "begin", "--witness", *words, "--out", str(newer))
        code, told = finish("--witness", "--new", str(newer))
        assert code == 1, told
        assert "witness1: Redis let it in by another password" in told
        assert "node1:" not in told
        shutil.copy(newer, file.parent / "keys" / "redis.password")
        eventually(lambda: finish("--witness", "--new", str(newer))[0] == 0, within_s=30, what="the witness's old one",
                   say=witness.log)  # fmt: skip
        assert len(own_redis.ask("ACL", "GETUSER", "rppam-witness")[3]) == 1
        assert len(own_redis.ask("ACL", "GETUSER", "default")[3]) == 1
