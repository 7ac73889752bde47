"""How a session of SSH begins: as one that was left and is gone on with, or anew."""

from typing import TYPE_CHECKING, Any

from rppam.access.accounts.model import Account
from rppam.gateway.errors import ChannelRefused
from rppam.gateway.held_store import Kept
from rppam.gateway.model import FILE_KINDS, Kind, NewAccess
from rppam.gateway.ports import Route
from rppam.gateway.ssh.gate import Gate
from rppam.gateway.ssh.holding import Resumed, began, terminal_of
from rppam.gateway.ssh.second_person import needs_second, to_be_watched, watched_again
from rppam.gateway.ssh.target import Reached
from rppam.gateway.ways import in_words
from rppam.kernel.actor import Actor

if TYPE_CHECKING:
    from rppam.gateway.ssh.channel import Front
    from rppam.gateway.ssh.live import LiveAccess


async def kept(gate: Gate, front: "Front | None", route: Route, user_id: str) -> list[Kept]:
    """The kept sessions that this one may go on with, as the policy and the user want; empty: it begins anew."""
    policy = gate.policy
    if front is None or front.term is None or not front.may_be_kept or policy.resume == "never":
        return []
    found = await gate.holding.held.of(user_id, route.target_id, route.account_id)
    if policy.resume == "ask":
        found = [one for one in found if one.is_free][:1]
        if found and not await front.go_on(began(found[0])):
            return []
    return found


async def resumed(
    gate: Gate, front: "Front | None", found: list[Kept], reached: Reached, actor: Actor, client: str, route: Route
) -> Resumed | None:
    """The one of ``found`` that is gone on with; ``None``: it begins anew."""
    if front is None or front.term is None or not found:
        return None
    agree = watched_again(gate, route, actor, front.say, lambda: front.is_over)
    terminal, lost = terminal_of(front.term), front.lost_recording
    return await gate.holding.resume(found, reached.connection, actor, client, terminal, lost, agree=agree)


def watched(gate: Gate, access: "LiveAccess", route: Route, resumed: Resumed | None) -> None:
    """Remember that somebody else watches a session that is gone on with, where the target wants that."""
    if resumed is not None and needs_second(gate, route):
        to_be_watched(access, resumed.kept.recording)


def new_access(gate: Gate, ident: str, route: Route, account: Account, client: str) -> NewAccess:
    """A session that begins anew."""
    return NewAccess(
        ident,
        account.id,
        account.name,
        account.auth_epoch,
        route.target_id,
        route.target,
        route.account_id,
        route.account,
        "ssh",
        client,
        gate.node,
        gate.boot_id,
    )


def told_of(route: Route, reached: Reached) -> list[str]:
    """What the user is told of the way to a target: what it is behind, and that it took the secret of before."""
    behind = f"{route.target} is reached through {in_words(reached.via)}"
    before = (
        f"{route.target} refuses what the vault has for {route.account}, and took what the vault had before; "
        "have it changed there, or the earlier version restored"
    )
    return [*([behind] if reached.via else []), *([before] if reached.took_before else [])]


def begun_with(route: Route, reached: Reached, program: str, *, has_mfa: bool) -> dict[str, Any]:
    """What the ledger has of the beginning of a session."""
    facts = {
        "account": route.account,
        "host": route.host,
        "port": route.port,
        "hostKey": reached.fingerprint,
        "secondFactor": has_mfa,
        "program": program[:100],
    }
    return {**facts, **_how(reached)}


def reached_with(node: str, reached: Reached) -> dict[str, Any]:
    """What the ledger has of how the target of a terminal was reached, which was opened before."""
    return {"node": node, "hostKey": reached.fingerprint, **_how(reached)}


def _how(reached: Reached) -> dict[str, Any]:
    more = {"via": list(reached.via), "requests": list(reached.requests), "secretBefore": reached.took_before}
    return {name: value for name, value in more.items() if value}


def check_right(route: Route, *kinds: Kind) -> None:
    """Raise :class:`ChannelRefused` for what the right is not for that somebody has on a target."""
    for kind in kinds:
        if kind not in route.kinds:
            right = "use-files" if kind in FILE_KINDS else "use-shell"
            what = "carrying files" if kind in FILE_KINDS else kind.value
            raise ChannelRefused(f"{what} is not allowed to you here; the right that is missing is '{right}'")


def refused_kind(kind: Kind) -> ChannelRefused:
    """The refusal of a channel that the policy does not allow."""
    return ChannelRefused(f"{kind.value} is not allowed here; the right that is missing is '{kind.value}'")
