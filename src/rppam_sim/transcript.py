"""What happened, in sentences: the last lines before a violation tell how it came about."""

from collections import deque

from rppam.cluster.consensus.effects import Event, Exchange, Found, Granted
from rppam.cluster.consensus.membership import Membership, VoterSet
from rppam.cluster.consensus.messages import Candidacy, Vote, VoteRequest, VoteRequestKind
from rppam.cluster.consensus.record import NOBODY, Record, parse_record

LINES_KEPT = 60


def clock_time(true_us: int) -> str:
    """True time since the start of the run, as ``h:mm:ss.uuuuuu``."""
    seconds, micro = divmod(true_us, 1_000_000)
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{micro:06d}"


def record_words(record: Record | None) -> str:
    """A record for people; epochs by their last digits are no easier to read, so they stand in full."""
    if record is None:
        return "no record"
    if record.holder == NOBODY:
        return f"the vacant mark {record.nonce[:6]} at epoch {record.epoch}"
    return f"'{record.state} by {record.holder} (life {record.boot_id[-4:]}), epoch {record.epoch}, seq {record.seq}'"


def candidacy_words(candidacy: Candidacy) -> str:
    """Whom a promise is for."""
    return f"{candidacy.candidate} (life {candidacy.boot_id[-4:]}) at epoch {candidacy.epoch}"


def vote_request_words(vote_request: VoteRequest) -> str:
    """A vote request for people."""
    version = f"members as of version {vote_request.membership.version}"
    if vote_request.kind is VoteRequestKind.PROBE:
        return f"would you vote for me? ({version})"
    if vote_request.kind is VoteRequestKind.VOTE:
        return f"your vote for {candidacy_words(vote_request.candidacy)}? ({version})"
    return f"still for {candidacy_words(vote_request.candidacy)}? ({version})"


def vote_words(vote: Vote) -> str:
    """A vote for people."""
    if vote.is_granted:
        if vote.kind is VoteRequestKind.PROBE:
            return "I would"
        return f"yes, {'still, ' if vote.kind is VoteRequestKind.RENEW else ''}for a lease, at epoch {vote.epoch}"
    to = f" ({vote.promised_to})" if vote.promised_to else ""
    return f"no: {vote.refusal}{to}"


def body_words(body: VoterSet) -> str:
    """Who votes together."""
    names = ", ".join(name + (" (witness)" if name in body.witnesses else "") for name in body.members)
    return f"{names}; policy {body.policy}"


def membership_words(membership: Membership) -> str:
    """A membership for people."""
    pending = "" if membership.old is None else f", pending after {body_words(membership.old)}"
    return f"version {membership.version}: {body_words(membership.body)}{pending}"


class Transcript:
    """The last lines of a run."""

    def __init__(self, most: int | None = LINES_KEPT) -> None:
        self.lines: deque[str] = deque(maxlen=most)

    def add(self, true_us: int, sentence: str) -> None:
        """One more line."""
        self.lines.append(f"{clock_time(true_us)}  {sentence}")

    def exchange(self, name: str, effect: Exchange, answer: Event, stands: str | None) -> str:
        """One exchange at the store."""
        shown = record_words(None if stands is None else parse_record(stands))
        if effect.swap is None:
            outcome = f"{name} reads; there stands {shown}"
        elif isinstance(answer, Granted):
            outcome = f"{name} may {effect.swap.purpose}: there stands now {shown}"
        elif isinstance(answer, Found):
            outcome = f"{name} may not {effect.swap.purpose}: there stands {shown}"
        else:
            outcome = f"{name} wants to {effect.swap.purpose} and gets an error; there stands {shown}"
        if isinstance(answer, Found) and answer.was_absent:
            outcome += " (none stood there before)"
        return "store: " + outcome
