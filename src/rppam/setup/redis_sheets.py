"""What stands beside the configuration of Redis: Compose file, systemd drop-in, firewall sheet, the nodes' part.

Names and values of the container are those of the vendor article (``redis:7``, ``rppam-redis``, ``rppam-redis-data``,
``unless-stopped``). No password is on any command line, in an environment or in a Compose file.
"""

import json
from typing import Any, Final

from rppam.setup.redis_acl import NODE_USER, WITNESS_USER
from rppam.setup.redis_passwords import Passwords
from rppam.setup.redis_wishes import Wishes

_COPY = "install -o redis -g redis -m 600"
NODE_FILE: Final = "redis.password"
"""With the nodes' password alone: a running node reads it again when it is replaced."""


def compose_file(wishes: Wishes, number: int) -> str:
    """The docker-compose.yml of one host. What Redis and Sentinel rewrite stands in /data, so no restart undoes it."""
    lines = [
        "# Written by 'rppam redis setup'. Start it in this folder: docker compose up -d",
        "name: rppam",
        "services:",
        *_service("rppam-redis", "redis-server", "redis.conf", wishes.hosts[number].port, wishes),
    ]
    if wishes.has_sentinels:
        port = wishes.sentinels[number].port
        lines += _service("rppam-sentinel", "redis-sentinel", "sentinel.conf", port, wishes)
    lines += ["volumes:", "  rppam-redis-data:", "    name: rppam-redis-data"]
    if wishes.has_sentinels:
        lines += ["  rppam-sentinel-data:", "    name: rppam-sentinel-data"]
    return "\n".join(lines) + "\n"


def _service(name: str, program: str, conf: str, port: int, wishes: Wishes) -> list[str]:
    is_sentinel = program == "redis-sentinel"
    files = [conf, *([] if is_sentinel else ["users.acl"]), *(["tls"] if wishes.tls else [])]
    place = f"/data/{conf}" if wishes.has_sentinels else f"{wishes.conf_dir}/{conf}"
    options = "--sentinel" if is_sentinel else "--aclfile /data/users.acl"
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
        *(f"        {line}" for line in _copies(wishes, conf, place, is_sentinel=is_sentinel)),
        f"        exec docker-entrypoint.sh redis-server {place} {options} --dir /data --bind 0.0.0.0",
        "    logging:",
        "      driver: json-file",
        "      options:",
        '        max-size: "10m"',
        '        max-file: "5"',
    ]


def _copies(wishes: Wishes, conf: str, place: str, *, is_sentinel: bool) -> list[str]:
    """What the container does before Redis starts. No '$': Compose would put a variable there."""
    etc = wishes.conf_dir
    # The folder that the configuration names must be there while it is read, though the data goes to the volume.
    lines = [f"install -d -o redis -g redis -m 700 {etc} {wishes.data_dir}"]
    if wishes.tls:
        lines.append(f"install -d -o redis -g redis -m 700 {etc}/tls")
        lines.append(f"{_COPY} /setup/tls/ca.crt /setup/tls/redis.crt /setup/tls/redis.key {etc}/tls/")
    if is_sentinel:
        lines.append(f"test -e {place} || {_COPY} /setup/{conf} {place}")
        return lines
    lines += _taken("users.acl", [f"{_COPY} /setup/users.acl /data/users.acl"])
    if not wishes.has_sentinels:
        lines.append(f"{_COPY} /setup/{conf} {place}")
        return lines
    return lines + _taken(
        conf,
        [
            f"{_COPY} /setup/{conf} {place}.new",
            f"if test -e {place}; then  # Sentinel says whose replica it is, not the file that was mounted",
            f'  sed -i "/^replicaof /d" {place}.new',
            f'  grep "^replicaof " {place} >> {place}.new || true',
            "fi",
            f"mv {place}.new {place}",
        ],
    )


def _taken(file: str, take: list[str]) -> list[str]:
    """Take a mounted file when it is not the one that was taken last; else what Redis has made of it stays."""
    mark = f"/data/.{file}.taken"
    return [
        f"test -e /data/{file} && cmp -s /setup/{file} {mark} || {{",
        *(f"  {line}" for line in [*take, f"{_COPY} /setup/{file} {mark}"]),
        "}",
    ]


def systemd_drop_in(wishes: Wishes, unit: str) -> str:
    """For the unit ``redis-server`` (Debian; RHEL calls it redis) or ``redis-sentinel``."""
    rhel = " (RHEL family: redis.service.d)" if unit == "redis-server" else ""
    conf = wishes.conf_dir / ("redis.conf" if unit == "redis-server" else "sentinel.conf")
    return f"""# Written by 'rppam redis setup'. Place: /etc/systemd/system/{unit}.service.d/rppam.conf{rhel},
# then: systemctl daemon-reload
[Service]
# The unit itself may name another file (RHEL 8: /etc/redis.conf). The empty line takes its own command away.
ExecStart=
ExecStart=/usr/bin/{unit} {conf} --supervised systemd --daemonize no
Restart=always
RestartSec=1
LimitNOFILE=65536
OOMScoreAdjust=-500
# Debian's unit lets Redis write to the usual folders only. It also rewrites its configuration, as Sentinel does.
ReadWritePaths=-{wishes.conf_dir}
ReadWritePaths=-{wishes.data_dir}
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
        "password": {"file": str(wishes.node_dir / NODE_FILE)},
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
    each = "each folder redis-N on its own host" if wishes.has_sentinels else "the folder redis on the Redis host"
    files = ["redis.password", *(["redis-client.pfx", "redis-ca.crt"] if wishes.tls else [])]
    once = "sentinel.conf is taken once; change what Sentinel goes on with by SENTINEL SET."
    learned = f"\n     {once}" if wishes.has_sentinels else ""
    return f"""What was written here, and what to do with it
=============================================

1. Copy {each}, by scp or another safe way. There, in that folder:

   Debian/Ubuntu:
{_place_files(wishes, "redis-server")}

   RHEL family, where the unit is called redis (after its packages; not run by our tests):
{_place_files(wishes, "redis")}

   Docker, Linux or Windows; after a change of the files here with --force-recreate:
     docker compose up -d
     A file that is as before is not taken again: Redis goes on with its own in /data, where a password that was rotated
     stands, and behind Sentinel its role.{learned}

2. Open the ports: firewall.txt.

3. On every node place what it needs, from the folder node:

     sudo install -d -m 700 -o rppam {wishes.node_dir}
     sudo install -m 600 -o rppam {" ".join(files)} {wishes.node_dir}/

   Put the section of rppam.config.redis.json into its rppam.config. Encrypt the secrets that stand there with
   'rppam config encrypt'. Then restart the node.

4. A witness has a Redis user of its own, {WITNESS_USER}, that can read neither the cache nor counters. Its password is
   witness/redis.password; on the witness's host: rppam init --witness ... --redis-password-file redis.password

5. Check it from every node: rppam doctor

secrets.json and authority/ hold what everything here rests on. Keep them off the servers and away from others: with
secrets.json a second run writes the same files again, without it new passwords are made. A password that was rotated
has to be put there, too.
"""


def _place_files(wishes: Wishes, unit: str) -> str:
    """The commands for a host of Debian (``redis-server``) or of the RHEL family (``redis``), in the folder copied."""
    etc, data, owned = wishes.conf_dir, wishes.data_dir, "-o redis -g redis"
    drop_ins = [("redis-server", unit), *([("redis-sentinel", "redis-sentinel")] if wishes.has_sentinels else [])]
    confs = ["redis.conf", "users.acl", *(["sentinel.conf"] if wishes.has_sentinels else [])]
    lines = [
        f"sudo install -d -m 750 {owned} {etc} {data}",
        f"sudo install -m 600 {owned} {' '.join(confs)} {etc}/",
    ]
    if wishes.tls:
        lines += [
            f"sudo install -d -m 700 {owned} {etc}/tls",
            f"sudo install -m 600 {owned} tls/* {etc}/tls/",
        ]
    lines += [
        f"sudo install -D -m 644 {ours}.service.d/rppam.conf /etc/systemd/system/{its}.service.d/rppam.conf"
        for ours, its in drop_ins
    ]
    if unit == "redis":
        lines.append(f"sudo restorecon -R {etc} {data}")
    lines.append(f"sudo systemctl daemon-reload && sudo systemctl restart {' '.join(its for _, its in drop_ins)}")
    return "\n".join(f"     {line}" for line in lines)
