"""Forks ``rppam`` commands from a process that has imported the product once.

A command that starts afresh imports a hundred modules, and the template of a node's processes a thousand: two seconds
of processor time for each node. Few tests are about that; most are about what the process does next, with files,
signals, memory and an end of its own. A copy differs from ``python -m rppam WORDS`` only in how it began, and in what
``ps`` shows as its command line.

Started only by :mod:`tests.support.prefork`, with one end of a socket; it ends with the process that started it.
"""

import array
import asyncio
import atexit
import ctypes
import fcntl
import gc
import importlib
import importlib.util
import json
import os
import pkgutil
import selectors
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from rppam.demo import children, run
from rppam.demo.children import Child
from rppam.process.linux import die_with_parent

TEMPLATE = "rppam.app.fork_server"
"""What a supervisor starts: as a copy of itself here."""
REQUEST_MAX = 1 << 18
NEW_NETWORK = 0x40000000
"""``CLONE_NEWNET`` of *setns(2)*."""
_spawn, _start_child = os.posix_spawn, children.start


def main() -> None:
    # Not tied to its parent as its copies are to it: the kernel would end it with the *thread* that started it, which
    # may be one of a test's own. It ends when the other end of its socket closes.
    lines = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the tests are asked to end, and end this process
    import_everything()
    gc.collect()
    gc.freeze()
    with selectors.DefaultSelector() as selector:
        selector.register(lines, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is lines:
                    serve(lines, selector)
                else:
                    report_end(key.fd, *key.data)
                    selector.unregister(key.fd)
                    os.close(key.fd)


def import_everything() -> None:
    """All modules of the product, and what they import only when they need it."""
    for package in ("rppam", "rppam_sim"):
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if not module.name.endswith(("__main__", "windows_service", ".env")) and ".versions" not in module.name:
                importlib.import_module(module.name)
    for name in (
        "alembic.command",
        "cryptography.hazmat.backends.openssl",
        "logging.config",
        "psycopg",
        "rich.live",
        "sqlalchemy.dialects.postgresql",
        "sqlalchemy.dialects.sqlite",
        "uvicorn.lifespan.off",
        "uvicorn.protocols.http.h11_impl",
        "uvloop",
    ):
        importlib.import_module(name)


def serve(lines: socket.socket, selector: selectors.BaseSelector) -> None:
    """One request: a copy is made, and its end is reported on the socket that came with the request."""
    text, ancillary, _, _ = lines.recvmsg(REQUEST_MAX, socket.CMSG_SPACE(4 * 8))
    if not text:
        sys.exit(0)
    descriptors = array.array("i")
    for _, _, data in ancillary:
        descriptors.frombytes(data)
    order = json.loads(text)
    answer = socket.socket(fileno=descriptors[0])
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        live(lambda: become(order, parent, answer, list(descriptors[1:])))
    for descriptor in descriptors[1:]:
        os.close(descriptor)
    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, answer))


def report_end(_: int, pid: int, answer: socket.socket) -> None:
    _, status = os.waitpid(pid, 0)
    with answer, suppress(OSError):  # nobody waits for it any more
        answer.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def become(order: dict[str, Any], parent: int, answer: socket.socket, streams: list[int]) -> None:
    """Be ``python -m rppam WORDS`` in this copy."""
    die_with_parent(parent)
    if order["session"]:
        os.setsid()
    if order["network"]:
        enter(order["network"])
    answer.sendall(f"{os.getpid()}\n".encode())  # from here on it can be killed by its session
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    forget_descriptors()
    if order["folder"]:
        os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    if order["library"]:
        ctypes.CDLL(order["library"]).clock_shim_begin()
    time.tzset()
    os.posix_spawn = copy_as_template  # type: ignore[assignment]
    if order["words"][:1] == ["demo"]:
        run.start = copy_as_child  # type: ignore[attr-defined]
    call_module("rppam.__main__", order["words"])


def enter(namespace: str) -> None:
    """Stand in this network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path(namespace).open("rb") as file:
        if libc.setns(file.fileno(), NEW_NETWORK):
            number = ctypes.get_errno()
            raise OSError(number, f"setns {namespace}: {os.strerror(number)}")


def copy_as_template(path: str, words: list[str], environment: Any, **options: Any) -> int:
    """``os.posix_spawn`` in a copy that is a supervisor: the template is a copy, too."""
    if words[1:3] != ["-m", TEMPLATE]:
        return _spawn(path, words, environment, **options)
    pid = os.fork()
    if pid == 0:
        live(lambda: become_template(words[3:]))
    return pid


class Forked:
    """What a demo asks of the process of its child: a part of ``subprocess.Popen``."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if ended else None
        return self.returncode


def copy_as_child(
    name: str, argv: Sequence[str], *, log: Path, folder: Path | None = None, lock: Path | None = None
) -> Child:
    """``rppam.demo.children.start`` in a copy that is a demo: a node of it is a copy, too."""
    if list(argv[:3]) != [sys.executable, "-m", "rppam"]:
        return _start_child(name, argv, log=log, folder=folder, lock=lock)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        live(lambda: become_child(parent, list(argv[3:]), log, folder))
    return Child(name, Forked(pid), log, children._again(argv, log, folder), lock=lock)  # type: ignore[arg-type]


def become_child(parent: int, words: list[str], log: Path, folder: Path | None) -> None:
    asyncio._set_running_loop(None)  # the demo's: this process has none yet
    die_with_parent(parent)
    os.setsid()
    streams = [os.open(os.devnull, os.O_RDONLY)] + 2 * [os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)]
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    forget_descriptors()
    if folder is not None:
        os.chdir(folder)
    for variable in [name for name in os.environ if name.startswith("RPPAM_")]:
        del os.environ[variable]
    call_module("rppam.__main__", words)


def become_template(words: list[str]) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    forget_descriptors()
    call_module(TEMPLATE, words)


def call_module(name: str, words: list[str]) -> None:
    """Call ``main`` of the module as ``python -m`` does."""
    for number in signal.valid_signals():
        if signal.getsignal(number) not in (signal.SIG_DFL, signal.SIG_IGN, None):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.set_wakeup_fd(-1)
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    started = ModuleType("__main__")
    started.__spec__, started.__package__, started.__file__ = spec, name.rpartition(".")[0], spec.origin
    sys.modules["__main__"] = started
    sys.argv = [spec.origin, *words]
    importlib.import_module(name).main()


def forget_descriptors() -> None:
    """Close what another program would not have inherited."""
    for descriptor in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        with suppress(OSError):  # the folder's own is closed already
            if descriptor > 2 and fcntl.fcntl(descriptor, fcntl.F_GETFD) & fcntl.FD_CLOEXEC:
                os.close(descriptor)


def live(work: Callable[[], None]) -> NoReturn:
    """Do the work, and end as the interpreter would."""
    code = 0
    try:
        try:
            work()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
            if isinstance(end.code, str):
                sys.stderr.write(f"{end.code}\n")
        except KeyboardInterrupt:
            traceback.print_exc()
            code = 130
        except BaseException:  # noqa: BLE001 - nothing above this frame is the command's
            traceback.print_exc()
            code = 1
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        try:
            sys.stdout.flush()
        except OSError:
            code = 120
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
