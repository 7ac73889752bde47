"""What dialogs the sources of the console have, and how one comes to those that a button opens."""

import re
from collections import Counter
from typing import NamedTuple

from scripts.console_build import CONSOLE


class Dialog(NamedTuple):
    """A dialog, and how one comes to it."""

    site: str
    """Where the sources have it: the file, and the first word of its title."""
    title: str
    path: str
    button: str
    before: tuple[str, ...] = ()
    """Buttons that are pressed first."""


def sites() -> Counter[str]:
    """Every place of the sources that opens a dialog."""
    found = Counter[str]()
    opening = re.compile(r"(?<!function )\b(?:ask\(\{\s*title: |showSecret\()|dialogs\.above = \{\s*")
    for path in sorted(CONSOLE.joinpath("src").rglob("*")):
        if path.suffix not in {".svelte", ".ts"}:
            continue
        text = path.read_text(encoding="utf-8")
        for one in opening.finditer(text):
            rest = text[one.end() :].split("\n")[0]
            word = re.match(r"(\w+\.\w+)[,?]", rest) or re.search(r't\("((?:[^"\\]|\\.)*)"', rest)
            assert word is not None, f"{path.name}: {rest}"
            found[f"{path.name.split('.')[0]}: {word[1][:40]}"] += 1
    return found


def plain(host: str, user: str) -> list[Dialog]:
    """Those that a button of a page opens; ``host`` is the id of the target web1."""
    host, account = f"targets/{host}", f"{user}@web1"
    return [
        Dialog("Users: New user", "New user", "users", "New user"),
        Dialog("Users: one.username", "bob", "users?search=bob", "Change bob"),
        Dialog("Users: Reset the password of {0}", "Reset the password of bob", "users?search=bob", "Reset password"),
        Dialog("Users: Delete {0}", "Delete bob", "users?search=bob", "Delete"),
        Dialog("Users: How {0} is reached", "How bob is reached", "users?search=bob", "Mail and manager"),
        Dialog("Channels: New channel", "New channel", "notifications", "New channel"),
        Dialog("Channels: one.name", "hook", "notifications", "Change hook"),
        Dialog("Channels: Remove {0}", "Remove hook", "notifications", "Remove hook"),
        Dialog("Channels: Send a test by {0}", "Send a test by hook", "notifications", "Test hook"),
        Dialog("Siem: New SIEM target", "New SIEM target", "siem", "New target"),
        Dialog("Siem: one.name", "collector", "siem", "Change collector"),
        Dialog("Siem: Remove {0}", "Remove collector", "siem", "Remove collector"),
        Dialog("Siem: Send a test event to {0}", "Send a test event to collector", "siem", "Test collector"),
        Dialog("Policies: New policy", "New policy", "policies", "For everybody"),
        Dialog("Policies: New group", "New group", "policies", "New group"),
        Dialog("Policies: Add to {0}", "Add to operators", "policies", "Add somebody operators"),
        Dialog(
            "Policies: Take somebody out of {0}", "Take somebody out of operators", "policies", "Take out operators"
        ),
        Dialog("Policies: Delete {0}", "Delete operators", "policies", "Delete operators"),
        Dialog("Terminal: New terminal", "New terminal", "terminal", "New terminal"),
        Dialog(
            "Settings: one.title", "For how many days recordings are kept", "settings", "Change recordings/retention"
        ),
        Dialog(
            "Settings: Back to revision {0}", "Back to revision 1", "settings/recordings/retention", "Go back to this"
        ),
        Dialog("Access: End the session {0}", f"End the session sue → {account}", "access", "End sue web1"),
        Dialog("holds: Hold the recording {0}", f"Hold the recording sue → {account}", "access", "Hold sue web1"),
        Dialog("Targets: New target", "New target", "targets", "New target"),
        Dialog("Targets: now.name", "web1", host, "Change"),
        Dialog("Targets: Delete {0}", "Delete web1", host, "Delete"),
        Dialog("Targets: Pin a host key", "Pin a host key", host, "Pin a key"),
        Dialog("Targets: Believe this key no more", "Believe this key no more", host, "Remove"),
        Dialog("Targets: New privileged account", "New privileged account", host, "New account"),
        Dialog("Targets: Delete {0}", f"Delete {user}", host, f"Delete {user}"),
        Dialog("Requests: Ask for access", "Ask for access", "requests", "Ask for access"),
        Dialog("Requests: Approve {0} for {1}", "Approve root for ann", "requests", "Approve ann root"),
        Dialog("Requests: Give {0} back", f"Give {account} back", "requests", f"Give back {account}"),
        Dialog("Requests: Take {0} away", f"Take {account} (bob) away", "requests", f"Take away bob {account}"),
        Dialog(
            "Requests: Review the emergency of {0}", "Review the emergency of eve", "requests", f"Review eve {account}"
        ),
        Dialog("Logins: End this session", "End this session", "logins", "End sue"),
        Dialog("Logins: End all sessions of everybody", "End all sessions of everybody", "logins", "End all sessions"),
        Dialog("Cluster: Let another node lead", "Let another node lead", "cluster", "Switch over"),
        Dialog("Cluster: Failover test", "Failover test", "cluster", "Failover test"),
        Dialog("Cluster: Note for all administrators", "Note for all administrators", "cluster", "Note"),
        Dialog("Cluster: Pause automatic failover", "Pause automatic failover", "cluster", "Pause failover"),
        Dialog("entries: New entry", "New entry", "vault", "New entry"),
        Dialog("entries: Change {0}", "Change root", "vault", "Change root"),
        Dialog("Vault: Show {0}", "Show root", "vault", "Show root"),
        Dialog("Vault: Check out {0}", "Check out keytab", "vault", "Check out keytab"),
        Dialog("Vault: End the check-out of {0}", "End the check-out of ann", "vault", "End"),
        Dialog("entries: A new version of {0}", "A new version of keytab", "vault", "New version keytab"),
        Dialog("Vault: Delete {0}", "Delete root", "vault", "Delete root"),
        Dialog("Folders: New folder", "New folder", "vault", "New folder"),
        Dialog("Folders: one.path", "servers", "vault", "Change servers"),
        Dialog("Folders: Delete {0}", "Delete servers", "vault", "Delete servers"),
        Dialog(
            "Folders: Give rights on {0}", "Give rights on servers", "vault", "Give a user rights", ("Rights servers",)
        ),
        Dialog(
            "Folders: Rights of {0} on {1}",
            "Rights of Approver on servers",
            "vault",
            "Change Approver",
            ("Rights servers",),
        ),
        Dialog("VaultKeys: Rotate the key of the vault", "Rotate the key of the vault", "vault", "Rotate now"),
        Dialog("Holds: New legal hold", "New legal hold", "holds", "New legal hold"),
        Dialog("Holds: Lift the legal hold on {0}", "Lift the legal hold on mallory", "holds", "Lift the hold mallory"),
        Dialog("Holds: Erase a name from the ledger", "Erase a name from the ledger", "holds", "Erase a name"),
        Dialog("OwnKeys: Add a passkey", "Add a passkey", "account", "Add a passkey"),
        Dialog("SshTokens: A token for one log-in", "A token for one log-in", "account", "A token for one log-in"),
        Dialog("OwnKeys: Add an SSH key", "Add an SSH key", "account", "Add an SSH key"),
        Dialog("Account: Change my password", "Change my password", "account", "Change my password"),
        Dialog("Account: Add a second factor", "Add a second factor", "account", "Add a second factor"),
    ]
