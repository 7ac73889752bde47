"""What can be wrong with sessions through the gateway (RPPAM-8601 and on)."""

from rppam.kernel.errors import Exit, Fault, Retry, RppamError


class GatewayError(RppamError, fault=Fault.CALLER, retry=Retry.NO, exit=Exit.ERRORS, level="info"):
    """Base of all errors of the gateway."""


class RouteUnknown(GatewayError, code="RPPAM-8601", status=404):
    """There is no such target or account, or nobody has granted access to it.

    One text for both, so that nobody learns what exists.
    """

    fix = "Log in without a target to choose from a menu, or ask for access."


class AccountUnclear(GatewayError, code="RPPAM-8602", status=400):
    """The target has several accounts that may be used, and none was named."""

    fix = "Write USER+ACCOUNT+TARGET."


class NoTarget(GatewayError, code="RPPAM-8603", status=400):
    """No target was named, and there is no terminal to show a menu on."""

    fix = "Write USER+TARGET as the user name."


class ChannelRefused(GatewayError, code="RPPAM-8604", status=403):
    """The policy does not allow this kind of channel."""

    fix = "Ask an administrator for that right."


class TooManyChannels(GatewayError, code="RPPAM-8605", status=429, retry=Retry.SLOWLY):
    """The connection has as many sessions as it may have."""

    fix = "End one of them, or open another connection."


class NameUnfit(GatewayError, code="RPPAM-8638", status=400):
    """The user name that a client of SSH gave cannot be read as one, or as one with a target."""

    fix = "Write USER+TARGET or USER+ACCOUNT+TARGET; `rppam ssh-config` prints the right ones."


class AccessUnknown(GatewayError, code="RPPAM-8606", status=404):
    """No session through the gateway has this id, or it is over."""

    fix = "GET /api/v1/access/sessions or 'rppam session ls' lists them."


class SecondFactorNotEnrolled(GatewayError, code="RPPAM-8607", status=403):
    """A second factor is required, and the account has none yet."""

    fix = "Enrol one with POST /api/v1/auth/mfa/enroll, then log in again."


class UserKeyInvalid(GatewayError, code="RPPAM-8608", status=400):
    """The public key cannot be one of the account."""

    fix = "Give one line of `ssh-keygen`'s .pub file, of a type such as ssh-ed25519, that is not there yet."


class UserKeyUnknown(GatewayError, code="RPPAM-8609", status=404):
    """The account has no such key."""

    fix = "GET /api/v1/users/me/ssh-keys lists them."


class NoGateway(GatewayError, code="RPPAM-8610", status=503, fault=Fault.SURROUNDINGS, retry=Retry.SLOWLY):
    """No gateway of this node takes terminals."""

    fix = "Ask another node, or switch the gateway on with 'access.enabled' where no node has one."


class TooManyKept(GatewayError, code="RPPAM-8619", status=429, retry=Retry.SLOWLY):
    """The user has as many terminals and kept sessions as one may have."""

    fix = "End one of them: by 'exit' in it, or with `rppam session kill`; `rppam session ls` lists them."


class TakenElsewhere(GatewayError, code="RPPAM-8639", status=409):
    """A terminal goes on at whoever took it up last: another window, or another client of the same user."""

    fix = "Open it here again to have it here; it is gone there then."


class AuthorityState(GatewayError, code="RPPAM-8620", status=409):
    """The key of the SSH authority is not in a state in which this can be done."""

    fix = "See the keys and their states: `rppam ca show --all`."


class AuthorityUnknown(GatewayError, code="RPPAM-8621", status=404):
    """The SSH authority has no key of this number."""

    fix = "`rppam ca show --all` lists them."


class CertificateInvalid(GatewayError, code="RPPAM-8622", status=400):
    """The certificate, or the key that one is asked for, cannot be taken."""

    fix = "Give one line of `ssh-keygen`'s .pub file, of the type ssh-ed25519, ecdsa-sha2-nistp256 or ssh-rsa."


class CertificateRefused(GatewayError, code="RPPAM-8623", status=403):
    """A certificate or key of a user was shown at the gateway, and lets nobody in."""

    fix = "Get a new one, for this user, from an authority that is trusted here; or log in otherwise."


class RevocationUnknown(GatewayError, code="RPPAM-8630", status=404):
    """The SSH authority has revoked nothing by this id, or it was taken back."""

    fix = "`rppam ca revocations` lists what is revoked."


class SecondPersonNeeded(GatewayError, code="RPPAM-8624", status=403):
    """The target's sessions begin only while somebody else watches, and nobody did, or nobody can."""

    fix = "Ask an approver to run `rppam session watch ID` while the session waits; it can be a shell or a command."


class TooManySessions(GatewayError, code="RPPAM-8625", status=429, retry=Retry.SLOWLY):
    """The user has as many sessions with targets as the policy allows, on whatever nodes they are."""

    fix = "End one of them; `rppam session ls` lists them, `rppam session kill` ends one."


class TooManyTokens(GatewayError, code="RPPAM-8626", status=429, retry=Retry.SLOWLY):
    """The account has as many unused tokens for the gateway as one may have."""

    fix = "Use one, wait until one expires, or take one away: `rppam ssh-token ls`, `rppam ssh-token revoke ID`."


class TokenUnknown(GatewayError, code="RPPAM-8627", status=404):
    """The account has no such token for the gateway that could still be used."""

    fix = "`rppam ssh-token ls` lists those that can still be used; expired and used ones need not be taken away."


class HardwareKeyNeeded(GatewayError, code="RPPAM-8631", status=403):
    """The policy takes keys alone that are kept in hardware, or that are unlocked by a PIN each time."""

    fix = "Make one with `ssh-keygen -t ed25519-sk -O verify-required` and add it to the account; or log in otherwise."


class JumpUnusable(GatewayError, code="RPPAM-8632", status=502, fault=Fault.OPERATOR):
    """The target is to be reached through another one, and that way is a loop, is too long, or is not there."""

    fix = "Correct `via` of the setting access/ssh, or the tags of that target."


class LoginUnknown(GatewayError, code="RPPAM-8633", status=404):
    """No log-in of the account waits for an approval by this id: it was decided, or it is too late."""

    fix = "Log in again with ssh, and approve the one that it names."


class ApprovalFactorNeeded(GatewayError, code="RPPAM-8634", status=403):
    """Who approves a log-in at the gateway stands for its second factor, and has shown none in the own log-in."""

    fix = "Sign in again with a code or a passkey, then approve it."


class KillFactorNeeded(GatewayError, code="RPPAM-8628", status=403):
    """Ending somebody else's session takes a second factor that is shown just now."""

    fix = "Send 'code' or 'passkey' with the order; `rppam session kill` asks for the code, the console for either."


class TargetError(GatewayError, fault=Fault.SURROUNDINGS, retry=Retry.SLOWLY, exit=Exit.NO, level="warning"):
    """Base of what goes wrong on the way to a target."""


class TargetUnreachable(TargetError, code="RPPAM-8611", status=502):
    """Nothing answers at the target's address."""

    fix = "See that the target runs and that its address and port are right: `rppam target`."


class TargetSilent(TargetError, code="RPPAM-8612", status=504):
    """The target was reached and did not finish the log-in in time."""

    fix = "See what the SSH server of the target does: its load, its DNS, its log."


class TargetNameUnresolved(TargetError, code="RPPAM-8613", status=502):
    """The name of the target's host cannot be resolved."""

    fix = "Correct the address of the target, or this node's DNS."


class CredentialRefused(TargetError, code="RPPAM-8614", status=502, fault=Fault.OPERATOR):
    """The target does not take the credential that the vault has for the account."""

    fix = "Put the account's password or key in the vault right, or rotate it."


class HostKeyChanged(TargetError, code="RPPAM-8615", status=502, retry=Retry.NO, level="error"):
    """The target shows another host key than the one that is pinned: it may be somebody else.

    Always refused, whatever the policy of the target.
    """

    fix = "Find out why it changed. Only then take the old key away, with `rppam target`."


class HostKeyUnknown(TargetError, code="RPPAM-8616", status=502, retry=Retry.NO, fault=Fault.OPERATOR):
    """No host key of the target is pinned, and its policy wants that an administrator does so first."""

    fix = "Compare the fingerprint on the target itself, then pin the key with `rppam target`."


class TargetProtocolError(TargetError, code="RPPAM-8617", status=502):
    """The target does not speak SSH as this gateway does."""

    fix = "See 'detail'; an old SSH server may know no algorithm that is safe enough."


class SourceAddressAbsent(TargetError, code="RPPAM-8629", status=502, retry=Retry.NO, fault=Fault.OPERATOR):
    """The node is to go out to targets from an address that its host does not have."""

    fix = "Give the host that address, or correct 'access.sourceAddresses' on the node and restart it."


class CredentialMissing(TargetError, code="RPPAM-8618", status=502, retry=Retry.NO, fault=Fault.OPERATOR):
    """The vault has no credential for the account that can be used for SSH."""

    fix = "Put its password or key into the vault."
