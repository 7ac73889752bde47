"""What the ledger records of the vault. No detail holds a secret."""

from typing import Final

from rppam.ledger.events import Action, Retention

_A, _M = Retention.ACCESS, Retention.ADMINISTRATION

ACTIONS: Final = (
    Action("folder.create", "folder", "A folder of the vault was made", _M),
    Action("folder.change", "folder", "A folder was renamed or described", _M, "path, description"),
    Action("folder.delete", "folder", "A folder was deleted", _M),
    Action("folder.rights", "folder", "Rights on a folder were set", _M, "all of them"),
    Action(
        "secret.create", "secret", "An entry of the vault was made", _M, "folder, type, account, policy, tags, owner"
    ),
    Action("secret.change", "secret", "An entry was changed, not its secret", _M, "what is different"),
    Action("secret.set", "secret", "A new version of a secret was stored", _M, "version, names of fields, how"),
    Action("secret.delete", "secret", "An entry was deleted with all its versions", _M),
    Action("secret.reveal", "secret", "A secret was shown", _A, "version, names of fields, check-out, grant"),
    Action("secret.use", "secret", "A secret was used without showing it", _A, "version, purpose, check-out, grant"),
    Action("secret.release", "secret", "An entry that waited for a change was released without one", _M),
    Action("checkout.begin", "secret", "An entry was checked out", _A, "id, generation, until when, grant"),
    Action("checkout.end", "secret", "A check-out ended", _A, "id, generation, why, whose it was"),
    Action("vault.kek-create", "vault-key", "The vault has a new key", _M, "fingerprint of what wraps it"),
    Action("vault.kek-retire", "vault-key", "A key of the vault wraps nothing any more and is gone", _M),
    Action(
        "vault.unseal",
        "vault-key",
        "The vault was opened on a node",
        _M,
        "by shares, or by which node, and who agreed",
    ),
    Action("vault.seal", "vault-key", "The vault was closed on a node, or found closed there", _M),
    Action("vault.mek-change", "vault-key", "The vault's keys were wrapped with another master key", _M, "how many"),
)
