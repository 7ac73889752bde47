"""The example config of a witness put on this machine, and the witness run from it as a service manager would."""

import json
import shutil
import signal
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import psutil

from rppam.cluster.consensus.membership import Membership
from rppam.cluster.store.vote_file import FILE_NAME, FilePromises
from tests.support import prefork
from tests.support.lab import HOST, Lab
from tests.support.ports import free_port
from tests.support.redis_servers import PASSWORD

EXAMPLE: Final = Path(__file__).parents[2] / "packaging" / "rppam-witness.config"
PLACE: Final = "/var/lib/rppam-witness"


def place_example(lab: Lab, redis_port: int, name: str = "witness1") -> Path:
    """The example with this lab's addresses, prefix and times in it, and its folder instead of /var/lib."""
    home = lab.folder / name
    keys = home / "keys"
    keys.mkdir(parents=True, mode=0o700)
    shutil.copy(lab.folder / "cluster.key", keys / "cluster.key")
    (keys / "redis.password").write_text(PASSWORD + "\n")
    (keys / "redis.password").chmod(0o600)
    text = EXAMPLE.read_text(encoding="utf-8")
    assert PLACE in text
    config: dict[str, Any] = json.loads(text.replace(PLACE, str(home)))
    config["redis"]["connectionString"] = config["redis"]["connectionString"].replace(
        "10.0.1.20:6379", f"{HOST}:{redis_port}"
    )
    config["redis"]["keyPrefix"] = lab.prefix
    config["node"]["nodeName"] = name
    port = free_port()
    config["cluster"] |= {"clusterId": lab.cluster, "memberAddress": f"{HOST}:{port}", "memberPort": port, **lab.times}
    file = home / "rppam-witness.config"
    file.write_text(json.dumps(config))
    file.chmod(0o600)
    return file


class RunningWitness:
    """``rppam witness`` until the end of the block."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.log_file = file.parent / "log"
        self.process: prefork.Process | None = None

    def __enter__(self) -> Self:
        with self.log_file.open("ab") as out:
            self.process = prefork.start("witness", "--config", self.file, output=out, session=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        if error is not None:
            error.add_note(f"the witness said:\n{self.log()}")

    def term(self) -> int:
        """Its exit code after SIGTERM."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)

    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""

    def resident_bytes(self) -> int:
        """The sum over all its processes (VmRSS)."""
        assert self.process is not None
        whole = psutil.Process(self.process.pid)
        return sum(process.memory_info().rss for process in (whole, *whole.children(recursive=True)))


def electorate_in(folder: Path) -> Membership | None:
    """What a member's file says."""
    kept = FilePromises(folder / FILE_NAME).load()
    return None if kept is None else kept.membership
