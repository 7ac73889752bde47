"""A real node, asked all kinds of things by schemathesis, which knows of the API what its OpenAPI document says.

    python -m tests.http.fuzzing --seconds 25 [--seed 7 | --of-the-document]

The seed is drawn anew for each run and printed, with the line that plays it again; the gate takes one that follows from
the document, so that the same tree is asked the same twice. Decides what is a finding: an answer
that the document does not have (status, media type, shape), a 500, wrong data that is taken, a method that `Allow`
forgets, a token that is not asked for. What is asked of the node, and what is not, stands in schemathesis.toml.
"""

import argparse
import os
import secrets
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.support.lab import CALM, HOST, Lab
from tests.support.redis_servers import SERVERS, Server, missing

ROOT: Final = Path(__file__).parents[2]
CONFIG: Final = Path(__file__).with_name("schemathesis.toml")
TOKEN: Final = "RPPAM_FUZZ_TOKEN"
SECONDS: Final = 30
OVERTIME_S: Final = 600
"""A run that has found something goes on to make it smaller; and it has to start, on a machine that may be busy."""


def main() -> int:
    """Run it on a node of its own; an exit code."""
    parser = argparse.ArgumentParser(description="Ask a real node all kinds of things")
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--of-the-document", action="store_true", help="the seed follows from the document")
    options = parser.parse_args()
    document = ROOT / "docs" / "reference" / "openapi.json"
    seed = secrets.randbelow(2**32) if options.seed is None else options.seed
    if options.of_the_document:
        seed = zlib.crc32(document.read_bytes())
    kind = next((one for one in SERVERS if one.find() is not None), None)
    if kind is None:
        missing("a Redis-protocol server")
    print(f"fuzzing for {options.seconds} s; again: python -m tests.http.fuzzing --seed {seed}", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="rppam-fuzz-") as folder,
        Server(kind) as server,
        Lab(Path(folder) / "lab", server.port, nodes=1, times=CALM) as lab,
    ):
        for node in lab.nodes:
            node.start()
        lab.wait_until_healthy(within_s=120)
        url = f"http://{HOST}:{lab.nodes[0].port}"
        return fuzz(document, url, seed, options.seconds, Path(folder), {TOKEN: lab.token})


def fuzz(
    document: Path, url: str, seed: int, seconds: int, folder: Path, environment: Mapping[str, str], *more: str
) -> int:
    """Ask the API at ``url`` for so long (0: everything once); an exit code, 1 where something was found."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", str(document)]
    command += ["--url", url, "--seed", str(seed), "--no-color", "--max-failures", "20"]
    command += ["--suppress-health-check", "all"]  # a busy machine is slow
    command += ["--max-time", str(seconds)] if seconds else []
    done = subprocess.run(
        [*command, *more],
        cwd=folder,  # it leaves notes there
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        timeout=seconds + OVERTIME_S,
        check=False,
    )
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
