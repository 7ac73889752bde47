"""One row of the table of codes, and how its fix is told: a line for everybody, then one for each platform.

Platforms and their places follow the vendor article on Redis for HA: Debian/Ubuntu packages, the RHEL family, Docker
(container ``rppam-redis``, volume ``rppam-redis-data``), and Windows with Docker Desktop or Memurai. The product makes
no container and no Windows service for a node: NODE-CONTAINER and NODE-SERVICE stand for what people called theirs.
Passwords are never part of a command line: ``REDISCLI_AUTH`` carries them, since arguments can be read by every account
of a host.
"""

from functools import partial
from typing import Final, NamedTuple

from rppam.kernel.finding import Severity

CLI: Final = "REDISCLI_AUTH=$(sudo cat FILE-WITH-THE-PASSWORD) redis-cli"


class Fix(NamedTuple):
    """What to do about a finding. An empty platform line means: as the first line says."""

    common: str
    debian: str = ""
    rhel: str = ""
    docker: str = ""
    windows: str = ""

    def text(self) -> str:
        """The lines as a finding carries them."""
        named = zip(PLATFORMS, self[1:], strict=True)
        return "\n".join([self.common, *(f"{name}: {line}" for name, line in named if line)])


PLATFORMS: Final = ("Debian/Ubuntu", "RHEL", "Docker", "Windows")


def fix_on(text: str, platform: str) -> str:
    """The text of a fix without the lines for other platforms; all of it where the platform is not known."""
    others = tuple(f"{name}: " for name in PLATFORMS if platform and name != platform)
    return "\n".join(line for line in text.splitlines() if not line.startswith(others)) if others else text


class Row(NamedTuple):
    """One code."""

    severity: Severity
    code: str
    what: str
    symptom: str
    """What people see elsewhere when it is so: in a log, at the command line, in health."""
    fix: Fix

    @property
    def advice(self) -> str:
        """What to do on all platforms, in one line."""
        return self.fix.common


error = partial(Row, Severity.ERROR)
warning = partial(Row, Severity.WARNING)
note = partial(Row, Severity.NOTE)


def linux(common: str, both: str, docker: str = "", windows: str = "") -> Fix:
    """The same on Debian and on the RHEL family."""
    return Fix(common, both, both, docker, windows)


def here(common: str, both: str, windows: str = "") -> Fix:
    """Something on the node's own host."""
    return linux(common, both, "the same on the mounted folders of the container of this node", windows)


def config(common: str, key: str) -> Fix:
    """Change rppam.config and restart the node."""
    return linux(
        common,
        f"edit {key} in /etc/rppam/rppam.config on every node; rppam config check "
        "/etc/rppam/rppam.config; sudo systemctl restart rppam",
        f"edit {key} in the mounted /app/config/rppam.config; docker restart NODE-CONTAINER",
        rf"edit {key} in C:\ProgramData\Ravenphyre\RP-PAM\rppam.config; Restart-Service NODE-SERVICE",
    )


def conf(common: str, *lines: str) -> Fix:
    """Set ``lines`` in redis.conf and restart."""
    said = " and ".join(f"'{line}'" for line in lines)
    in_file_only = any(line.startswith(("requirepass", "rename-command", "cluster-")) for line in lines)
    options = " ".join(f"--{name} {value}" for name, _, value in (line.partition(" ") for line in lines))
    or_words = "" if in_file_only else f", or end its command with {options}"
    return Fix(
        common,
        f"set {said} in /etc/redis/redis.conf; sudo systemctl restart redis-server",
        f"set {said} in /etc/redis/redis.conf (RHEL 8 without our drop-in: /etc/redis.conf); "
        "sudo systemctl restart redis",
        f"set {said} in the redis.conf mounted into the container{or_words}; docker compose up -d --force-recreate",
        f"Docker Desktop: as Docker. Memurai: set {said} in memurai.conf; Restart-Service Memurai",
    )


def service(common: str, look: str = "") -> Fix:
    """Restart Redis and read its log; ``look``: what else to look at."""
    also = f"; {look}" if look else ""
    return Fix(
        common,
        f"sudo systemctl restart redis-server; sudo journalctl -u redis-server -n 50{also}",
        f"sudo systemctl restart redis; sudo journalctl -u redis -n 50{also}",
        f"docker restart rppam-redis; docker logs --tail 50 rppam-redis{also}",
        f"Docker Desktop: as Docker. Memurai: Restart-Service Memurai; read its log file{also}",
    )


def firewall(common: str, port: str = "6379") -> Fix:
    """Open a port for the nodes."""
    return Fix(
        common,
        f"sudo ufw allow from NODE-ADDRESS to any port {port} proto tcp",
        "sudo firewall-cmd --permanent --add-rich-rule='rule family=ipv4 source address=NODE-ADDRESS "
        f"port port={port} protocol=tcp accept' && sudo firewall-cmd --reload",
        f"publish the port (-p {port}:{port}) and open it in the host's own firewall; docker ps shows it",
        f"New-NetFirewallRule -DisplayName RP-PAM-Redis -Direction Inbound -Protocol TCP -LocalPort {port} "
        "-RemoteAddress NODE-ADDRESS -Action Allow",
    )
