"""Codes about Redis itself: reaching it, its answers, what it must be like, Sentinel and the prefix.

Part of the table in :mod:`rppam.services.codes`: code to (severity, what, symptom, fix).
"""

from typing import Final

from rppam.services.remedies import CLI, Fix, conf, config, firewall, service

Entry = tuple[str, str, str, Fix]

_CERTIFICATE: Final = (
    "put the new files to /etc/redis/tls/ (owner redis, key mode 0600); sudo systemctl restart redis-server",
    "put the new files to /etc/redis/tls/ (owner redis, key mode 0600); sudo systemctl restart redis",
    "put the new files to the mounted tls folder; docker restart rppam-redis",
    "Docker Desktop: as Docker. Memurai: tls-cert-file and tls-key-file in memurai.conf; Restart-Service Memurai",
)

REACH: Final[dict[str, Entry]] = {
    "RD-101": (
        "error",
        "Redis refuses the connection: nothing listens at that address and port.",
        "Connection refused; Could not connect to Redis",
        conf("Start Redis, and let it listen where the nodes come from (bind).", "bind 0.0.0.0"),
    ),
    "RD-102": (
        "error",
        "Nothing answers at that address: packets vanish, as behind a firewall that drops them or on a host that is "
        "switched off.",
        "redisConnected: false in cluster health; connect timeouts",
        firewall("Switch the host on, and open the Redis port for every node."),
    ),
    "RD-103": (
        "error",
        "The host name of Redis cannot be resolved on this host.",
        "Name or service not known; No such host is known",
        config("Correct the name, or this host's DNS (getent hosts NAME; Resolve-DnsName NAME).", "connectionString"),
    ),
    "RD-104": (
        "error",
        "There is no network path to Redis from this host.",
        "No route to host; Network is unreachable",
        firewall("Check the address, ip route get ADDRESS, and firewalls that reject."),
    ),
    "RD-105": (
        "error",
        "Redis takes the connection and then says nothing, or half a sentence.",
        "timeouts although the port is open",
        service("Redis is frozen, swaps, or runs a slow command; or a proxy answers for it.", "restart"),
    ),
    "RD-106": (
        "error",
        "The connection is closed before Redis has said anything.",
        "Connection reset; the server closed the connection",
        service("Redis restarts, crashes, or something in between hangs up.", "restart"),
    ),
    "RD-107": (
        "error",
        "A web server answers there, not Redis.",
        "protocol errors right after connecting",
        config("Name the host and port of Redis itself.", "redis.connectionString"),
    ),
    "RD-108": (
        "error",
        "What answers there does not speak the Redis protocol.",
        "protocol errors right after connecting",
        config("Name the host and port of Redis itself.", "redis.connectionString"),
    ),
    "RD-109": (
        "error",
        "The server does not know HELLO 3: older than Redis 6, or a protocol proxy stands in between.",
        "unknown command HELLO; NOPROTO",
        Fix(
            "Use Redis 6.2 or later (7.x recommended), directly.",
            "sudo apt install redis-server",
            "sudo dnf module reset redis; sudo dnf module install redis:7",
            "use the image redis:7",
            "Docker Desktop: as Docker. Memurai: install version 4 or later",
        ),
    ),
    "RD-110": (
        "error",
        "That address is a Redis Sentinel, not a Redis.",
        "unknown command 'SET' from port 26379",
        config("Add serviceName=NAME, or name the Redis on port 6379.", "redis.connectionString"),
    ),
    "RD-111": (
        "error",
        "Redis stopped answering in the middle of the checks.",
        "timeouts under load",
        service("Look for a slow command (SLOWLOG GET), swapping, or a network that loses packets.", "restart"),
    ),
    "RD-121": (
        "error",
        "The certificate of Redis is out of its dates.",
        "TLS handshake failure; certificate has expired",
        Fix("Issue a new server certificate, and check the clocks of both hosts.", *_CERTIFICATE),
    ),
    "RD-122": (
        "error",
        "The certificate of Redis is signed by an authority that this host does not trust.",
        "TLS handshake failure; unable to get local issuer certificate; self-signed certificate",
        config("Set redis.tlsCaPath to the authority's certificate (ca.crt).", "redis.tlsCaPath"),
    ),
    "RD-123": (
        "error",
        "The certificate of Redis is made for another name.",
        "TLS handshake failure; Hostname mismatch; IP address mismatch",
        config("Name Redis as its certificate does, or set sslHost=NAME; or issue one for this name.", "sslHost"),
    ),
    "RD-124": (
        "error",
        "Redis demands TLS there, and this node speaks plain text.",
        "the server closes the connection at once",
        config("Set redis.tlsEnabled true and ssl=true in the connection string.", "redis.tlsEnabled"),
    ),
    "RD-125": (
        "error",
        "This node speaks TLS, and the server there speaks plain text.",
        "TLS handshake failure; wrong version number",
        conf("Turn TLS on in Redis, or off here (ssl=false).", "tls-port 6379", "port 0"),
    ),
    "RD-126": (
        "error",
        "Redis demands a client certificate that it trusts, and got none or another.",
        "TLS handshake failure; certificate required; unknown ca",
        conf("Set redis.tlsCertPath to a .pfx that Redis trusts, or do not demand one.", "tls-auth-clients optional"),
    ),
    "RD-127": (
        "error",
        "The TLS handshake with Redis fails.",
        "TLS handshake failure",
        conf("Allow TLS 1.2 and 1.3 on both sides, and check the certificates.", 'tls-protocols "TLSv1.2 TLSv1.3"'),
    ),
    "RD-128": (
        "warning",
        "The certificate of Redis expires soon.",
        "nothing yet",
        Fix("Issue a new server certificate in time.", *_CERTIFICATE),
    ),
}

ANSWERS: Final[dict[str, Entry]] = {
    "RD-201": (
        "error",
        "Redis demands a password, and this node sends none.",
        "NOAUTH Authentication required",
        config("Put the password of redis.conf (requirepass) into the config.", "redis.password"),
    ),
    "RD-202": (
        "error",
        "Redis does not accept this user and password.",
        "WRONGPASS invalid username-password pair; NOAUTH on older clients",
        config("Use the password of requirepass, or of the ACL user named by user=.", "redis.password"),
    ),
    "RD-203": (
        "error",
        "The Redis user may not do something that a node needs.",
        "NOPERM this user has no permissions",
        Fix(
            "Give the user what 'rppam redis setup' writes into users.acl, then ACL LOAD.",
            f"edit /etc/redis/users.acl; {CLI} ACL LOAD",
            f"edit /etc/redis/users.acl; {CLI} ACL LOAD",
            "edit the mounted users.acl; docker restart rppam-redis",
            "Docker Desktop: as Docker. Memurai: edit the aclfile; Restart-Service Memurai",
        ),
    ),
    "RD-204": (
        "error",
        "Redis has restarted and is still loading its data.",
        "LOADING Redis is loading the dataset in memory",
        Fix(
            "Wait: it takes seconds to minutes, by the size of the data. Nodes wait by themselves.",
            f"{CLI} INFO persistence | grep loading",
            f"{CLI} INFO persistence | grep loading",
            "docker logs --tail 20 rppam-redis",
            "Docker Desktop: as Docker. Memurai: read its log file",
        ),
    ),
    "RD-205": (
        "error",
        "The Redis there is a read-only replica.",
        "READONLY You can't write against a read only replica",
        config("Name the primary, or the sentinels with serviceName.", "redis.connectionString"),
    ),
    "RD-206": (
        "error",
        "Redis cannot save its data and refuses writes.",
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk",
        service("Free the disk of Redis, or give it its folder back.", "restart", "df -h; ls -ld on its 'dir'"),
    ),
    "RD-207": (
        "error",
        "Redis has used up its memory and refuses writes.",
        "OOM command not allowed when used memory > 'maxmemory'",
        conf("Raise maxmemory, or find what fills it: rppam redis info.", "maxmemory 1gb"),
    ),
    "RD-208": (
        "error",
        "The Redis there is a replica that has lost its primary.",
        "MASTERDOWN Link with MASTER is down",
        config("Bring the primary back, or name the sentinels with serviceName.", "redis.connectionString"),
    ),
    "RD-209": (
        "error",
        "The primary has too few good replicas and refuses writes.",
        "NOREPLICAS Not enough good replicas to write",
        service("Bring the replicas back.", "restart", "INFO replication shows them"),
    ),
    "RD-210": (
        "error",
        "Redis is in protected mode and takes only local clients.",
        "DENIED Redis is running in protected mode",
        conf("Set a password and a bind address; protected mode then lets nodes in.", "requirepass PASSWORD"),
    ),
    "RD-211": (
        "error",
        "Redis has as many clients as it takes.",
        "ERR max number of clients reached",
        conf("Find who keeps connections open (CLIENT LIST), or raise the limit.", "maxclients 10000"),
    ),
    "RD-212": (
        "error",
        "The server runs in Redis Cluster mode, which is not supported.",
        "MOVED; CLUSTERDOWN; CROSSSLOT",
        conf("Use a single Redis or Sentinel.", "cluster-enabled no"),
    ),
    "RD-213": (
        "error",
        "Redis is busy with somebody's script.",
        "BUSY Redis is busy running a script",
        service("Find its owner; SCRIPT KILL ends one that has not written.", "restart"),
    ),
    "RD-214": (
        "error",
        "Redis answers with an error that is not known here.",
        "ERR ...",
        service("Read the server's words and its log.", "restart"),
    ),
    "RD-215": (
        "error",
        "A command that a node needs is renamed or disabled on the server.",
        "ERR unknown command",
        config("Undo that rename-command, or tell the name: '$COMMAND=newname'.", "redis.connectionString"),
    ),
}

MUST: Final[dict[str, Entry]] = {
    "RD-301": (
        "error",
        "Redis is older than 6.2.",
        "scripts and ACL rules fail",
        Fix(
            "Install Redis 6.2 or later; 7.x is recommended.",
            "sudo apt install redis-server",
            "sudo dnf module reset redis; sudo dnf module install redis:7",
            "use the image redis:7",
            "Docker Desktop: as Docker. Memurai: install version 4 or later",
        ),
    ),
    "RD-302": (
        "warning",
        "This version of Redis has known security holes, unless the distribution has mended it without a new number.",
        "nothing",
        Fix(
            "Update Redis.",
            "sudo apt update && sudo apt install --only-upgrade redis-server; "
            "apt changelog redis-server | grep CVE shows what is mended",
            "sudo dnf update redis; rpm -q --changelog redis | grep CVE shows what is mended",
            "docker pull redis:7; docker compose up -d --force-recreate",
            "Docker Desktop: as Docker. Memurai: install the newest version",
        ),
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
        Fix(
            "Let a time service set the clocks of all hosts.",
            "sudo apt install chrony; chronyc tracking",
            "sudo dnf install chrony; sudo systemctl enable --now chronyd; chronyc tracking",
            "set the clock of the Docker host",
            "w32tm /resync; w32tm /query /status",
        ),
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
        Fix("Allow +info +command|info +acl|whoami, or run the doctor with the administrator's password."),
    ),
}  # fmt: skip

SENTINEL: Final[dict[str, Entry]] = {
    "RD-401": (
        "error",
        "The sentinels do not know this serviceName.",
        "no primary is found",
        config("Use the name of 'sentinel monitor NAME ...' in sentinel.conf.", "serviceName"),
    ),
    "RD-402": (
        "error",
        "No sentinel can be asked.",
        "no primary is found",
        service("Start the sentinels, and open their port (26379) for every node.", "restart",
                "the same for redis-sentinel"),
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
        Fix(
            "Tell every sentinel the name: 'sentinel rename-command SERVICENAME CONFIG THE-NAME', or use a Redis user "
            "without CONFIG instead of renaming it.",
            "add the line to /etc/redis/sentinel.conf; sudo systemctl restart redis-sentinel",
            "add the line to /etc/redis/sentinel.conf; sudo systemctl restart redis-sentinel",
            "add the line to each sentinel.conf; docker restart each sentinel",
            "Docker Desktop: as Docker",
        ),
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
}  # fmt: skip

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
}

REDIS: Final = {**REACH, **ANSWERS, **MUST, **SENTINEL, **PREFIX}
