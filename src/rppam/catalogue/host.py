"""Codes about the node's own host: files, licence, database, API, the node's view, and the container of Redis.

Part of the table in :mod:`rppam.catalogue.table`: code to (severity, what, symptom, fix).
"""

from typing import Final

from rppam.catalogue.fixes import Fix, config, here, service
from rppam.catalogue.reach import Entry

_CHECK: Final = r"rppam config check C:\ProgramData\Ravenphyre\RP-PAM\rppam.config"
_ADOPT: Final = "{stop}; sudo -u rppam rppam cluster adopt --config /etc/rppam/rppam.config; {start}"
_CLOSE: Final = (
    r"icacls C:\ProgramData\Ravenphyre\RP-PAM{} /inheritance:r /grant SYSTEM:(OI)(CI)F Administrators:(OI)(CI)F"
)

HOST: Final[dict[str, Entry]] = {
    "RD-600": (
        "error",
        "The configuration is wrong, so the node does not start.",
        "exit 78; rppam config check lists the same",
        here("Correct each line as it says; `rppam config check FILE` lists them all.",
             "rppam config check /etc/rppam/rppam.config", _CHECK),
    ),
    "RD-601": (
        "warning",
        "The config file can be read by other accounts of this host.",
        "a warning of rppam config check",
        here("Close it.", "sudo chown rppam: /etc/rppam/rppam.config; sudo chmod 600 /etc/rppam/rppam.config",
             r"icacls C:\ProgramData\Ravenphyre\RP-PAM\rppam.config /inheritance:r /grant SYSTEM:F Administrators:F"),
    ),
    "RD-602": (
        "warning",
        "The configuration works and should be put right.",
        "a warning of rppam config check",
        here("Run rppam config check, which lists it all.", "rppam config check /etc/rppam/rppam.config", _CHECK),
    ),
    "RD-603": (
        "error",
        "The keys that sign access tokens are missing or cannot be used.",
        "the node does not start; tokens of other nodes are refused",
        here("Copy auth.jwtKeysDir from another node (rppam init --bundle), owned by the node's account, mode 0600; "
             "on a first node run rppam init.",
             "sudo chown -R rppam: /var/lib/rppam/keys; sudo chmod -R go= /var/lib/rppam/keys",
             _CLOSE.format(r"\keys")),
    ),
    "RD-604": (
        "error",
        "The cluster key, by which the members know each other, is missing, open to others, or not a key.",
        "RPPAM-5107; the node does not start, or it has no vote",
        here("Copy auth.clusterKeyPath from another node (rppam init --bundle), mode 0600; on a first node run "
             "rppam init.", "sudo chmod 600 /var/lib/rppam/keys/cluster.key", _CLOSE.format(r"\keys")),
    ),
    "RD-605": (
        "warning",
        "There is no licence for a cluster here, so this node counts as Standard and cannot join others.",
        "403 for a further node",
        here("Install an Enterprise or MSP licence.", "sudo install -m 600 license.jwt /etc/rppam/license.jwt",
             r"copy license.jwt C:\ProgramData\Ravenphyre\RP-PAM\license.jwt"),
    ),
    "RD-606": (
        "warning",
        "The licence cannot be used, or expires.",
        "403 for a further node",
        here("Install a renewed licence; look at it with rppam license show.",
             "sudo install -m 600 license.jwt /etc/rppam/license.jwt",
             r"copy license.jwt C:\ProgramData\Ravenphyre\RP-PAM\license.jwt"),
    ),
    "RD-607": (
        "error",
        "The database cannot be reached, or refuses the connection.",
        "503 for logins; a warning in health",
        config("Check that the database runs, that this host may connect, and database.url with its "
               "user and password.", "database.url"),
    ),
    "RD-608": (
        "error",
        "The API cannot listen on its address; another program may have its port.",
        "the node does not start: address already in use",
        here("End that program ('ss -ltnp' shows it), or set api.port.", "sudo ss -ltnp 'sport = :7101'",
             "Get-NetTCPConnection -LocalPort 7101 | Select-Object OwningProcess"),
    ),
    "RD-609": (
        "error",
        "Another live node uses this node's name.",
        "exit 75; one of the two nodes is started again and again",
        config("Give this node a name of its own (node.nodeName), or stop the other one.", "node.nodeName"),
    ),
    "RD-610": (
        "warning",
        "The password of the first administrator still stands in a file.",
        "the file first-admin-password in the data directory",
        here("Log in, change the password (PUT /api/v1/users/me/password), and remove the file.",
             "sudo rm /var/lib/rppam/first-admin-password",
             r"del C:\ProgramData\Ravenphyre\RP-PAM\first-admin-password"),
    ),
    "RD-611": (
        "note",
        "Redis is not used: this node runs alone.",
        "one node only",
        config("For high availability set redis.enabled and redis.connectionString.", "redis.enabled"),
    ),
    "RD-612": (
        "error",
        "A certificate file that the config names cannot be used.",
        "TLS handshake failure; exit 78",
        config("Check path, password and content of the file.", "tlsCertPath, tlsCertPassword, tlsCaPath"),
    ),
    "RD-613": (
        "warning",
        "A certificate file that the config names expires soon or has expired.",
        "TLS handshake failure, soon",
        here("Issue a new one and replace the file: it is read at the next connection to Redis, that of the API within "
             "seconds.", "openssl x509 -noout -enddate -in FILE (for a .pfx: openssl pkcs12 -nokeys -in FILE)",
             "certutil -dump FILE"),
    ),
    "RD-614": (
        "warning",
        "A folder or file of this node is open to others, or is not there.",
        "the node may not start",
        here("Let only the node's account read and write it.",
             "sudo install -d -m 700 -o rppam -g rppam /var/lib/rppam", _CLOSE.format("")),
    ),
    "RD-615": (
        "warning",
        "The API is reached from other hosts without TLS, so passwords and tokens can be read on the way.",
        "a warning in health and of rppam config check",
        config("Set api.tlsCertPath, or node.advertiseUrl to the https:// URL of a balancer that ends TLS.",
               "api.tlsCertPath, and api.tlsKeyPath or api.tlsCertPassword"),
    ),
    "RD-616": (
        "error",
        "A check of the doctor itself broke off, so what it looks for is not known.",
        "nothing else",
        Fix("Look at what is named yourself, and report the line to the makers of this program."),
    ),
    "RD-618": (
        "error",
        "The promise file was written on another host, or is a copy, so this member does not vote.",
        "RPPAM-5327 in log and health; the member's vote is missing, and it does not lead",
        Fix("If the host that had this data directory is off for good, or this is it (moved, restored): stop the "
            "node, run rppam cluster adopt. A copy beside the original would make two leaders in a partition.",
            _ADOPT.format(stop="sudo systemctl stop rppam", start="sudo systemctl start rppam"),
            _ADOPT.format(stop="sudo systemctl stop rppam", start="sudo systemctl start rppam"),
            "docker stop rppam; docker run --rm (mounts as before) rppam rppam cluster adopt --config "
            "/app/config/rppam.config; docker start rppam",
            r"Stop-Service RpPam; rppam cluster adopt --config C:\ProgramData\Ravenphyre\RP-PAM\rppam.config; "
            "Start-Service RpPam"),
    ),
    "RD-619": (
        "error",
        "Promises cannot be written to node.dataDir, so this member gives none: it cannot vote or take over.",
        "RPPAM-5109 in log and health; a switchover is refused with 409",
        here("Make room there, or let the node's account own the folder; the node tries again every few seconds.",
             "df -h /var/lib/rppam; df -i /var/lib/rppam; sudo ls -ld /var/lib/rppam",
             "Get-Volume; icacls C:\\ProgramData\\Ravenphyre\\RP-PAM"),
    ),
    "RD-620": (
        "warning",
        "There is little room left on a disk that the node writes to, or it cannot be seen.",
        "a warning in health and log; once it is full: no votes, no log files, no log-ins (SQLite)",
        here("Make room: old log files, backups, other programs' files; or give the folder a disk of its own.",
             "df -h; df -i; sudo du -xh --max-depth=2 /var | sort -h | tail", "Get-Volume"),
    ),
    "RD-621": (
        "note",
        "This host has no machine id of its own, so a cloned data directory is told by its disk alone.",
        "nothing else",
        here("Make one, once for each host; in a container nothing is to be done: its image has none.",
             "sudo systemd-machine-id-setup; cat /etc/machine-id"),
    ),
    "RD-701": (
        "note",
        "No node runs on this host now.",
        "curl: connection refused at port 7101",
        Fix("Start it once everything here is right.", "sudo systemctl start rppam", "sudo systemctl start rppam",
            "docker start rppam", "Start-Service RpPam"),
    ),
    "RD-702": (
        "error",
        "The running node says that it has no connection to Redis.",
        "redisConnected: false in cluster health",
        service("See the findings about Redis above; when there is none, the node runs with an older config: "
                "restart it (sudo systemctl restart rppam).", "restart"),
    ),
    "RD-703": (
        "warning",
        "The running node says that its cluster is not healthy.",
        "clusterHealthy: false",
        Fix("See who is missing with rppam status.", "rppam status; journalctl -u rppam -n 50",
            "rppam status; journalctl -u rppam -n 50", "docker logs --tail 50 rppam", "rppam status"),
    ),
    "RD-704": (
        "warning",
        "The node's API answers, and does not give its view.",
        "401 or another status for /system/health/cluster",
        Fix("Run this as the account of the node, with the config it runs with."),
    ),
    "RD-705": (
        "warning",
        "Another node of the cluster has no connection to Redis.",
        "redisConnected: false for that node",
        Fix("Run rppam doctor on that node."),
    ),
    "RD-706": (
        "note",
        "What each running node says of its own connection to Redis.",
        "redisConnected of each node in cluster health",
        Fix("Nothing to do where all say true; for another, see the findings about it."),
    ),
    "RD-801": (
        "error",
        "The container of Redis exits at once: its command or configuration is not understood.",
        "Docker container exits immediately",
        Fix("Correct the line that the log names, then make the container anew.",
            "", "", "docker rm -f rppam-redis; docker compose up -d (or docker run as before); docker logs rppam-redis",
            "Docker Desktop: as Docker"),
    ),
    "RD-802": (
        "error",
        "The container of Redis cannot have its port: another program uses it.",
        "Docker container exits immediately; port is already allocated",
        Fix("End the program that has the port (often a Redis of the distribution), or publish another one.",
            "sudo ss -ltnp 'sport = :6379'; sudo systemctl disable --now redis-server",
            "sudo ss -ltnp 'sport = :6379'; sudo systemctl disable --now redis",
            "docker ps --filter publish=6379; -p 6380:6379 publishes another port",
            "Get-NetTCPConnection -LocalPort 6379"),
    ),
    "RD-803": (
        "error",
        "The container of Redis does not run.",
        "Docker container exits immediately",
        Fix("Read why it ended, then start it.", "", "", "docker logs --tail 50 rppam-redis; docker start rppam-redis",
            "Docker Desktop: as Docker"),
    ),
    "RD-804": (
        "note",
        "The docker command gives no answer here, so the container of Redis was not looked at.",
        "permission denied while trying to connect to the Docker daemon; Cannot connect to the Docker daemon",
        Fix("Look yourself, as an account that docker lets in.", "", "",
            "docker ps -a --filter name=rppam-redis; docker logs --tail 50 rppam-redis", "Docker Desktop: as Docker"),
    ),
}  # fmt: skip
