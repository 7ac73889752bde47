"""What the ledger records of sessions through the gateway."""

from typing import Final

from rppam.ledger.events import Action, Retention

_A, _M = Retention.ACCESS, Retention.ADMINISTRATION

ACTIONS: Final = (
    Action("access.login", "user", "Somebody logged in at the gateway", _A, "how, factor, name of a certificate"),
    Action("access.start", "access-session", "A session with a target began", _A, "account, target, address, host key"),
    Action("access.reach", "access-session", "The target of a terminal let a gateway in", _A, "node, host key, way"),
    Action("access.refuse", "access-session", "A session or a part of one was refused", _A, "target, what, why"),
    Action("access.channel", "access-session", "A channel of a session ended", _A, "kind, bytes, exit and who says so"),
    Action("file.transfer", "access-session", "SFTP carried a file", _A, "path, direction, bytes, SHA-256"),
    Action("file.change", "access-session", "SFTP changed a file otherwise", _A, "what, path, whether it was done"),
    Action("file.untold", "access-session", "What SFTP carries cannot be told any further", _A, "why"),
    Action("access.second", "access-session", "A session began, as somebody watches it", _A, "who watches"),
    Action("access.detach", "access-session", "A session lost its user or its gateway, and is kept", _A, "why, bytes"),
    Action("access.reattach", "access-session", "A kept session goes on", _A, "node, how often, how long it was kept"),
    Action(
        "access.end",
        "access-session",
        "A session with a target ended",
        _A,
        "why, who ordered it, bytes, duration",
    ),
    Action("access.kill", "access-session", "Somebody ordered a session to end", _A),
    Action(
        "hostkey.mismatch", "resource", "A target showed another host key than the pinned one", _M, "what was shown"
    ),
    Action("hostkey.make", "gateway", "The gateway's own host key was made", _M, "fingerprint"),
    Action("authority.make", "ssh-authority", "A key of the SSH authority was made", _M, "number, fingerprint"),
    Action("authority.activate", "ssh-authority", "A key of the SSH authority signs from now on", _M, "fingerprint"),
    Action("authority.retire", "ssh-authority", "What a key of the SSH authority signed counts no more", _M),
    Action("certificate.issue", "access-session", "A certificate for one session was signed", _A, "serial, account"),
    Action("certificate.user", "user", "A certificate by which a user logs in at the gateway was signed", _A, "serial"),
    Action("certificate.revoke", "ssh-authority", "A certificate or key counts no more", _M, "by what it is known"),
    Action("certificate.restore", "ssh-authority", "What was revoked counts again", _M, "by what it is known"),
    Action("userkey.add", "user", "A public key for the gateway was added to an account", _M, "fingerprint, type"),
    Action("userkey.remove", "user", "A public key for the gateway was taken away", _M, "fingerprint"),
    Action("userkey.reset", "user", "All public keys of an account were taken away", _M, "fingerprints"),
    Action(
        "sshtoken.make", "user", "A token for one log-in at the gateway was made", _A, "id, target, account, minutes"
    ),
    Action("sshtoken.use", "user", "Somebody logged in at the gateway with it; it counts no more", _A, "id, target"),
    Action("sshlogin.approve", "user", "Somebody approved the own log-in at the gateway in the browser", _A, "target"),
    Action("sshlogin.refuse", "user", "Somebody refused a log-in at the gateway in the browser", _A, "target, address"),
    Action("sshtoken.revoke", "user", "It was taken away before it was used", _A, "id, target"),
)
