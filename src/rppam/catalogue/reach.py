"""Codes about reaching Redis, TLS, and what Redis answers.

Part of the table in :mod:`rppam.catalogue.table`: code to (severity, what, symptom, fix).
"""

from typing import Final

from rppam.catalogue.fixes import CLI, Fix, conf, config, firewall, here, service

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
        conf("Start Redis, and let it listen where the nodes come from ('bind' in redis.conf).", "bind 0.0.0.0"),
    ),
    "RD-102": (
        "error",
        "Nothing answers at that address: a firewall drops the packets, or the host is off.",
        "redisConnected: false in cluster health; connect timeouts",
        firewall("Switch the host on, and open the Redis port for every node in the firewalls."),
    ),
    "RD-103": (
        "error",
        "The host name of Redis cannot be resolved on this host.",
        "Name or service not known; No such host is known",
        config("Correct the name in redis.connectionString, or this host's DNS (getent hosts NAME; Resolve-DnsName "
               "NAME).", "connectionString"),
    ),
    "RD-104": (
        "error",
        "There is no network path to Redis from this host, or a firewall rejects it.",
        "No route to host; Network is unreachable",
        firewall("Check the address, the route (ip route get ADDRESS), and firewalls that reject."),
    ),
    "RD-105": (
        "error",
        "Redis takes the connection and then says nothing, or half a sentence.",
        "timeouts although the port is open",
        service("Check that Redis is not frozen, swapping or running a slow command, and that it is Redis that "
                "listens there.", "restart"),
    ),
    "RD-106": (
        "error",
        "The connection is closed before Redis has said anything.",
        "Connection reset; the server closed the connection",
        service("Check whether Redis restarts or crashes, whether it demands TLS (ssl=true), and what stands in "
                "between.", "restart"),
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
        config("Name the host and port of Redis itself in redis.connectionString, and let ssl match what the port "
               "speaks.", "redis.connectionString"),
    ),
    "RD-109": (
        "error",
        "The server does not know HELLO 3: older than Redis 6, or a protocol proxy stands in between.",
        "unknown command HELLO; NOPROTO",
        Fix("Use Redis 6.2 or later (7.x recommended), directly.", "sudo apt install redis-server",
            "sudo dnf module reset redis; sudo dnf module install redis:7", "use the image redis:7",
            "Docker Desktop: as Docker. Memurai: install version 4 or later"),
    ),
    "RD-110": (
        "error",
        "That address is a Redis Sentinel, not a Redis.",
        "unknown command 'SET' from port 26379",
        config("Add serviceName=NAME, or name the Redis on port 6379.", "redis.connectionString"),
    ),
    "RD-111": (
        "error",
        "Redis stopped answering on an open connection.",
        "timeouts under load",
        service("Check whether Redis is frozen, swaps or runs a slow command (SLOWLOG GET), and whether the network "
                "loses packets.", "restart"),
    ),
    "RD-112": (
        "error",
        "The system of this host gives the node no socket to reach Redis by.",
        "Too many open files; Address family not supported by protocol",
        here("Raise LimitNOFILE (ls /proc/PID/fd shows what is open), or name Redis by a kind of address that this "
             "host has.",
             "sudo ls /proc/$(pgrep -of 'rppam node')/fd | wc -l; raise LimitNOFILE in rppam.service; sudo systemctl "
             "daemon-reload; sudo systemctl restart rppam",
             "Get-Process rppam* | Select-Object Handles; Restart-Service RpPam"),
    ),
    "RD-113": (
        "error",
        "A fault of this program keeps the node from Redis.",
        "a traceback in the log of the node",
        Fix("Read the node's log, restart the node, and report the traceback to the makers of this program.",
            "sudo journalctl -u rppam -n 100; sudo systemctl restart rppam",
            "sudo journalctl -u rppam -n 100; sudo systemctl restart rppam",
            "docker logs --tail 100 rppam; docker restart rppam",
            "read the log of the service; Restart-Service RpPam"),
    ),
    "RD-114": (
        "error",
        "Redis, or what answers as it, sends a reply that is larger than any a node asks for.",
        "sent a reply of 2147483647 elements, and takes 16384 at most; the connection was dropped",
        service("Find out what answers at that address: a proxy, another program, or a Redis that somebody else "
                "writes to.", "restart", "CLIENT LIST shows who is connected"),
    ),
    "RD-115": (
        "error",
        "Redis, or what answers as it, pushes more messages or invalidations than a node takes.",
        "pushed more than 10000 words within a second; the connection was dropped",
        service("Find who publishes or writes so much under redis.keyPrefix (CLIENT LIST), and stop it.", "restart",
                "CLIENT LIST shows who is connected"),
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
        conf("Check that the certificates are valid, trusted and made for this name; allow TLS 1.2 and 1.3 on both "
             "sides.", 'tls-protocols "TLSv1.2 TLSv1.3"'),
    ),
    "RD-128": (
        "warning",
        "The certificate of Redis expires soon.",
        "nothing yet",
        Fix("Issue a new server certificate in time.", *_CERTIFICATE),
    ),
}  # fmt: skip

ANSWERS: Final[dict[str, Entry]] = {
    "RD-201": (
        "error",
        "Redis demands a password, and this node sends none.",
        "NOAUTH Authentication required",
        config("Put the password of redis.conf (requirepass) into redis.password or the connection string.",
               "redis.password"),
    ),
    "RD-202": (
        "error",
        "Redis does not accept this user and password, or the user is disabled.",
        "WRONGPASS invalid username-password pair; NOAUTH on older clients",
        config("Use the password of requirepass, or of the ACL user named by user=.", "redis.password"),
    ),
    "RD-203": (
        "error",
        "The Redis user may not run a command, or use a key or channel, that a node needs.",
        "NOPERM this user has no permissions",
        Fix("Give the user what 'rppam redis setup' writes into users.acl, then ACL LOAD.",
            f"edit /etc/redis/users.acl; {CLI} ACL LOAD", f"edit /etc/redis/users.acl; {CLI} ACL LOAD",
            "edit the mounted users.acl; docker restart rppam-redis",
            "Docker Desktop: as Docker. Memurai: edit the aclfile; Restart-Service Memurai"),
    ),
    "RD-204": (
        "error",
        "Redis has restarted and is still loading its data.",
        "LOADING Redis is loading the dataset in memory",
        Fix("Wait for loading to complete; it takes seconds to minutes, depending on the data size. Nodes wait by "
            "themselves.", f"{CLI} INFO persistence | grep loading", f"{CLI} INFO persistence | grep loading",
            "docker logs --tail 20 rppam-redis", "Docker Desktop: as Docker. Memurai: read its log file"),
    ),
    "RD-205": (
        "error",
        "The server is a read-only replica, not the primary.",
        "READONLY You can't write against a read only replica",
        config("Name the primary in redis.connectionString, or the sentinels with serviceName.",
               "redis.connectionString"),
    ),
    "RD-206": (
        "error",
        "Redis cannot save its data and refuses writes.",
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk",
        service("Free the disk of Redis, or give it its folder back; its log names the cause.", "restart",
                "df -h; ls -ld on its 'dir'"),
    ),
    "RD-207": (
        "error",
        "Redis has used up maxmemory and refuses writes.",
        "OOM command not allowed when used memory > 'maxmemory'",
        conf("Raise maxmemory, or find what fills it (rppam redis info) and whether keyPrefix is unique.",
             "maxmemory 1gb"),
    ),
    "RD-208": (
        "error",
        "The server is a replica that has lost its primary.",
        "MASTERDOWN Link with MASTER is down",
        config("Bring the primary back and name it in redis.connectionString, or name the sentinels with "
               "serviceName.", "redis.connectionString"),
    ),
    "RD-209": (
        "error",
        "The primary has fewer good replicas than min-replicas-to-write demands, and refuses writes.",
        "NOREPLICAS Not enough good replicas to write",
        service("Bring the replicas back, or lower min-replicas-to-write.", "restart", "INFO replication shows them"),
    ),
    "RD-210": (
        "error",
        "Redis is in protected mode and accepts only local clients.",
        "DENIED Redis is running in protected mode",
        conf("Set a password (requirepass) and a bind address; protected mode then lets in.", "requirepass PASSWORD"),
    ),
    "RD-211": (
        "error",
        "Redis has reached its maximum number of clients.",
        "ERR max number of clients reached",
        conf("Find who keeps connections open (CLIENT LIST), or raise maxclients.", "maxclients 10000"),
    ),
    "RD-212": (
        "error",
        "The server runs in Redis Cluster mode, which is not supported.",
        "MOVED; CLUSTERDOWN; CROSSSLOT",
        conf("Use a single Redis, or Redis with Sentinel (cluster-enabled no).", "cluster-enabled no"),
    ),
    "RD-213": (
        "error",
        "Redis is busy with somebody's long-running script.",
        "BUSY Redis is busy running a script",
        service("Find the script's owner; SCRIPT KILL ends a script that has not written.", "restart"),
    ),
    "RD-214": (
        "error",
        "Redis answers with an error that this version does not know.",
        "ERR ...",
        service("Read the server's words and its log; treat the outcome as unknown.", "restart"),
    ),
    "RD-215": (
        "error",
        "A command that a node needs is renamed or disabled on the server, or the server is too old.",
        "ERR unknown command",
        config("Undo that rename-command, or give the new name in the connection string: '$COMMAND=newname'.",
               "redis.connectionString"),
    ),
    "RD-216": (
        "error",
        "Redis has no database of the number in defaultDatabase.",
        "ERR DB index is out of range",
        config("Leave defaultDatabase out (keyPrefix keeps clusters apart), or raise 'databases' in redis.conf.",
               "redis.connectionString"),
    ),
    "RD-217": (
        "error",
        "A key of this cluster holds a value of another type: somebody else writes under its keyPrefix.",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        config("Give this cluster a keyPrefix of its own, or remove the foreign key.", "redis.keyPrefix"),
    ),
}  # fmt: skip
