"""Codes about what a Redis must be like, Sentinel and the key prefix.

Part of the table in :mod:`rppam.catalogue.table`: code to (severity, what, symptom, fix).
"""

from typing import Final

from rppam.catalogue.fixes import Fix, conf, config, firewall, service
from rppam.catalogue.reach import ANSWERS, REACH, Entry

MUST: Final[dict[str, Entry]] = {
    "RD-301": (
        "error",
        "Redis is older than 6.2.",
        "scripts and ACL rules fail",
        Fix("Install Redis 6.2 or later; 7.x is recommended.", "sudo apt install redis-server",
            "sudo dnf module reset redis; sudo dnf module install redis:7", "use the image redis:7",
            "Docker Desktop: as Docker. Memurai: install version 4 or later"),
    ),
    "RD-302": (
        "warning",
        "This version of Redis has known security holes, unless the distribution has mended it without a new number.",
        "nothing",
        Fix("Update Redis.",
            "sudo apt update && sudo apt install --only-upgrade redis-server; apt changelog redis-server | grep CVE "
            "shows what is mended", "sudo dnf update redis; rpm -q --changelog redis | grep CVE shows what is mended",
            "docker pull redis:7; docker compose up -d --force-recreate",
            "Docker Desktop: as Docker. Memurai: install the newest version"),
    ),
    "RD-303": (
        "error",
        "Redis keeps no append-only file, so a restart may forget who leads.",
        "INFO persistence: aof_enabled:0",
        conf("Turn AOF on; it is required.", "appendonly yes", "appendfsync everysec"),
    ),
    "RD-304": (
        "error",
        "Redis fails to write its data to disk.",
        "INFO persistence: aof_last_write_status:err or rdb_last_bgsave_status:err",
        service("Free the disk of Redis, or give it its folder back.", "restart", "df -h; ls -ld on its 'dir'"),
    ),
    "RD-305": (
        "warning",
        "Redis may use less than 256 MB of memory.",
        "OOM under load",
        conf("Give it 256 MB at least, 1 GB for 50 and more sessions.", "maxmemory 1gb"),
    ),
    "RD-306": (
        "note",
        "Redis may use less than 1 GB of memory, which is advised from 50 active sessions on.",
        "nothing yet",
        conf("Raise it before many sessions come.", "maxmemory 1gb"),
    ),
    "RD-307": (
        "error",
        "Redis may throw keys away when memory is short, and could throw away the leader's lock.",
        "leadership is lost without a fault",
        conf("Never evict.", "maxmemory-policy noeviction"),
    ),
    "RD-308": (
        "warning",
        "Redis has nearly used up its memory.",
        "High memory usage on Redis; soon OOM",
        conf("See what fills it (rppam redis info; INFO memory), check that keyPrefix is unique, or raise it.",
             "maxmemory 1gb"),
    ),
    "RD-309": (
        "note",
        "Redis has no memory limit of its own, so nothing sets memory aside for it or stops it before the host does.",
        "the kernel's OOM killer ends Redis",
        conf("Set a limit below the host's memory.", "maxmemory 1gb", "maxmemory-policy noeviction"),
    ),
    "RD-310": (
        "error",
        "Redis lets everybody in without a password.",
        "redis-cli works without AUTH",
        conf("Make a password (rppam redis password) and set it; with an aclfile, for the user default there.",
             "requirepass PASSWORD"),
    ),
    "RD-311": (
        "warning",
        "The Redis password is shorter than 32 characters.",
        "nothing; it can be guessed",
        conf("Make a longer one (rppam redis password), set it, and put it into rppam.config of every node.",
             "requirepass PASSWORD"),
    ),
    "RD-312": (
        "warning",
        "This node's Redis user can run commands that destroy data or change the server.",
        "nothing, until somebody types them",
        conf("Give the nodes a user of their own (rppam redis setup writes one), or take the commands away.",
             'rename-command FLUSHALL ""', 'rename-command FLUSHDB ""', 'rename-command DEBUG ""',
             "rename-command CONFIG ANOTHER-NAME"),
    ),
    "RD-313": (
        "warning",
        "The clocks of Redis and of this host differ.",
        "times in logs and health do not fit; tokens expire early",
        Fix("Let a time service set the clocks of all hosts.", "sudo apt install chrony; chronyc tracking",
            "sudo dnf install chrony; sudo systemctl enable --now chronyd; chronyc tracking",
            "set the clock of the Docker host", "w32tm /resync; w32tm /query /status"),
    ),
    "RD-314": (
        "warning",
        "Redis answers slowly, compared to the time that a node waits.",
        "lost leadership under load; exchanges with unknown outcome",
        service("Look for slow commands (SLOWLOG GET), swapping, the network; or use timingProfile classic.", "restart",
                "redis-cli --latency"),
    ),
    "RD-315": (
        "note",
        "Redis 7.x is recommended.",
        "nothing",
        Fix("Plan an update; 6.2 works.", "sudo apt install redis-server", "sudo dnf module install redis:7",
            "use the image redis:7", "Docker Desktop: as Docker"),
    ),
    "RD-316": (
        "note",
        "Some facts could not be read with this Redis user, so they were not checked.",
        "NOPERM for INFO, COMMAND or ACL",
        Fix("Allow +info +command|info +acl|whoami +acl|dryrun, or run the doctor with the administrator's password."),
    ),
    "RD-317": (
        "note",
        "The nodes come as the Redis user 'default', the administrator's own, who may do everything.",
        "nothing, until a node's config is stolen",
        config("Give the nodes a user of their own: 'rppam redis setup' writes one into users.acl; name it as "
               "user=rppam.", "user= and the password in redis.connectionString"),
    ),
}  # fmt: skip

SENTINEL: Final[dict[str, Entry]] = {
    "RD-401": (
        "error",
        "The sentinels do not know this serviceName.",
        "no primary is found",
        config("Use the name after 'sentinel monitor' in sentinel.conf as serviceName in "
               "redis.connectionString.", "serviceName"),
    ),
    "RD-402": (
        "error",
        "No sentinel can be asked where the primary is.",
        "no primary is found",
        service("Start the sentinels, open their port (26379) for every node, and check sentinelUser and "
                "sentinelPassword.", "restart", "the same for redis-sentinel"),
    ),
    "RD-403": (
        "warning",
        "A sentinel cannot be asked.",
        "failover works until another one fails",
        service("Start that sentinel, and open its port (26379) for every node.", "restart",
                "the same for redis-sentinel"),
    ),
    "RD-404": (
        "error",
        "The sentinels name different primaries.",
        "nodes disagree who leads",
        service("Let all sentinels monitor the same primary: SENTINEL REMOVE and MONITOR on the wrong one.", "restart"),
    ),
    "RD-405": (
        "error",
        "The primary that the sentinels name cannot be used from here.",
        "connected to sentinels, not to Redis",
        firewall("See the next finding; behind NAT set replica-announce-ip, replica-announce-port and their "
                 "sentinel twins."),
    ),
    "RD-406": (
        "warning",
        "There are fewer than three sentinels.",
        "no failover when one of them is lost",
        Fix("Run three sentinels on three hosts: rppam redis setup --sentinel writes them.",
            "sudo apt install redis-sentinel", "sudo dnf install redis; sudo systemctl enable --now redis-sentinel",
            "docker compose up -d on three hosts", "as Docker"),
    ),
    "RD-407": (
        "warning",
        "The primary has fewer than two replicas.",
        "after one failover there is nobody left",
        service("Run two replicas (replicaof PRIMARY 6379): rppam redis setup --sentinel writes them.", "restart"),
    ),
    "RD-408": (
        "warning",
        "min-replicas-to-write is not set, so a primary that is cut off goes on taking writes that are lost later.",
        "acknowledged writes are gone after a failover",
        conf("Set it on every Redis of the group.", "min-replicas-to-write 1", "min-replicas-max-lag 2"),
    ),
    "RD-409": (
        "warning",
        "CONFIG is renamed on the Redis servers: Sentinel elects and then hangs, unless each sentinel knows the name.",
        "+failover-state-wait-promotion in the log of Sentinel, and no failover",
        Fix("Tell every sentinel the name: 'sentinel rename-command SERVICENAME CONFIG THE-NAME', or use a Redis "
            "user without CONFIG instead of renaming it.",
            "add the line to /etc/redis/sentinel.conf; sudo systemctl restart redis-sentinel",
            "add the line to /etc/redis/sentinel.conf; sudo systemctl restart redis-sentinel",
            "add the line to each sentinel.conf (with our Compose file /data/sentinel.conf in the container); docker "
            "restart each sentinel", "Docker Desktop: as Docker"),
    ),
    "RD-410": (
        "error",
        "The sentinels cannot agree on a failover now.",
        "NOQUORUM; NOGOODSLAVE",
        service("Bring the missing sentinels back; quorum is 2 of 3.", "restart", "SENTINEL CKQUORUM SERVICENAME"),
    ),
    "RD-411": (
        "warning",
        "A failover is under way, or the sentinels hold the primary for down.",
        "writes fail for a moment",
        service("Run this again in a minute; when it stays so, read the logs of the sentinels.", "restart"),
    ),
    "RD-412": (
        "warning",
        "The sentinel.conf that was named cannot be read.",
        "nothing",
        Fix("Name the file that the sentinel on this host runs with, and run this as an account that may read it.",
            "sudo rppam doctor --sentinel-conf /etc/redis/sentinel.conf",
            "sudo rppam doctor --sentinel-conf /etc/redis/sentinel.conf",
            "name the sentinel.conf on the host that is mounted into the container", "Docker Desktop: as Docker"),
    ),
}  # fmt: skip

_TO_SENTINELS: Final = config(
    "Set redis.sentinelPassword to requirepass of sentinel.conf, and sentinelUser=default unless the sentinels have a "
    "user for the nodes; without these two the user and the password of Redis are sent.",
    "redis.sentinelPassword, and sentinelUser= in redis.connectionString",
)
_NO_SENTINEL: Final = config(
    "With serviceName the connection string names sentinels (port 26379): name those, or leave serviceName out.",
    "redis.connectionString",
)
_SENTINEL_CONF: Final = "in /etc/redis/sentinel.conf; sudo systemctl restart redis-sentinel"
AT_SENTINELS: Final[dict[str, Fix]] = {
    "RD-107": _NO_SENTINEL,
    "RD-108": _NO_SENTINEL,
    "RD-125": config(
        "Let the sentinels speak TLS as Redis does (tls-port 26379 and port 0 in sentinel.conf), or set ssl=false.",
        "redis.tlsEnabled",
    ),
    "RD-201": _TO_SENTINELS,
    "RD-202": _TO_SENTINELS,
    "RD-203": Fix(
        "Give the user of sentinelUser the right to SENTINEL and SUBSCRIBE at the sentinels.",
        f"add +sentinel +subscribe to its line {_SENTINEL_CONF}",
        f"add +sentinel +subscribe to its line {_SENTINEL_CONF}",
        "add +sentinel +subscribe to its line in each sentinel.conf; docker restart each sentinel",
        "Docker Desktop: as Docker",
    ),
}  # fmt: skip
"""What to do when the way to a sentinel fails for one of these reasons; for others the reason's own fix holds."""

PREFIX: Final[dict[str, Entry]] = {
    "RD-501": (
        "error",
        "Another cluster uses this keyPrefix on this Redis.",
        "nodes refuse to take part; High memory usage on Redis",
        config("Give each cluster a prefix of its own, such as rppam-prod: and rppam-staging:.", "redis.keyPrefix"),
    ),
    "RD-502": (
        "error",
        "This keyPrefix lies within that of another cluster, or contains it.",
        "nodes refuse to take part; High memory usage on Redis",
        config("Choose prefixes of which none begins with the other.", "redis.keyPrefix"),
    ),
    "RD-503": (
        "note",
        "Redis holds so many keys that not all were searched for other clusters.",
        "nothing",
        config("Make sure that no other cluster uses a prefix that begins with this one.", "redis.keyPrefix"),
    ),
}  # fmt: skip

REDIS: Final = {**REACH, **ANSWERS, **MUST, **SENTINEL, **PREFIX}
