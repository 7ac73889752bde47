"""This host: the config file, the keys, the licence, the database, and whether a port can be had.

Only looks: it makes no key, no folder, no table, and takes no lock. It does not promise that the account which runs the
node may read what this account may; run it as that account.
"""

import asyncio
import contextlib
import errno
import os
import socket
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from rppam.access.tokens.key_files import load_signing_keys
from rppam.catalogue.table import finding
from rppam.cluster.driver.datadir import FIRST_ADMIN_FILE
from rppam.cluster.health.disk_room import look_at_room, room_findings, unable_findings, why_low
from rppam.config.errors import ConfigError
from rppam.config.rules import warnings_at_witness
from rppam.config.settings import Settings
from rppam.doctor.disks import places_of
from rppam.doctor.report import Report
from rppam.http.served_certificate import ServedCertificate
from rppam.http.serving_errors import SigningKeyError
from rppam.kernel.errors import RppamError
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.licence.model import Tier, warning_of
from rppam.licence.service import read_licence

T = TypeVar("T")

DATABASE_S: Final = 4.0
_SQLITE_MAGIC: Final = b"SQLite format 3\0"


def check_config(
    settings: Settings, report: Report, sentinel_conf: Path | None = None, *, is_witness: bool = False
) -> None:
    """Judge the configuration itself, the API's certificate, and the sentinel.conf that was named."""
    for warning in warnings_at_witness(settings) if is_witness else settings.warnings:
        code = "RD-615" if "without TLS" in warning else "RD-601" if " open to " in warning else "RD-602"
        report.add(finding(code, warning))
    try:
        served = ServedCertificate.of(settings.api, SystemClock())
    except ConfigError as error:
        report.add(*(finding("RD-612", problem.sentence(), fix=problem.fix) for problem in error.problems))
    else:
        report.add(*(finding("RD-613", sentence) for sentence in (served.warnings() if served is not None else ())))
    if sentinel_conf is not None:
        try:
            sentinel_conf.open("rb").close()
        except OSError as error:
            report.add(finding("RD-412", f"--sentinel-conf {sentinel_conf}: {error.strerror}"))
    if not settings.redis.enabled:
        report.add(finding("RD-611", "redis.enabled is false"))


def check_keys(settings: Settings, report: Report) -> None:
    """Check the signing keys, and that the first administrator's password is gone."""
    auth = settings.auth
    is_made_at_start = not settings.cluster.enabled and not auth.jwt_keys_dir.exists()
    if not is_made_at_start:
        try:
            load_signing_keys(auth.jwt_keys_dir)
        except SigningKeyError as error:
            report.add(finding("RD-603", str(error)))
    first = settings.node.data_dir / FIRST_ADMIN_FILE
    if first.exists():
        report.add(finding("RD-610", f"{first} exists"))


def check_data_dir(settings: Settings, report: Report) -> None:
    """Check the data directory, which has to be this account's alone."""
    data = settings.node.data_dir
    if data.exists():
        mode = stat.S_IMODE(data.stat().st_mode)
        if sys.platform != "win32" and mode & 0o022:
            report.add(finding("RD-614", f"node.dataDir {data} has mode {mode:04o}: others may write there"))
    elif settings.cluster.enabled:
        report.add(finding("RD-614", f"node.dataDir {data} is not there"))


def check_room(settings: Settings, report: Report, *, has_database: bool) -> None:
    """Check what is left on the disks that the node writes to; a full data directory keeps no promise."""
    rooms = look_at_room(places_of(settings, has_database=has_database))
    report.add(*room_findings(rooms))
    data = next(room for room in rooms if room.place == "data")
    is_full = data.free_bytes == 0 or (data.size_inodes > 0 and data.free_inodes == 0)
    if not data.problem and is_full and settings.cluster.enabled:
        report.add(*unable_findings("", f"{why_low(data)}"))


def check_licence(settings: Settings, report: Report, now: WallMs) -> None:
    """Check that the licence allows what the config asks for."""
    try:
        licence, problem = read_licence(settings.license)
    except RppamError as error:
        report.add(finding("RD-606", str(error)))
        return
    if problem:
        report.add(finding("RD-606", problem))
    elif settings.cluster.enabled and (licence is None or licence.tier is Tier.STANDARD):
        which = f"the licence {licence.id} is Standard" if licence else f"there is no file {settings.license.path}"
        report.add(finding("RD-605", which))
    warning = warning_of(licence, now)
    if warning is not None:
        report.add(finding("RD-606", warning.sentence))


async def check_database(settings: Settings, report: Report) -> None:
    """Check that the database answers; its tables are left as they are."""
    from rppam.db.clock import clocks_apart
    from rppam.db.condition import LOST, found
    from rppam.db.url import SQLITE, parse_database_url

    try:
        url = parse_database_url(settings.database.url)
    except RppamError as error:
        report.add(finding("RD-607", str(error)))
        return
    report.hide(Secret(url.password) if isinstance(url.password, str) else None)
    is_file = url.drivername == SQLITE
    offset_ms: int | None = None
    if is_file:
        problem = _sqlite_problem(Path(url.database or ""))
    else:
        try:
            problem, offset_ms = await in_time(lambda: _server_seen(settings), DATABASE_S)
        except TimeoutError:
            problem = f"no answer within {DATABASE_S:g} s"
    if problem:
        report.add(found(LOST, problem, is_file=is_file))
    if told := clocks_apart(offset_ms):
        report.add(finding("RD-643", told))


def _sqlite_problem(path: Path) -> str:
    try:
        with path.open("rb") as file:
            begin = file.read(len(_SQLITE_MAGIC))
    except FileNotFoundError:
        folder = path.parent
        if folder.exists() and not os.access(folder, os.W_OK):
            return f"{path} is not there yet, and this account may not write to {folder}"
        return ""
    except OSError as error:
        return f"{path}: {error.strerror}"
    if begin and begin != _SQLITE_MAGIC:
        return f"{path} is not a SQLite database"
    if not os.access(path, os.W_OK):
        return f"{path} cannot be written by this account"
    return ""


def _server_seen(settings: Settings) -> tuple[str, int | None]:
    """Why it cannot be worked with, and how far its clock is ahead of this host's."""
    from sqlalchemy.exc import SQLAlchemyError

    from rppam.db.clock import clock_offset_ms
    from rppam.db.engine import open_engine
    from rppam.db.refusal import first_line
    from rppam.db.schema import is_current, read_schema
    from rppam.db.url import parse_database_url

    engine = open_engine(parse_database_url(settings.database.url), settings.database.timeout_ms, lambda _line: None)
    try:
        with engine.connect() as connection:
            offset_ms = clock_offset_ms(connection, SystemClock().wall_ms)
            is_current(read_schema(connection))
    except RppamError as error:
        return str(error), None
    except SQLAlchemyError as error:
        return first_line(error), None
    finally:
        engine.dispose()
    return "", offset_ms


async def in_time(work: Callable[[], T], seconds: float) -> T:
    """The result of ``work``, on a thread that is left behind when it does not end in time: TimeoutError then."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def keep(result: T) -> None:
        if not answer.done():
            answer.set_result(result)

    def run() -> None:
        result = work()
        with contextlib.suppress(RuntimeError):  # the loop has closed: nothing waits any more
            loop.call_soon_threadsafe(keep, result)

    threading.Thread(target=run, daemon=True).start()
    return await asyncio.wait_for(answer, seconds)


def port_problem(host: str | None, port: int, setting: str) -> str:
    """Why a server could not listen there, or nothing. ``setting`` names the host. Binds for a moment only."""
    try:
        places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        return f"{setting} {host!r} cannot be resolved: {error.strerror}"
    for family, kind, number, _, place in places:
        with socket.socket(family, kind, number) as probe:
            if sys.platform != "win32":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(place)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    return f"{host or '*'}:{port} is in use"
                if host is not None and error.errno != errno.EACCES:  # privileged ports are the service's business
                    return f"{host}:{port} cannot be listened on: {error.strerror}"
    return ""
