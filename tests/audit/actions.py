"""Which test has each action of the catalogue recorded: an action that nobody writes stands nowhere here, and fails.

What the walk and the scenarios record is seen as they run. Of other tests the file is named, and has to name the
action; of what no test can have recorded the reason.
"""

from collections.abc import Mapping
from typing import Final

WALKED: Final = frozenset(
    [
        "access.kill",
        "access.start",
        "account.change",
        "account.create",
        "account.delete",
        "approval-policy.change",
        "approval-policy.create",
        "approval-policy.delete",
        "authority.make",
        "channel.change",
        "channel.create",
        "channel.delete",
        "checkout.begin",
        "checkout.end",
        "cluster.pause",
        "contact.change",
        "failover.begin",
        "folder.change",
        "folder.create",
        "folder.delete",
        "folder.rights",
        "leader.transfer",
        "ledger.erase",
        "ledger.hold",
        "lockout.end",
        "member.remove",
        "mfa.remove",
        "node.maintain",
        "passkey.reset",
        "recording.end",
        "recording.export",
        "recording.hold",
        "recording.search",
        "recording.start",
        "recording.verify",
        "recording.watch",
        "resource.change",
        "resource.create",
        "resource.delete",
        "resource.pin",
        "resource.unpin",
        "role.grant",
        "rotation.rules",
        "secret.change",
        "secret.create",
        "secret.delete",
        "secret.reveal",
        "secret.set",
        "session.end",
        "session.end-all",
        "session.open",
        "setting.change",
        "siem.change",
        "siem.create",
        "siem.delete",
        "user-group.change",
        "user-group.create",
        "user-group.delete",
        "user.change",
        "user.create",
        "user.delete",
        "user.password",
        "vault.kek-create",
    ]
)
"""By tests/app/test_rest_reference.py, which asks most routes."""

IN_SCENARIOS: Final[Mapping[str, frozenset[str]]] = {
    name: frozenset(actions.split())
    for name, actions in {
        "second factor": "login.fail mfa.begin mfa.enrol mfa.renew mfa.spend session.elevate",
        "own things": "userkey.add userkey.remove",
        "tokens for one log-in": "sshtoken.make sshtoken.revoke",
        "passkeys": "passkey.add passkey.remove",
        "requests": "grant.create grant.revoke request.approve request.create",
        "denials": "request.cancel request.deny request.expire",
        "extensions": "grant.begin grant.extend",
        "reviews": "grant.end request.review",
        "rotation": "rotation.order",
        "holds": "ledger.release",
        "release": "secret.release",
        "recordings": "recording.release",
        "lockouts": "lockout.begin",
        "authority": "authority.activate authority.retire certificate.user",
        "revocations": "certificate.revoke certificate.restore",
        "SIEM": "siem.test",
        "channels": "channel.test",
        "failover tests that are asked for": "failover.ask failover.test",
        "failover tests": "failover.fault",
        "orders that are taken back": "cluster.resume node.resume",
    }.items()
}
"""By the scenarios of test_every_act.py; what the walk records is left out."""

ON_HOSTS: Final = frozenset(
    ["user.disable", "user.enable", "token-key.make", "token-key.retire", "cluster-key.begin", "database.contract"]
)
"""By the commands that test_every_act.py gives."""

ELSEWHERE: Final[Mapping[str, str]] = {
    "checkpoint.context": "audit/test_watch.py",
    "ledger.reset": "audit/test_adoption.py",
    "siem.shorten": "siem/test_bounds.py",
    "role.revoke": "audit/test_api.py",
    "note.write": "audit/test_every_act.py",
    "member.join": "manager/test_joined.py",
    "order.take": "ledger/test_acts.py",
    "leader.elect": "audit/test_watch.py",
    "ledger.found": "audit/test_watch.py",
    "ledger.cosigner": "audit/test_cosigners.py",
    "ledger.adopt": "audit/test_command.py",
    "ledger.age": "audit/test_retention.py",
    "ledger.archive": "audit/test_archive.py",
    "ledger.prune": "audit/test_archive.py",
    "secret.use": "gateway/test_vault_routes.py",
    "vault.unseal": "vault/test_unseal.py",
    "vault.seal": "vault/test_unseal.py",
    "vault.kek-retire": "vault/test_sealing.py",
    "vault.mek-change": "vault/test_sealing.py",
    "recording.head": "gateway/test_recorded.py",
    "recording.lose": "gateway/test_recorded.py",
    "recording.delete": "gateway/test_recording_retention.py",
    "access.login": "gateway/test_user_keys.py",
    "access.refuse": "gateway/test_register.py",
    "access.channel": "gateway/test_register.py",
    "file.transfer": "gateway/test_files.py",
    "file.change": "gateway/test_files.py",
    "file.untold": "gateway/test_files.py",
    "access.second": "gateway/test_second_person.py",
    "access.detach": "gateway/test_kept.py",
    "access.reattach": "gateway/test_kept.py",
    "access.end": "gateway/test_register.py",
    "hostkey.mismatch": "gateway/test_refusals.py",
    "hostkey.make": "gateway/test_register.py",
    "certificate.issue": "gateway/test_certificates.py",
    "sshtoken.use": "gateway/test_ssh_tokens.py",
    "rotation.begin": "rotation/test_on_targets.py",
    "rotation.done": "rotation/test_on_targets.py",
    "rotation.fail": "rotation/test_on_targets.py",
    "rotation.end": "rotation/test_on_targets.py",
    "license.install": "licence/test_journal.py",
    "license.refuse": "licence/test_journal.py",
    "license.warn": "licence/test_journal.py",
    "license.expire": "licence/test_journal.py",
    "license.remove": "licence/test_journal.py",
}
"""By other tests, below ``tests``."""

_SAME: Final = "the command records it as the others of its group do; the steps before it are a whole cluster's"
NOT_RECORDED: Final[Mapping[str, str]] = {
    "cluster-key.switch": _SAME,
    "cluster-key.finish": _SAME,
    "member.adopt": "the command takes over the data directory of another host, and records it as its neighbours do",
    "cluster.found": "the command makes another cluster, and records it as its neighbours do",
    "redis-password.begin": _SAME,
    "redis-password.finish": _SAME,
}
"""By no test here, and why."""
