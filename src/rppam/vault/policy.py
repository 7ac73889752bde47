"""Who may do what with which entry. Pure.

``pam_admin`` may everything, ``pam_auditor`` sees everything but secrets. Others have rights on folders, by user or by
role, which hold for the folders below, too; and grants, which hold for a while. Whoever has no right on an entry is
answered as if there were none.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from rppam.access.accounts.model import AccountRole
from rppam.access.sessions.model import Identity
from rppam.vault.errors import EntryUnknown, RightLacking
from rppam.vault.model import ALL_RIGHTS, Entry, EntryType, Holder, RevealPolicy, Right, ancestors, implied
from rppam.vault.ports import Grant

_AUDITOR: Final = frozenset({Right.LIST, Right.AUDIT})
_NONE: Final[frozenset[Right]] = frozenset()
_WORDS: Final = {
    Right.LIST: "see it",
    Right.USE: "use it",
    Right.REVEAL: "see its secret or check it out",
    Right.MANAGE: "change it",
    Right.AUDIT: "see its history",
}


class Access(NamedTuple):
    """What somebody has: rights by the path of their folder, and grants."""

    identity: Identity
    folders: Mapping[str, frozenset[Right]]
    grants: Sequence[Grant] = ()

    @property
    def everywhere(self) -> frozenset[Right]:
        """By role, on every entry."""
        if AccountRole.ADMIN in self.identity.roles:
            return ALL_RIGHTS
        return _AUDITOR if AccountRole.AUDITOR in self.identity.roles else _NONE

    def on_folder(self, path: str) -> frozenset[Right]:
        """On a folder and what lies in it."""
        found = self.everywhere
        for above in ancestors(path):
            found |= self.folders.get(above, _NONE)
        return implied(found)

    def on(self, entry: Entry) -> frozenset[Right]:
        """On an entry."""
        found = self.on_folder(entry.folder)
        for grant in self.grants:
            if fits(grant, entry):
                found |= grant.rights
        return implied(found)

    def grant_for(self, entry: Entry, right: Right) -> Grant | None:
        """The grant with the right on the entry that holds longest."""
        fitting = [grant for grant in self.grants if right in grant.rights and fits(grant, entry)]
        return max(fitting, key=lambda grant: grant.until, default=None)

    def needed_grant(self, entry: Entry, *rights: Right) -> Grant | None:
        """The grant that makes it possible; ``None`` where a right on the folder does."""
        asks = entry.policy.reveal is RevealPolicy.WITH_APPROVAL and Right.REVEAL in rights
        if not asks and not self.on_folder(entry.folder).isdisjoint(rights):
            return None
        found = [grant for right in rights if (grant := self.grant_for(entry, right))]
        return max(found, key=lambda grant: grant.until, default=None)


def fits(grant: Grant, entry: Entry) -> bool:
    """Whether a grant is about the entry."""
    named = ((grant.entry_id, entry.id), (grant.account_id, entry.account_id), (grant.resource_id, entry.resource_id))
    asked = [(wanted, found) for wanted, found in named if wanted is not None]
    return bool(asked) and all(wanted == found for wanted, found in asked)


def check(access: Access, entry: Entry, *rights: Right) -> None:
    """Raise unless one of ``rights`` is there: :class:`EntryUnknown` for those who may not know of it."""
    held = access.on(entry)
    if not held:
        raise EntryUnknown("no entry has this id")
    if held.isdisjoint(rights):
        raise RightLacking(f"you may not {' or '.join(_WORDS[right] for right in rights)}")


def check_reveal(access: Access, entry: Entry) -> None:
    """Raise unless the secret may be shown, whoever holds it."""
    held = access.on(entry)
    if not held:
        raise EntryUnknown("no entry has this id")
    if entry.type is EntryType.SSH_CA_ACCOUNT:
        raise RightLacking("an entry of this type has no secret: certificates are made for it")
    if entry.policy.reveal is RevealPolicy.NEVER:
        raise RightLacking("this entry is only used, and shown to nobody")
    if entry.policy.reveal is RevealPolicy.WITH_APPROVAL and access.grant_for(entry, Right.REVEAL) is None:
        raise RightLacking("this entry is shown only with an approved request")
    check(access, entry, Right.REVEAL)


def needs_checkout(access: Access, entry: Entry) -> bool:
    """Whether the own check-out comes before the secret: one at a time knows an exclusive one."""
    return entry.policy.exclusive and AccountRole.ADMIN not in access.identity.roles


def holder_of(identity: Identity) -> Holder:
    """Under whose name a caller holds something."""
    return Holder(identity.user_id or "", identity.subject)
