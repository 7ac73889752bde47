"""The setting ``access/ssh``: what may be done through the gateway, and how it is recorded. The setting
``access/certificates``: which certificates are signed, and whose are taken.

Either holds for every session of the cluster; a change is obeyed by all nodes without a restart. Log-in methods hold
for log-ins that begin afterwards, the rest for channels that are opened afterwards.
"""

from typing import Final, NamedTuple

from rppam.config.kinds import Choice, Flag, Text, Texts, Whole
from rppam.settings.model import setting


class AccessPolicy(NamedTuple):
    """See the module."""

    password_login: bool = True
    key_login: bool = True
    token_login: bool = True
    """A token for one log-in to one target, made with ``rppam ssh-token new`` and typed as the password."""
    shell: bool = True
    exec: bool = True
    sftp: bool = True
    local_forward: bool = False
    """``-L``, ``-D``, ``-W``: connections that the target opens for the user."""
    remote_forward: bool = False
    """``-R``: listeners at the target whose connections come to the user."""
    agent_forward: bool = False
    """``-A``: the target may have the user's own agent sign for it."""
    channels_per_connection: int = 10
    sessions_per_user: int = 0
    """Sessions of one user at a time, over the whole cluster; 0: as many as one likes."""
    idle_minutes: int = 60
    """A session without a byte from its user for so long is ended; 0: none is."""
    resume: str = "auto"
    """Shells that outlive a lost connection, gateway or node: ``auto`` goes on with the one that was lost when its user
    comes again, ``ask`` asks the user first, ``never`` keeps none."""
    resume_minutes: int = 15
    """How long a shell is kept for its user to come again."""
    recording: str = "bounded"
    """``off``; ``bounded``: shown at once, at most a second of it not yet durable; ``strict``: durable before shown."""
    recording_loss: str = "refuse"
    """Where nothing can be recorded: ``refuse`` starts no session and ends running ones; ``allow`` goes on without."""
    kill_factor: str = "none"
    """Who ends somebody else's session shows a second factor then: ``required``; or need not: ``none``."""
    two_person_tag: str = "two-person"
    """Resources with this tag: a session with them begins only once somebody else who may watches it."""
    two_person: str = "start"
    """Whoever watches has it begin, and go on when they leave (``start``); or it ends then (``throughout``)."""
    banner: tuple[str, ...] = ()
    """Lines that everybody reads before logging in."""
    hardware_keys: str = "allowed"
    """Keys of users that never leave a piece of hardware: ``allowed``, as others are; ``required``, and no others;
    ``pin``, and no others, and each log-in takes their PIN as well as a touch."""
    via: tuple[str, ...] = ()
    """Targets that are reached through another one: ``TAG=TARGET`` or ``TAG=ACCOUNT+TARGET``, the first that fits."""
    browser_login: bool = True
    """A second factor may be shown by approving the log-in in the console, instead of a code."""
    console_url: str = "-"
    """Where the console is, for those who are sent there; ``-``: it is not said."""

    @property
    def takes_passwords(self) -> bool:
        """Whether something may be typed as a password: one, or a one-time token."""
        return self.password_login or self.token_login


RECORDING_MODES: Final = ("off", "bounded", "strict")
RESUME: Final = ("auto", "ask", "never")
ON_LOSS: Final = ("refuse", "allow")
TWO_PERSON: Final = ("start", "throughout")
KILL_FACTORS: Final = ("none", "required")
_TAG: Final = "[a-z0-9._:=/-]{1,64}"
_BANNER: Final = r"[^\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]{1,200}"
_VIA: Final = r"[a-z0-9._:/-]{1,64}=([^+:#=]{1,128}\+)?[A-Za-z0-9_][A-Za-z0-9._ -]{0,127}"
HARDWARE_ALLOWED, HARDWARE_REQUIRED, HARDWARE_PIN = "allowed", "required", "pin"
HARDWARE_KEYS: Final = (HARDWARE_ALLOWED, HARDWARE_REQUIRED, HARDWARE_PIN)

ACCESS: Final = setting(
    "access/ssh",
    "What may be done through the SSH gateway, and how it is recorded",
    AccessPolicy(),
    {
        "passwordLogin": Flag(),
        "keyLogin": Flag(),
        "tokenLogin": Flag(),
        "shell": Flag(),
        "exec": Flag(),
        "sftp": Flag(),
        "localForward": Flag(),
        "remoteForward": Flag(),
        "agentForward": Flag(),
        "channelsPerConnection": Whole("a whole number from 1 to 100", 1, 100),
        "sessionsPerUser": Whole("a whole number from 0 (no limit) to 1000", 0, 1_000),
        "idleMinutes": Whole("whole minutes from 0 to 1440", 0, 1440),
        "resume": Choice(f"one of {', '.join(RESUME)}", RESUME),
        "resumeMinutes": Whole("whole minutes from 1 to 1440", 1, 1440),
        "recording": Choice(f"one of {', '.join(RECORDING_MODES)}", RECORDING_MODES),
        "recordingLoss": Choice(f"one of {', '.join(ON_LOSS)}", ON_LOSS),
        "killFactor": Choice(f"one of {', '.join(KILL_FACTORS)}", KILL_FACTORS),
        "twoPersonTag": Text("a tag of resources", _TAG, "Write a tag such as two-person."),
        "twoPerson": Choice(f"one of {', '.join(TWO_PERSON)}", TWO_PERSON),
        "banner": Texts("a list of lines", _BANNER, 'Write lines such as ["Property of Example."].', 20),
        "hardwareKeys": Choice(f"one of {', '.join(HARDWARE_KEYS)}", HARDWARE_KEYS),
        "via": Texts("a list of TAG=TARGET", _VIA, 'Write a list such as ["dmz=jump1", "lab=ops+jump2"].', 200),
        "browserLogin": Flag(),
        "consoleUrl": Text("an address of https, or -", r"-|https://[!-~]{1,200}", "Write https://pam.example.com."),
    },
)


class CertificatePolicy(NamedTuple):
    """See the module."""

    target_tag: str = "ssh-ca"
    """Resources with this tag trust the cluster's authority, and are shown a certificate first."""
    minutes: int = 5
    """How long a certificate for a session counts: for its log-in, which is all that it is for."""
    source_address: bool = True
    """It counts only from the address that the gateway came from; false where addresses are translated on the way."""
    user_minutes: int = 480
    """How long a certificate counts that a user gets for logging in at the gateway; 0: none is signed."""
    trusted: tuple[str, ...] = ()
    """Public keys of other authorities whose certificates of users are taken."""
    revoked: tuple[str, ...] = ()
    """Certificates that count no more: serial numbers, key ids, or fingerprints of their keys."""


_KEY: Final = r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]{40,2000}={0,2}( .{0,100})?"

CERTIFICATES: Final = setting(
    "access/certificates",
    "Which SSH certificates are signed, and whose are taken",
    CertificatePolicy(),
    {
        "targetTag": Text("a tag of resources", _TAG, "Write a tag such as ssh-ca."),
        "minutes": Whole("whole minutes from 2 to 60", 2, 60),
        "sourceAddress": Flag(),
        "userMinutes": Whole("whole minutes from 0 to 10080", 0, 10_080),
        "trusted": Texts("a list of public keys", _KEY, 'Write keys such as ["ssh-ed25519 AAAA... name"].', 20),
        "revoked": Texts("a list of serial numbers, key ids or fingerprints"),
    },
)
