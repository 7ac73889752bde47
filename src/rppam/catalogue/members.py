"""Codes about members that vote: the list of members, the member port, the policy, the keys, the clock."""

from typing import Final

from rppam.catalogue.fixes import Fix, config, error, firewall, here, linux, note, warning

PORT: Final = "5201"
_KEY: Final = (
    "sudo install -m 600 -o rppam -g rppam cluster.key /var/lib/rppam/keys/cluster.key; sudo systemctl restart rppam"
)

MEMBERS: Final = (
    error("RD-901", "The file that keeps this member's promises over a restart cannot be read.",
        "RPPAM-5108; the node does not start",
        here("While the other members run, stop this node, remove the file, let the node's account own the folder, "
            "and start the node: it waits for one lease and learns the members from the others.",
            "sudo systemctl stop rppam; sudo rm /var/lib/rppam/promise; sudo systemctl start rppam")),
    error("RD-902", "This node is in no list of members, so it does not vote and cannot lead.",
        "a no in the column VOTE of rppam status; in the log: this node belongs to no cluster yet",
        linux("Nothing, where a leader runs and this node reaches it: it asks to be taken in by itself, also after it "
            "was forgotten. Nobody leads, on the first node of a new cluster: rppam cluster found.",
            "sudo -u rppam rppam cluster found --config /etc/rppam/rppam.config",
            "docker exec NODE-CONTAINER rppam cluster found --config /app/config/rppam.config",
            r"rppam cluster found --config C:\ProgramData\Ravenphyre\RP-PAM\rppam.config")),
    warning("RD-903", "The list of members on this node's disk is not the one that the others show.",
        "in the log: answers as a member of another cluster",
        here("A node that was stopped takes over the newer list when it starts. If it runs and this stays, two "
            "clusters were founded: stop the wrong one, remove its promise file, and start it: it joins the other.",
            "sudo systemctl stop rppam; sudo rm /var/lib/rppam/promise; sudo systemctl start rppam")),
    error("RD-904", "The port for the other members is taken by another program, or its address is not of this host.",
        "RPPAM-5106; the node does not start",
        here("End that program ('ss -ltnp' shows it), or set cluster.memberPort and cluster.memberHost.",
            f"sudo ss -ltnp 'sport = :{PORT}'", f"Get-NetTCPConnection -LocalPort {PORT}")),
    error("RD-905", "The node runs, and does not listen for the other members.",
        "the others: no connection to this node",
        here("The node runs with an older config or without the cluster key; restart it and read its log.",
            "sudo systemctl restart rppam; sudo journalctl -u rppam -n 50", "Restart-Service NODE-SERVICE")),
    warning("RD-906", "A live node of this cluster takes no part in the votes.",
        "in its log: members do not vote here",
        linux("Copy the cluster key to that node (rppam init --bundle) and restart it; the record alone decides for "
            "it.", _KEY)),
    warning("RD-907",
        "A member is not seen in Redis, so it is down or cannot reach Redis, and its address is not known here.",
        "a member that is unreachable, or missing in rppam status",
        Fix("Start it; one that is switched off for good is taken off the list: rppam cluster forget NAME --off.")),
    warning("RD-908", "A node that runs is on no list of members, so it does not vote and cannot lead.",
        "a no in the column VOTE of rppam status",
        linux("It asks to be taken in by itself while a leader runs. If this stays, run rppam doctor on that node: it "
            "names what keeps it.", "there: sudo rppam doctor --config /etc/rppam/rppam.config")),
    warning("RD-909", "Nodes of this cluster differ in a setting that must be the same on all of them.",
        "the finding names the setting, and who has what",
        config("Make it the same everywhere: rppam config push does it, where it may; else edit it on the nodes named. "
            "For license.path copy the licence file from a node that has it, and restart the node.",
            "the setting named")),
    note("RD-910", "Nodes of this cluster run different releases.",
        "the version of each node in cluster health",
        Fix("Nothing while an update is under way; end it by updating the others.", "rppam --version")),
    error("RD-911", "Another member refuses the connection at its member port.",
        "in the log: connection refused",
        linux("See whether rppam runs there, and whether cluster.memberPort and cluster.memberAddress there are right.",
            f"there: systemctl status rppam; sudo ss -ltnp 'sport = :{PORT}'",
            f"there: publish the port (-p {PORT}:{PORT}); docker ps shows it",
            f"there: Get-NetTCPConnection -LocalPort {PORT}")),
    error("RD-912",
        "Another member does not answer at its member port: a firewall drops the packets, or the host is off.",
        "in the log: no answer: look whether that host runs",
        firewall("Open the member port between all members, both ways, there and on the way.", PORT)),
    error("RD-913", "The address that another member shows leads nowhere.",
        "in the log: cannot be resolved",
        config("On that member set cluster.memberAddress to an IP address and port that all others reach.",
            "cluster.memberAddress")),
    error("RD-914", "There is no network path to another member.",
        "in the log: no network path",
        firewall("Check the address (cluster.memberAddress there), ip route get ADDRESS, and firewalls that reject.",
            PORT)),
    error("RD-915", "Another member accepts the connection, and then sends nothing.",
        "in the log: did not answer the handshake in time",
        here("See on that host whether rppam hangs or a proxy stands in between.",
            "there: sudo systemctl restart rppam; sudo journalctl -u rppam -n 50",
            "there: Restart-Service NODE-SERVICE")),
    error("RD-916", "At another member's address something answers that is no member.",
        "in the log: does not hold the key of this cluster (WRONG_VERSION_NUMBER)",
        config("On that member give cluster.memberPort a port that no other program has, and make "
            "cluster.memberAddress the same.", "cluster.memberPort")),
    error("RD-917", "Another member holds another cluster key.",
        "in the log: does not hold the key of this cluster",
        linux("Copy auth.clusterKeyPath from one node to all others (rppam init --bundle), mode 0600, and restart "
            "them one after the other.", _KEY)),
    error("RD-918", "Another member holds this cluster's key and has another cluster.clusterId.",
        "in the log: has the key of this cluster, but cluster.clusterId",
        config("Make it the same on all nodes, or give the other cluster a key of its own.", "cluster.clusterId")),
    error("RD-919", "Another member speaks another version of the member protocol.",
        "in the log: speaks version", Fix("Update rppam on the older of the two; rppam --version shows it.")),
    error("RD-920", "At the address of one member another one answers.",
        "in the log: a node named ... answers",
        config("Give each member an address of its own; on the one that is named wrong, correct it.",
            "cluster.memberAddress")),
    error("RD-921", "Another member does not let this node in.",
        "in the log: does not let this node in",
        linux("Its log says why; two nodes with one name is the usual cause: give one another node.nodeName.",
            "there: sudo journalctl -u rppam -n 50")),
    warning("RD-931", "Behind Sentinel, last-man-standing lets a Redis that lost a write elect a second leader.",
        "safetyLevel replicated instead of voted; in health: behind Sentinel a failover may forget it",
        Fix("Use majority with an odd number of voters: add a witness (rppam init --witness), and change the policy "
            "as RD-934 says.")),
    warning("RD-932",
        "Behind Sentinel, with an even number of voters, Redis breaks the tie, and a failover may forget its vote.",
        "safetyLevel replicated instead of voted; in health: behind Sentinel a failover may forget it",
        Fix("Make the number odd: add a witness on a host of its own (rppam init --witness).")),
    warning("RD-933", "Two voters: while Redis is away, the loss of either one leaves nobody to lead.",
        "no leader when Redis and one node are away",
        Fix("Add a witness on a third host (rppam init --witness): then any two of the three decide without Redis.")),
    warning("RD-934", "cluster.quorumPolicy is not the policy by which this cluster votes: a config does not change a "
        "cluster that is founded.",
        "nothing; the policy on disk is in force",
        here("Write the policy in force into the config. To change the policy instead: set it on all nodes, stop all "
            "of them and the witness, remove every promise file, found the cluster again on one, start that, then the "
            "others.", "on every host: sudo systemctl stop rppam; sudo rm /var/lib/rppam/promise; then on one: sudo "
            "-u rppam rppam cluster found --config /etc/rppam/rppam.config; then on each: sudo systemctl start rppam")),
    warning("RD-935", "The clock of this host may not keep its rate, and promises are measured by it.",
        "in the log: the clock of NODE runs ... faster than this host's; its promises are not counted",
        linux("Use a steady clock source (tsc, kvm-clock, hyperv_clocksource, arch_sys_counter); on a virtual machine "
            "update the hypervisor's clock settings.", "cat "
            "/sys/devices/system/clocksource/clocksource0/available_clocksource; dmesg | grep -i -e tsc -e clocks")),
    warning("RD-936",
        "node.dataDir is in memory: after a reboot this member has forgotten its promises and its list of members.",
        "after a reboot: this node belongs to no cluster yet",
        config("Put it on a disk, such as /var/lib/rppam.", "node.dataDir")),
    warning("RD-951",
        "There is no sealing key here: the cluster key, which every witness has, also seals copies and secrets.",
        "in health: there is no sealing key",
        Fix("If the other nodes have one, copy auth.sealingKeyPath from there (rppam init --bundle). Else introduce "
            "one, a step at a time: rppam cluster key begin --sealing, copy what it makes to the other nodes, then on "
            "each node switch --sealing, then on each finish --sealing.",
            "sudo -u rppam rppam cluster key begin --sealing")),
    error("RD-952", "A sealing key lies on a witness's host: whoever takes that host can forge people's rights.",
        "in the witness's log: a sealing key lies on this host",
        Fix("Remove it there, and change it on the nodes: rppam cluster key begin --sealing, switch, finish.",
            "there: sudo rm -f /var/lib/rppam-witness/keys/sealing.key*")),
    warning("RD-953",
        "A witness enters Redis as a user that may also read and write the cache and the counters of the nodes.",
        "nothing, until the witness's host is taken",
        Fix("Give it the user rppam-witness of 'rppam redis setup', and its password: rppam init --witness --join "
            "BUNDLE --redis-password-file FILE --force. Then change the nodes' password, which was on that host: "
            "rppam redis rotate-password.")),
    error("RD-954", "Another node has another sealing key, or none.",
        "in the log: does not show that it holds the sealing key; in health: say of maintenance and of a pause",
        Fix("Copy auth.sealingKeyPath, and what stands beside it as .next or .previous, from one node to all other "
            "nodes, mode 0600; never to a witness. Running nodes notice within seconds.")),
    warning("RD-955", "A node's REST API cannot be asked over https from this host: commands here do not reach it.",
        "in commands: TLS failed: its certificate is not believed",
        Fix("Set api.tlsCaPath to the authority that signed the nodes' certificates, issue one with the name in "
            "node.advertiseUrl (rppam tls issue, or openssl with -addext subjectAltName=DNS:NAME), and open the port.",
            "openssl x509 -noout -ext subjectAltName,extendedKeyUsage -in FILE shows what a certificate is for")),
    error("RD-956", "A node has not got the master key that the vault's keys are wrapped with.",
        "RPPAM-8420 or RPPAM-8421 for vault work there; that node does not lead (vault.leadWithoutKey)",
        Fix("Compare 'rppam vault key status' on all nodes, and copy the right key to the node that is named: the file "
            "of vault.keySource, or auth.sealingKeyPath. It notices within two seconds.", "rppam vault key status")),
    note("RD-937", "No witness runs on this host now.",
        "nobody listens at the member port",
        linux("Start it once everything here is right.", "sudo systemctl start rppam-witness",
            "docker start NODE-CONTAINER", "Start-Service NODE-SERVICE")),
    warning("RD-947", "Redis holds heartbeats that no holder of this cluster's key wrote; nothing in them is believed.",
        "in health and log: unauthenticated heartbeats stand in Redis under ...",
        linux("If a node of that name runs, copy the cluster key to it (rppam init --bundle) or update it; else "
            "somebody else writes Redis: see ACL LIST and CLIENT LIST, and change the passwords that may be known.",
            _KEY)),
    warning("RD-948", "The set of names in Redis lists more than any cluster has nodes.",
        "in health and log: listed more names than any cluster has nodes and was emptied",
        linux("Delete the set; living nodes list themselves again. See who else may write Redis: ACL LIST, CLIENT "
            "LIST.", "redis-cli UNLINK rppam:members", "docker exec rppam-redis redis-cli UNLINK rppam:members",
            "redis-cli UNLINK rppam:members")),
)  # fmt: skip
