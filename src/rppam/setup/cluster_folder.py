"""The folder that ``rppam init --hosts`` fills on the first host: all that a cluster is made of before it runs.

``redis/`` is what ``rppam redis setup`` writes, ``tls/`` what ``rppam tls`` writes, ``database/`` goes to the host of
PostgreSQL, ``NAME.bundle`` and ``NAME.passphrase`` to each other host. It holds the keys of both authorities and every
password of Redis: private from the first byte, and for a safe once the cluster runs. Made again it stays as it is; only
a bundle that opens no more, or says something else by now, is made anew, with another passphrase.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from rppam.access.accounts.service import random_password
from rppam.cli.files import write_private
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.setup.bundle import Bundle, OwnPart, seal, unseal
from rppam.setup.certificates import Issued
from rppam.setup.database_files import database_files
from rppam.setup.errors import BundleError, BundleExpired, InitError
from rppam.setup.given import text_of
from rppam.setup.hosts import REDIS_HOSTS, Host
from rppam.setup.redis_files import SetupError, plan_files, write_files
from rppam.setup.redis_wishes import WishError, Wishes, make_wishes, new_password
from rppam.setup.tls_folder import TlsFolder

REDIS: Final = "redis"
TLS: Final = "tls"
DATABASE: Final = "database"
_SERVER: Final = "postgresql.server"
"""Certificate of the database, which may run on the host of a node; no node's name has a dot."""
PASSWORD: Final = "database.password"  # noqa: S105 - a file's name
_DEFAULTS: Final = {"conf_dir": "/etc/redis", "data_dir": "/var/lib/redis", "node_dir": "/etc/rppam/certs"}


class ClusterFolder:
    """The files below ``path``. Everything raises :class:`InitError` and :class:`CertificateFilesError`."""

    def __init__(self, path: Path, hosts: Sequence[Host], now: WallMs, *, force: bool = False) -> None:
        """``hosts``: this one first, whose Redis begins as the primary."""
        self.path, self.hosts = path, tuple(hosts)
        self._now, self._force = now, force
        self.written: list[Path] = []

    @property
    def own(self) -> Host:
        """This host."""
        return self.hosts[0]

    @property
    def node_files(self) -> Path:
        """What every node needs of Redis."""
        return self.path / REDIS / "node"

    @property
    def authority(self) -> Path:
        """Certificate of the authority of nodes and database."""
        return self.path / TLS / "ca.pem"

    @property
    def password(self) -> Path:
        """The file with the database's password."""
        return self.path / PASSWORD

    def pair_of(self, name: str) -> tuple[Path, Path]:
        """Certificate and key of a host."""
        return self.path / TLS / f"{name}.pem", self.path / TLS / f"{name}.key"

    def make(self, database: Host | None, address: str | None, prefix: str | None, *, with_redis: bool) -> None:
        """Make what is not there. ``address`` follows the leader, so every node's certificate has it, too."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
            self._redis(prefix if with_redis else None)
            self._certificates(database, address)
            if database is not None:
                self._database(database)
        except WishError as error:
            raise InitError(f"{self.path}: {error}") from None
        except SetupError as error:
            raise InitError(str(error).replace("another --dir", "another --cluster-dir")) from None

    def server_files(self, number: int) -> dict[str, bytes]:
        """What goes to the host with that number for its Redis; nothing where it has none."""
        folder = self.path / REDIS / f"redis-{number + 1}"
        if number >= REDIS_HOSTS or not folder.is_dir():
            return {}
        files = (path for path in folder.rglob("*") if path.is_file())
        found = (path for path in files if ".bak-" not in path.name and path.name[0] != ".")  # a killed run left those
        return {str(PurePosixPath(path.relative_to(folder))): path.read_bytes() for path in sorted(found)}

    def seal(self, bundle: Bundle, hours: int) -> list[tuple[Host, Path, Path]]:
        """A bundle and a passphrase for each other host."""
        made = []
        for number, host in enumerate(self.hosts[1:], 1):
            sealed, opens = self.path / f"{host.name}.bundle", self.path / f"{host.name}.passphrase"
            certificate, key = self.pair_of(host.name)
            files = {f"{REDIS}/{name}": content for name, content in self.server_files(number).items()}
            files |= {f"{TLS}/{path.name}": path.read_bytes() for path in (certificate, key)}
            content = bundle._replace(own=OwnPart(host, files))
            if self._held(sealed, opens) != content:
                passphrase = random_password()
                write_private(opens, passphrase.reveal() + "\n")
                write_private(sealed, seal(content, passphrase, self._now, hours=hours))
                self.written += [sealed, opens]
            made.append((host, sealed, opens))
        return made

    def _held(self, sealed: Path, opens: Path) -> Bundle | None:
        """What the bundle of an earlier run holds, where it still opens."""
        text, passphrase = text_of(sealed, errors="replace"), text_of(opens, errors="replace")
        if text is None or passphrase is None:
            return None
        try:
            return unseal(text, Secret(passphrase), self._now, place=str(sealed))
        except (BundleError, BundleExpired):
            return None

    def _redis(self, prefix: str | None) -> None:
        if prefix is None:
            return
        self._write(plan_files(self._wishes(prefix), self.path / REDIS, self._now), self.path / REDIS)

    def _wishes(self, prefix: str) -> Wishes:
        addresses = tuple(f"[{one.address}]" if ":" in one.address else one.address for one in self.hosts[:REDIS_HOSTS])
        return make_wishes(
            addresses, (), sentinel=True, tls=True, prefix=prefix, service_name="rppam-master", memory="1gb",
            **_DEFAULTS,
        )  # fmt: skip

    def _certificates(self, database: Host | None, address: str | None) -> None:
        tls = TlsFolder(self.path / TLS, self._now)
        self.written += tls.make_authority("RP-PAM authority").written
        shared = [address] if address else []
        for host in self.hosts:
            names = (host.name, host.address, *shared)
            self.written += tls.issue(names, "api", file=host.name, force=self._force).written
        if database is not None:
            names = (database.name, database.address)
            self.written += tls.issue(names, "api", file=_SERVER, force=self._force).written

    def _database(self, database: Host) -> None:
        if not self.password.exists():
            write_private(self.password, new_password().reveal() + "\n")
            self.written.append(self.password)
        password = Secret(self.password.read_text(encoding="ascii").strip())
        issued = Issued(*(path.read_bytes() for path in self.pair_of(_SERVER)))
        self._write(database_files(database, self.hosts, password, issued), self.path / DATABASE)

    def _write(self, files: dict[str, bytes], folder: Path) -> None:
        self.written += write_files(files, folder, self._now, force=self._force, dry_run=False).written
