"""What stands beside the configuration of Redis: Compose file, systemd drop-in, firewall sheet, the nodes' part.

Names and values of the container are those of the vendor article (``redis:7``, ``rppam-redis``, ``rppam-redis-data``,
``unless-stopped``). No password is on any command line, in an environment or in a Compose file.
"""

import json
from typing import Any

from rppam.cli._setup.acl import NODE_USER
from rppam.cli._setup.passwords import Passwords
from rppam.cli._setup.wishes import Wishes

_COPY = "install -o redis -g redis -m 600"


def compose_file(wishes: Wishes, number: int) -> str:
    """The docker-compose.yml of one host. Sentinel and Redis rewrite their files, so copies in /data are kept."""
    port = wishes.hosts[number].port
    keep = wishes.has_sentinels
    lines = [
        "# Written by 'rppam redis setup'. Start it in this folder: docker compose up -d",
        "name: rppam",
        "services:",
        *_service("rppam-redis", "redis-server", "redis.conf", port, wishes, keep=keep),
    ]
    if wishes.has_sentinels:
        lines += _service(
            "rppam-sentinel", "redis-sentinel", "sentinel.conf", wishes.sentinels[number].port, wishes, keep=True
        )
    lines += ["volumes:", "  rppam-redis-data:", "    name: rppam-redis-data"]
    if wishes.has_sentinels:
        lines += ["  rppam-sentinel-data:", "    name: rppam-sentinel-data"]
    return "\n".join(lines) + "\n"


def _service(name: str, program: str, conf: str, port: int, wishes: Wishes, *, keep: bool) -> list[str]:
    files = [conf, *(["users.acl"] if program == "redis-server" else []), *(["tls"] if wishes.tls else [])]
    etc = wishes.conf_dir
    # The folder that the configuration names must be there while it is read, though the data goes to the volume.
    copies = [f"install -d -o redis -g redis -m 700 {etc} {wishes.data_dir}"]
    if "users.acl" in files:
        copies.append(f"{_COPY} /setup/users.acl {etc}/users.acl")
    if wishes.tls:
        copies.append(f"install -d -o redis -g redis -m 700 {etc}/tls")
        copies.append(f"{_COPY} /setup/tls/ca.crt /setup/tls/redis.crt /setup/tls/redis.key {etc}/tls/")
    place = f"/data/{conf}" if keep else f"{etc}/{conf}"
    copies.append((f"test -e {place} || " if keep else "") + f"{_COPY} /setup/{conf} {place}")
    sentinel = "--sentinel " if program == "redis-sentinel" else ""
    return [
        f"  {name}:",
        "    image: redis:7",
        f"    container_name: {name}",
        "    restart: unless-stopped",
        "    stop_grace_period: 30s",
        "    ports:",
        f'      - "{port}:{port}"',
        "    volumes:",
        f"      - {name}-data:/data",
        *(f"      - ./{file}:/setup/{file}:ro" for file in files),
        "    # As root it only copies the files, which nobody else may read; Redis itself runs as the user redis.",
        '    entrypoint: ["sh", "-ec"]',
        "    command:",
        "      - |",
        *(f"        {line}" for line in copies),
        f"        exec docker-entrypoint.sh redis-server {place} {sentinel}--dir /data --bind 0.0.0.0",
        "    logging:",
        "      driver: json-file",
        "      options:",
        '        max-size: "10m"',
        '        max-file: "5"',
    ]


def systemd_drop_in(wishes: Wishes, unit: str) -> str:
    """For the unit ``redis-server`` (Debian; RHEL calls it redis) or ``redis-sentinel``."""
    rhel = " (RHEL family: redis.service.d)" if unit == "redis-server" else ""
    return f"""# Written by 'rppam redis setup'. Place: /etc/systemd/system/{unit}.service.d/rppam.conf{rhel},
# then: systemctl daemon-reload
[Service]
Restart=always
RestartSec=1
LimitNOFILE=65536
OOMScoreAdjust=-500
# After a failover Sentinel and Redis rewrite their own configuration.
ReadWritePaths=-{wishes.conf_dir}
"""


def config_section(wishes: Wishes, passwords: Passwords) -> dict[str, Any]:
    """The ``redis`` section of rppam.config, the same on every node."""
    endpoints = wishes.sentinels or wishes.hosts
    options = [str(endpoint) for endpoint in endpoints]
    if wishes.has_sentinels:
        # Sentinels have a password and no user of ours; theirs is 'default'.
        options += [f"serviceName={wishes.service_name}", "sentinelUser=default"]
        options.append(f"sentinelPassword={passwords.at_sentinel.reveal()}")
    options += [f"user={NODE_USER}", f"ssl={str(wishes.tls).lower()}", "abortConnect=false"]
    section: dict[str, Any] = {
        "enabled": True,
        "connectionString": ",".join(options),
        "password": passwords.node.reveal(),
        "keyPrefix": wishes.prefix,
        "tlsEnabled": wishes.tls,
    }
    if wishes.tls:
        section["tlsCaPath"] = str(wishes.node_dir / "redis-ca.crt")
        section["tlsCertPath"] = str(wishes.node_dir / "redis-client.pfx")
        section["tlsCertPassword"] = passwords.pfx.reveal()
    return section


def config_text(wishes: Wishes, passwords: Passwords) -> str:
    """The section as JSON."""
    return json.dumps({"redis": config_section(wishes, passwords)}, indent=2) + "\n"


def firewall_sheet(wishes: Wishes) -> str:
    """Which port is open to whom, and the commands for it."""
    rows = [(str(one), "RP-PAM nodes, witness" + _others(wishes, one.host)) for one in wishes.hosts]
    rows += [(str(one), "RP-PAM nodes, witness, the other sentinels") for one in wishes.sentinels]
    ports = sorted({one.port for one in (*wishes.hosts, *wishes.sentinels)})
    lines = ["Open these ports, and no others of Redis, to these hosts and to nobody else:", ""]
    lines += [f"  {place:<28} from: {who}" for place, who in rows]
    lines += ["", "Commands, once for each ADDRESS that may come:"]
    for port in ports:
        lines += [
            "",
            f"Debian/Ubuntu  sudo ufw allow from ADDRESS to any port {port} proto tcp",
            "RHEL family    sudo firewall-cmd --permanent --add-rich-rule='rule family=ipv4 source "
            f"address=ADDRESS port port={port} protocol=tcp accept' && sudo firewall-cmd --reload",
            f"Windows        New-NetFirewallRule -DisplayName RP-PAM-Redis-{port} -Direction Inbound -Protocol TCP "
            f"-LocalPort {port} -RemoteAddress ADDRESS -Action Allow",
        ]
    lines += [
        "",
        "Docker publishes ports past ufw: restrict them in the DOCKER-USER chain, or publish one address.",
    ]
    return "\n".join(lines) + "\n"


def _others(wishes: Wishes, host: str) -> str:
    if not wishes.has_sentinels:
        return ""
    others = sorted({one.host for one in (*wishes.hosts, *wishes.sentinels)} - {host})
    return f", {', '.join(others)}" if others else ", the sentinels"


def install_sheet(wishes: Wishes) -> str:
    """What to do with the files, in order."""
    etc, data = wishes.conf_dir, wishes.data_dir
    tls = f"\n     sudo install -d -m 700 -o redis -g redis {etc}/tls" if wishes.tls else ""
    tls += f"\n     sudo install -m 600 -o redis -g redis tls/* {etc}/tls/" if wishes.tls else ""
    drop_in = "redis-sentinel.service.d/rppam.conf"
    sentinel = (
        f"\n     sudo install -m 600 -o redis -g redis sentinel.conf {etc}/sentinel.conf"
        f"\n     sudo install -D -m 644 {drop_in} /etc/systemd/system/{drop_in}"
        "\n     sudo systemctl daemon-reload && sudo systemctl restart redis-sentinel"
        if wishes.has_sentinels
        else ""
    )
    each = "each folder redis-N on its own host" if wishes.has_sentinels else "the folder redis on the Redis host"
    client = (
        f"\n     sudo install -d -m 700 -o rppam {wishes.node_dir}"
        f"\n     sudo install -m 600 -o rppam node/redis-client.pfx node/redis-ca.crt {wishes.node_dir}/"
        if wishes.tls
        else ""
    )
    return f"""What was written here, and what to do with it
=============================================

1. Copy {each}, by scp or another safe way. There, in that folder:

   Debian/Ubuntu (RHEL family: the unit is called redis):
     sudo install -m 600 -o redis -g redis redis.conf users.acl {etc}/{tls}
     sudo install -d -m 750 -o redis -g redis {data}
     sudo install -D -m 644 redis-server.service.d/rppam.conf /etc/systemd/system/redis-server.service.d/rppam.conf
     sudo systemctl daemon-reload && sudo systemctl restart redis-server{sentinel}

   Docker, Linux or Windows:
     docker compose up -d

2. Open the ports: firewall.txt.

3. Put the section of node/rppam.config.redis.json into rppam.config of every node. Encrypt its secrets with
   'rppam config encrypt'. Then restart the nodes.{client}

4. Check it from every node: rppam doctor

secrets.json and authority/ hold what everything here rests on. Keep them off the servers and away from others: with
secrets.json a second run writes the same files again, without it new passwords are made.
"""
