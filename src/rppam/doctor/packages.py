"""Whether the build of a Redis server is one that this host's distribution has mended under an old version number.

A server says in INFO which build it is (``redis_build_id``). Where this host has a package of the same server, its
program says the build it is, and the package's changelog says which holes it mends. One build has one package version,
so what holds here holds for every server of that build, wherever it runs; a server of any other build (made by hand, in
a container, not restarted since an update) is not vouched for.

What it does not promise: that the changelog tells the truth, or that a hole which it does not name is open.
"""

import gzip
import re
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

BINARIES: Final = {"redis": Path("/usr/bin/redis-server"), "valkey": Path("/usr/bin/valkey-server")}
"""Where packages of distributions put the program; what stands elsewhere is no package's."""
CHANGELOGS: Final = Path("/usr/share/doc")
ANSWER_S: Final = 5.0
_CHANGELOG_BYTES_MAX: Final = 4_000_000
_DEBIAN_HEAD: Final = re.compile(r"^\S+ \((?:\d+:)?([^)\s]+)\) [^;\n]+;")
_RPM_HEAD: Final = re.compile(r"^\* .*?[- ](\d[^\s-]*-\S+)\s*$")
_CVE: Final = re.compile(r"CVE-\d{4}-\d{4,}")
_NOT_MENDED: Final = re.compile(
    r"\b(revert|drop|remove|not (yet )?(fixed|mended|affected)|unfixed|ignore)", re.IGNORECASE
)
_known: "dict[tuple[Path | int, ...], Package]" = {}
"""What was read last, by the program's stamp: a running node asks each minute."""


class Package(NamedTuple):
    """The package of this host that has the program of a server."""

    version: str
    """As the distribution writes it, such as ``7.0.15-1~deb12u6``."""
    build: str
    mended: frozenset[str]
    """Holes that its changelog names as mended, on top of the version that it is made from."""


def package_of(server: str, binaries: "dict[str, Path]" = BINARIES, docs: Path = CHANGELOGS) -> Package | str:
    """The package of ``server`` (``redis``, ``valkey``) on this host, or why nothing can be said. Takes a moment."""
    binary = binaries.get(server)
    if binary is None:
        return f"no distribution's package of {server} is known"
    try:
        seen = binary.stat()
    except OSError:
        return f"this host has no package of {server} ({binary} is not there)"
    key = (binary, docs, seen.st_ino, seen.st_mtime_ns, seen.st_ctime_ns)
    found: Package | str | None = _known.get(key)
    if found is None:
        found = _read(server, binary, docs)
    if isinstance(found, Package):
        _known.clear()  # an update makes one of the two anew, now and then
        _known[key] = found
    return found


def _read(server: str, binary: Path, docs: Path) -> Package | str:
    said = _run([str(binary), "--version"])
    version, build = re.search(r"\bv=(\S+)", said), re.search(r"\bbuild=(\S+)", said)
    if version is None or build is None:
        return f"{binary} --version does not say which build it is"
    upstream = version[1]
    for entries in _changelogs(server, binary, docs):
        newest = next(iter(entries), None)
        if newest is not None and _is_of(newest[0], upstream):
            named = (line for package, lines in entries if _is_of(package, upstream) for line in lines)
            return Package(newest[0], build[1], mended_in(named))
    return f"no changelog of its package for version {upstream} is on this host"


def _changelogs(server: str, binary: Path, docs: Path) -> "Iterator[list[tuple[str, list[str]]]]":
    for name in (f"{server}-server", server, f"{server}-tools"):
        with suppress(OSError, EOFError, gzip.BadGzipFile), gzip.open(docs / name / "changelog.Debian.gz") as file:
            yield debian_entries(file.read(_CHANGELOG_BYTES_MAX).decode(errors="replace").splitlines())
    said = _run(["rpm", "-q", "--changelog", "-f", str(binary)])
    if said.startswith("* "):
        yield rpm_entries(said.splitlines())


def debian_entries(lines: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Each version of a Debian changelog with its lines, the newest first."""
    return _entries(_DEBIAN_HEAD, lines)


def rpm_entries(lines: Iterable[str]) -> list[tuple[str, list[str]]]:
    """The same of an RPM changelog."""
    return _entries(_RPM_HEAD, lines)


def _entries(begins: re.Pattern[str], lines: Iterable[str]) -> list[tuple[str, list[str]]]:
    """What stands behind each line that ``begins`` an entry, whose first group is the version."""
    found: list[tuple[str, list[str]]] = []
    for line in lines:
        if head := begins.match(line):
            found.append((head[1], []))
        elif found:
            found[-1][1].append(line)
    return found


def mended_in(lines: Iterable[str]) -> frozenset[str]:
    """The holes that these lines name, but for lines that may say the opposite."""
    return frozenset(cve for line in lines if not _NOT_MENDED.search(line) for cve in _CVE.findall(line))


def _is_of(package: str, upstream: str) -> bool:
    """Whether a package of this version is made from the upstream version: ``8.1.1+dfsg1-3`` from ``8.1.1``."""
    return re.match(rf"(?:\d+:)?{re.escape(upstream)}(?![\w.])", package) is not None


def _run(words: list[str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - words of our own, no shell
            words, capture_output=True, text=True, errors="replace", timeout=ANSWER_S, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout if done.returncode == 0 else ""
