"""What the command rules of an ACL user allow, for the few commands that the doctor looks for.

Redis 6.2 has no ACL DRYRUN, so its rules are read here, in order, the last one that fits wins (Redis documentation of
ACL). Only whole commands and the categories below count; a rule about one sub-command counts as the whole command when
it allows, since that is enough to do harm.
"""

from typing import Final

CATEGORIES: Final = {
    "FLUSHALL": {"keyspace", "write", "slow", "dangerous"},
    "FLUSHDB": {"keyspace", "write", "slow", "dangerous"},
    "CONFIG": {"admin", "slow", "dangerous"},
    "DEBUG": {"admin", "slow", "dangerous"},
    "SHUTDOWN": {"admin", "slow", "dangerous"},
    "KEYS": {"keyspace", "read", "slow", "dangerous"},
    "REPLICAOF": {"admin", "slow", "dangerous"},
    "ACL": {"admin", "slow", "dangerous"},
}


HARMLESS: Final = {
    "acl|whoami",
    "acl|dryrun",
    "acl|cat",
    "acl|genpass",
    "acl|help",
    "config|help",
    "config|rewrite",
    "debug|help",
}
"""Sub-commands that change nothing that matters: a right to these alone is no right to the command."""


def may_run(rules: str, command: str) -> bool:
    """Whether ``rules`` (as ACL GETUSER writes them) allow ``command``, which is one of CATEGORIES."""
    allowed = False
    name = command.lower()
    for rule in rules.lower().split():
        sign, rest = rule[:1], rule[1:]
        if sign not in ("+", "-"):
            if rule in ("allcommands", "nocommands"):
                allowed = rule == "allcommands"
            continue
        if rest.startswith("@"):
            fits = rest == "@all" or rest[1:] in CATEGORIES[command]
        elif "|" in rest:
            fits = sign == "+" and rest.split("|")[0] == name and rest not in HARMLESS
        else:
            fits = rest == name
        if fits:
            allowed = sign == "+"
    return allowed
