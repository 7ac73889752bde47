"""What has to hold before a failover test begins, and what the test needs to know: a plan, or a sentence why not.

Refuses where a test would prove nothing or do harm: one node, a cluster that is not healthy, a standby that could not
follow, nodes that do not agree, a node that could not be asked afterwards.
"""

from typing import Final, NamedTuple

from rppam.cluster.consensus.heartbeat import MemberStatus, Role
from rppam.cluster.health.model import ClusterHealth
from rppam.failover_test.client import TESTS, CannotTestError, Cluster
from rppam.failover_test.model import MEANING, Method
from rppam.failover_test.policy import ALLOWED, check_allowed
from rppam.http.client import NoAnswerError
from rppam.kernel.errors import RppamError
from rppam.kernel.finding import Finding, Severity

_LEAST: Final = 2


class Plan(NamedTuple):
    """What is known before the fault."""

    method: Method
    cluster: str
    leader: str
    epoch: int
    standbys: tuple[str, ...]
    urls: dict[str, str]
    """Of every node: where it is asked with the token."""
    watched: dict[str, str]
    """Of every standby: where it says without a token whether it leads."""
    primary: str = ""
    """Of Redis, for a failover of Redis."""
    replicas: tuple[str, ...] = ()

    @property
    def nodes(self) -> tuple[str, ...]:
        """All of them, by name."""
        return tuple(sorted((self.leader, *self.standbys)))

    def sentences(self, urls: tuple[str, ...]) -> list[str]:
        """What would be done, for people."""
        who = f"the primary of Redis, {self.primary}" if self.primary else f"the leader, {self.leader}"
        return [
            f"cluster {self.cluster}: {len(self.nodes)} nodes, {self.leader} leads at epoch {self.epoch}, all healthy",
            f"traffic: sessions and writes through {', '.join(urls)}",
            f"fault: {self.method}: {MEANING[self.method]}; it happens to {who}",
            f"afterwards: writes and sessions are looked for on {', '.join(self.nodes)}",
        ]


async def preflight(cluster: Cluster, method: Method) -> Plan:
    """Raises CannotTestError."""
    view = await _view(cluster, cluster.urls[0])
    _check_view(view)
    nodes = [one for one in view.members if one.role is not Role.WITNESS]
    if len(nodes) < _LEAST:
        raise CannotTestError(
            f"{view.node} is the only node of the cluster, so nobody could follow it; a failover test needs two. "
            "Add one: rppam init --bundle, then rppam init --join on the new host"
        )
    for one in view.members:
        if one.status is not MemberStatus.HEALTHY:
            raise CannotTestError(
                f"{one.node} is {one.status} already, so a test would prove nothing of a healthy cluster. Bring it "
                "back, and test then; 'rppam status' says what is wrong with it"
            )
    await _check_allowed(cluster, method)
    leader = view.leader or ""
    standbys = tuple(sorted(one.node for one in nodes if one.node != leader))
    watched = {one.node: one.api_url.rstrip("/") for one in nodes if one.node in standbys and one.api_url}
    urls = await _node_urls(cluster, view)
    await _check_agreement(cluster, view, urls)
    plan = Plan(method, view.cluster_id, leader, view.epoch, standbys, urls, watched | _named(urls, standbys))
    if method is not Method.REDIS_FAILOVER:
        return plan
    found = await cluster.order("GET", f"{TESTS}/redis")
    replicas = tuple(map(str, found.get("replicas", ())))
    if not replicas:
        raise CannotTestError(
            f"no replica follows the primary of Redis at {found.get('primary')} now, so none could be promoted. Bring "
            "one up; 'rppam doctor' says what is wrong with it"
        )
    return plan._replace(primary=str(found.get("primary")), replicas=replicas)


def _named(urls: dict[str, str], standbys: tuple[str, ...]) -> dict[str, str]:
    """Addresses that a person named go before those that nodes tell."""
    return {node: url for node, url in urls.items() if node in standbys}


def _check_view(view: ClusterHealth) -> None:
    if view.paused:
        by = f" by {view.paused_by}" if view.paused_by else ""
        raise CannotTestError(
            f"automatic failover is paused{by}, so nobody may take over. Resume it: rppam cluster resume"
        )
    if view.leader is None:
        raise CannotTestError(f"the cluster has no leader: {view.no_leader_reason or 'the asked node knows of none'}")
    if view.healthy:
        return
    why = [
        *(f"{one.node} is {one.status}" for one in view.members if one.status is not MemberStatus.HEALTHY),
        *([] if view.redis_connected else [f"Redis is away: {view.redis_reason}"]),
        *([] if view.quorum_met else [f"no quorum: {view.quorum_reason}"]),
        *([f"the database is away: {view.database_reason}"] if view.database_connected is False else []),
        *(f"{one.code}: {one.what}".rstrip(".") for one in view.findings if _keeps(one)),
    ]
    raise CannotTestError(
        f"the cluster is not healthy, so a failover test is refused: {'; '.join(why) or 'see rppam status'}. Mend that "
        "first; 'rppam status' shows it"
    )


def _keeps(one: Finding) -> bool:
    """Whether it is a reason to refuse: what is noted, or acknowledged, is none."""
    return one.counts and one.severity is not Severity.NOTE


async def _view(cluster: Cluster, url: str) -> ClusterHealth:
    try:
        return await cluster.view(url)
    except NoAnswerError as error:
        raise CannotTestError(f"{url}: {error}. Is the node running there? Try another one with --url") from None


async def _check_allowed(cluster: Cluster, method: Method) -> None:
    found = await cluster.order("GET", f"/api/v1/settings/{ALLOWED.name}")
    try:
        check_allowed(ALLOWED.read({name: found[name] for name in ALLOWED.expected if name in found}), method)
    except RppamError as error:
        raise CannotTestError(f"{error}. {error.row.remedy.rstrip('.')} ({error.row.code})") from None


async def _node_urls(cluster: Cluster, view: ClusterHealth) -> dict[str, str]:
    """Where each node is asked with the token: where it was named, or has proven to be."""
    found: dict[str, str] = {}
    nodes = [one for one in view.members if one.role is not Role.WITNESS]
    for url in cluster.named:
        found.setdefault((await _view(cluster, url)).node, url)
    for one in nodes:
        if cluster.is_own and one.is_at_url and one.api_url:
            found.setdefault(one.node, one.api_url.rstrip("/"))
    for url in cluster.urls:  # an entry may be a balancer, which stands for no node: the last choice
        found.setdefault((await _view(cluster, url)).node, url)
    for one in nodes:
        if one.node not in found:
            raise CannotTestError(
                f"{one.node} could not be asked afterwards whether it has all data: the token goes to no address "
                f"that a node only tells of. If {one.api_url or 'its address'} is where it is, name it with --node"
            )
    return found


async def _check_agreement(cluster: Cluster, view: ClusterHealth, urls: dict[str, str]) -> None:
    for node, url in urls.items():
        other = await _view(cluster, url)
        if other.node != node:
            raise CannotTestError(
                f"{url} was answered by {node} first and by {other.node} then: it is a balancer's address and stands "
                "for no node. Name each node's own address with --node"
            )
        if (other.leader, other.epoch) != (view.leader, view.epoch) or not other.healthy:
            raise CannotTestError(
                f"{node} sees another cluster than {view.node}: leader {other.leader} at epoch {other.epoch}, "
                f"{'healthy' if other.healthy else 'not healthy'}. Wait until they agree; 'rppam status' shows it"
            )
