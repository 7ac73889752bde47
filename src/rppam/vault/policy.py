"""Who may do what with which entry. Pure.

``pam_admin`` may everything, ``pam_auditor`` sees everything but secrets. Others have rights on folders, by user or by
role, which hold for the folders below, too; and grants, which hold for a while. Whoever has no right on an entry is
answered as if there were none.

Who manages a folder sees nothing of it, and nobody comes to see more by what a manager changes: only an administrator
lets somebody have a secret, or, by a move, who has it for good already.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from rppam.access.accounts.model import AccountRole
from rppam.access.sessions.model import Identity
from rppam.vault.errors import EntryUnknown, RightLacking, WouldWiden
from rppam.vault.model import (
    ALL_RIGHTS,
    SIGN_IN,
    Entry,
    EntryPolicy,
    EntryType,
    Holder,
    RevealPolicy,
    Right,
    Subject,
    ancestors,
    implied,
)
from rppam.vault.ports import Grant

_AUDITOR: Final = frozenset({Right.LIST, Right.AUDIT})
_NONE: Final[frozenset[Right]] = frozenset()
_WORDS: Final = {
    Right.LIST: "see it",
    Right.USE: "use it",
    Right.USE_SHELL: "use it for shells",
    Right.USE_FILES: "use it for files",
    Right.REVEAL: "see its secret or check it out",
    Right.MANAGE: "change it",
    Right.AUDIT: "see its history",
}
HAVING: Final = SIGN_IN
_SHOWN: Final = MappingProxyType({RevealPolicy.NEVER: 0, RevealPolicy.WITH_APPROVAL: 1, RevealPolicy.WITH_REASON: 2})
"""Whom an entry is shown to: to more, the greater."""
Held: TypeAlias = Mapping[Subject, frozenset[Right]]
"""Who has which rights at one place."""


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


def gained(before: Held, after: Held, roles: Mapping[str, frozenset[str]]) -> frozenset[Right]:
    """Which of :data:`HAVING` somebody has after, and had not before. ``roles``: those of users, by id."""
    found = _NONE
    for subject, rights in after.items():
        own = roles.get(subject.id, frozenset[str]()) if subject.kind == "user" else frozenset({subject.id})
        had = before.get(subject, _NONE).union(*(before.get(Subject("role", role), _NONE) for role in own))
        if AccountRole.ADMIN not in own:
            found |= _having(rights) - _having(had)
    return found


def check_gain(access: Access, entry: Entry, gain: frozenset[Right]) -> None:
    """Raise :class:`WouldWiden` unless the caller may let others have so much of an entry: who has it for good."""
    if AccountRole.ADMIN in access.identity.roles:
        return
    held = _having(access.on_folder(entry.folder))
    if Right.REVEAL in gain and _is_shown(entry) and Right.REVEAL not in held:
        raise WouldWiden(f"others may see what lies there, and you may not see {entry.name}")
    if not (gain - {Right.REVEAL}) <= held:
        raise WouldWiden(f"others may use what lies there, and you may not use {entry.name}")


def check_pointing(access: Access, entry: Entry, account_id: str | None) -> None:
    """Raise :class:`WouldWiden` where the caller may not point an entry at this account.

    Who has a grant for the account would have the secret, and so would its target, at the next session. And where
    somebody else's secret rotates this one, it would change that account's: so to see this one is not enough.
    """
    if account_id not in {None, entry.account_id} and AccountRole.ADMIN not in access.identity.roles:
        raise WouldWiden(f"accountId: only an administrator points {entry.name} at another account")


def check_policy(access: Access, entry: Entry, policy: EntryPolicy) -> None:
    """Raise :class:`WouldWiden` where the caller may not have an entry shown to more than now."""
    is_wider = _SHOWN[policy.reveal] > _SHOWN[entry.policy.reveal]
    if is_wider and AccountRole.ADMIN not in access.identity.roles:
        raise WouldWiden(f"reveal: {entry.name} is {entry.policy.reveal.value}, and only an administrator loosens that")


def _having(rights: frozenset[Right]) -> frozenset[Right]:
    """Who may see a secret may use it as well, and who may use it may do so for everything."""
    if Right.REVEAL in rights:
        return HAVING
    return HAVING - {Right.REVEAL} if Right.USE in rights else rights & HAVING


def _is_shown(entry: Entry) -> bool:
    """Whether the right to see it is all that it takes."""
    return entry.policy.reveal is RevealPolicy.WITH_REASON and entry.type is not EntryType.SSH_CA_ACCOUNT


def needs_checkout(access: Access, entry: Entry) -> bool:
    """Whether the own check-out comes before the secret: one at a time knows an exclusive one."""
    return entry.policy.exclusive and AccountRole.ADMIN not in access.identity.roles


def holder_of(identity: Identity) -> Holder:
    """Under whose name a caller holds something."""
    return Holder(identity.user_id or "", identity.subject)
