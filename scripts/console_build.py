"""Build the console's pages from ``console/`` into the slice that serves them, and note which sources they belong to.

Needs Node and npm. Those who use the product need neither: what is built is committed, and a test compares the note
with the sources, and, where Node is, the files byte by byte with a new build.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
CONSOLE: Final = ROOT / "console"
BUILT: Final = ROOT / "src" / "rppam" / "console" / "web"
NOTE: Final = ROOT / "src" / "rppam" / "console" / "build.json"
_GENERATED: Final = "openapi.d.ts"


def sources() -> str:
    """The hash of all that the build reads: names and contents."""
    whole = hashlib.sha256()
    for path in sorted(CONSOLE.rglob("*")):
        name = path.relative_to(CONSOLE).as_posix()
        if path.is_file() and not name.startswith("node_modules/") and path.name != _GENERATED:
            content = path.read_bytes()
            whole.update(f"{name}\0{len(content)}\0".encode() + content)
    return whole.hexdigest()


def main() -> None:
    """Install what is locked, check the types, build, and note the sources."""
    for command in (
        ["npm", "ci", "--ignore-scripts"],
        ["npm", "run", "types"],
        ["npm", "run", "check"],
        ["npm", "run", "build"],
    ):
        done = subprocess.run(command, cwd=CONSOLE, check=False)  # words of our own
        if done.returncode:
            sys.exit(done.returncode)
    NOTE.write_text(json.dumps({"sources": sources()}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
