"""The demo's story: each happening told once, in order, from several nodes' views at different moments."""

from hypothesis import given, strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from rppam.cli.view import parse_view
from rppam.cluster.consensus.heartbeat import MemberStatus, Role
from rppam.cluster.health.model import CONTROL_PROCESS, ClusterHealth
from rppam.demo.events import CONFIRM_MS, SILENCE_MS, ClusterWatch, Event, ready_leader
from tests.support.health import seen_health, seen_member

NAMES = ("node1", "node2", "node3")


def view(
    node: str,
    leader: str | None = "node1",
    epoch: int = 5,
    *,
    redis: bool = True,
    listed: tuple[str, ...] = NAMES,
    claims: bool | None = None,
    **statuses: str,
) -> ClusterHealth:
    """What ``node`` says; ``node2="suspect"`` changes one member's status."""
    leads = leader == node if claims is None else claims
    members = tuple(
        seen_member(
            name,
            Role.LEADER if (leads if name == node else name == leader) else Role.STANDBY,
            MemberStatus(statuses.get(name, "healthy")),
        )
        for name in listed
    )
    healthy = leader is not None and redis and not statuses
    return seen_health(node, leader, epoch, members, healthy=healthy, redis=redis)


def views(*given_views: ClusterHealth) -> dict[str, ClusterHealth]:
    return {one.node: one for one in given_views}


def calm(leader: str = "node1", epoch: int = 5) -> dict[str, ClusterHealth]:
    return views(*(view(name, leader, epoch) for name in NAMES))


def started() -> ClusterWatch:
    watch = ClusterWatch(NAMES)
    assert kinds(watch.observe(0, calm())) == [("leader-elected", "node1")]
    return watch


def kinds(events: list[Event]) -> list[tuple[str, str | None]]:
    return [(event.kind, event.node) for event in events]


def test_a_calm_cluster_tells_its_leader_once_and_then_nothing() -> None:
    watch = started()
    assert [watch.observe(250 * n, calm()) for n in range(1, 20)] == [[]] * 19
    assert watch.status == dict.fromkeys(NAMES, "healthy")


def test_kill_of_the_leader_is_told_step_by_step() -> None:
    watch = started()
    assert kinds(watch.exited(1_000, "node1", "by SIGKILL")) == [("node-exited", "node1"), ("leader-lost", "node1")]
    still = views(view("node2"), view("node3"))  # the others have not noticed yet: no election of the dead
    assert watch.observe(1_100, still) == []
    doubt = views(view("node2", node1="suspect"), view("node3"))
    assert watch.observe(2_000, doubt) == []  # one of two: a tie
    both = views(view("node2", node1="suspect"), view("node3", node1="suspect"))
    assert kinds(watch.observe(2_200, both)) == [("node-suspect", "node1")]
    late = views(view("node2", "node2", 6, node1="unreachable"), view("node3", None, 5, node1="unreachable"))
    events = watch.observe(5_000, late)
    assert kinds(events) == [("leader-elected", "node2"), ("node-unreachable", "node1")]
    assert events[0].epoch == 6
    assert events[0].extra == {"withoutLeaderMs": 4_000}
    assert "4.0 s without a leader" in events[0].text
    assert watch.observe(5_250, views(view("node2", "node2", 6), view("node3", "node2", 6)))[0].kind == "node-healthy"


def test_a_late_view_with_an_old_epoch_elects_nobody() -> None:
    watch = started()
    watch.observe(1_000, calm("node2", 6))
    stale = views(view("node1", "node1", 5), view("node2", "node2", 6), view("node3", "node2", 6))
    assert watch.observe(1_250, stale) == []
    woken_alone = views(view("node1", "node1", 5))
    assert kinds(watch.observe(1_500, woken_alone)) == []
    assert watch.leader == "node2"


def test_a_frozen_leader_is_lost_only_when_nobody_names_it() -> None:
    watch = started()
    for now in range(250, 4_000, 250):  # its own answers are missing, the others still count on it
        assert watch.observe(now, views(view("node2"), view("node3"))) == []
    nobody = views(view("node2", None), view("node3", None))
    assert watch.observe(4_000, nobody) == []
    assert kinds(watch.observe(4_000 + CONFIRM_MS, nobody)) == [("leader-lost", "node1")]
    assert watch.observe(5_000, nobody) == []


def test_one_missed_answer_of_the_leader_at_the_start_is_no_loss() -> None:
    watch = ClusterWatch(NAMES)
    nobody = [view(name, None, 0) for name in NAMES[1:]]
    assert kinds(watch.observe(0, views(view("node1"), *nobody))) == [("leader-elected", "node1")]
    assert watch.observe(250, views(*nobody)) == []
    assert watch.observe(500, calm()) == []


def test_a_leader_that_says_it_does_not_lead_is_lost_at_once() -> None:
    watch = started()
    events = watch.observe(250, views(view("node1", None), view("node2"), view("node3")))
    assert kinds(events) == [("leader-lost", "node1")]
    assert events[0].text == "node1 no longer leads: it says that it does not lead."


def test_a_node_whose_control_process_is_away_knows_nothing_of_redis() -> None:
    watch = started()
    blind = replace(view("node1", None, redis=False), redis_reason=f"{CONTROL_PROCESS} is restarting")
    events = watch.observe(250, views(blind))
    assert [event.text for event in events] == ["node1 no longer leads: its control process is restarting."]
    assert kinds(watch.observe(500, {**calm("node2", 6), "node1": blind})) == [("leader-elected", "node2")]
    cut = view("node2", "node2", 6, redis=False)
    assert kinds(watch.observe(750, views(blind, cut))) == [("redis-lost", "node2")]
    assert watch.observe(1_000, views(blind)) == [], "nor that it is back"
    assert kinds(watch.observe(1_250, {**calm("node2", 6), "node1": blind})) == [("redis-back", "node2")]


def test_a_takeover_between_two_rounds_is_told_as_loss_and_election() -> None:
    watch = started()
    events = watch.observe(250, calm("node3", 9))
    assert kinds(events) == [("leader-lost", "node1"), ("leader-elected", "node3")]
    assert [event.epoch for event in events] == [5, 9]


def test_a_leader_whose_own_answers_are_missing_is_told_when_all_others_agree() -> None:
    watch = ClusterWatch(NAMES)
    assert watch.observe(0, views(view("node2", "node1", 5), view("node3", None, 0))) == []
    assert kinds(watch.observe(250, views(view("node2"), view("node3")))) == [("leader-elected", "node1")]


def test_silence_of_all_is_a_loss_after_the_lease() -> None:
    watch = started()
    assert watch.observe(1_000, {}) == []
    assert watch.observe(1_000 + SILENCE_MS - 1, {}) == []
    assert kinds(watch.observe(1_000 + SILENCE_MS, {})) == [("leader-lost", "node1")]
    assert kinds(watch.observe(9_000, calm())) == [("leader-elected", "node1")]  # it says so itself, same epoch


def test_redis_is_lost_once_and_back_once() -> None:
    watch = started()
    cut = {name: view(name, redis=False) for name in NAMES}
    assert watch.observe(250, {**calm(), "node2": cut["node2"]}) == []  # one of three
    events = watch.observe(500, {**cut, "node3": view("node3")})
    assert kinds(events) == [("redis-lost", "node1")]
    assert "connection refused" in events[0].text
    assert watch.observe(750, cut) == []
    assert watch.observe(1_000, {**cut, "node1": view("node1")}) == []  # not all yet
    assert kinds(watch.observe(1_250, calm())) == [("redis-back", "node1")]
    assert watch.observe(1_500, calm()) == []


def test_nobody_is_accused_while_the_observers_cannot_judge() -> None:
    watch = started()
    blind = views(*(view(name, redis=False, node1="unknown", node2="unknown", node3="unknown") for name in NAMES))
    assert kinds(watch.observe(250, blind)) == [("redis-lost", "node1")]
    assert kinds(watch.observe(500, calm())) == [("redis-back", "node1")]


def test_a_clean_leave_and_a_return_are_told() -> None:
    watch = started()
    rest = ("node1", "node2")
    gone = views(view("node1", listed=rest), view("node2", listed=rest))
    one_lags = views(view("node1", listed=rest), view("node2"))
    assert watch.observe(250, one_lags) == []
    assert kinds(watch.observe(500, gone)) == [("node-left", "node3")]
    assert watch.observe(750, gone) == []
    events = watch.observe(1_000, calm())
    assert kinds(events) == [("node-healthy", "node3")]
    assert "joined" in events[0].text


def test_a_node_started_by_hand_under_a_new_name_is_told() -> None:
    watch = started()
    more = (*NAMES, "node4")
    events = watch.observe(250, views(*(view(name, listed=more) for name in more)))
    assert kinds(events) == [("node-healthy", "node4")]


def test_a_killed_node_started_again_by_hand_may_lead_again() -> None:
    watch = started()
    watch.exited(1_000, "node1", "by SIGKILL")
    events = watch.observe(9_000, calm("node1", 8))
    assert kinds(events) == [("leader-elected", "node1")]


def test_ready_needs_every_node_to_agree() -> None:
    assert ready_leader(calm(), NAMES) == "node1"
    assert ready_leader({**calm(), "node3": view("node3", "node2")}, NAMES) is None
    assert ready_leader({**calm(), "node3": view("node3", node2="suspect")}, NAMES) is None
    assert ready_leader(views(view("node1"), view("node2")), NAMES) is None
    short = ("node1", "node2")
    assert ready_leader({**calm(), "node1": view("node1", listed=short)}, NAMES) is None
    nobody = seen_health("node1", None, 0, ())
    assert ready_leader(dict.fromkeys(NAMES, nobody), NAMES) is None


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(NAMES),
            st.tuples(
                st.sampled_from([None, *NAMES]),
                st.integers(0, 3),
                st.booleans(),
                st.sampled_from(["healthy", "suspect", "unreachable", "unknown"]),
            ),
        ),
        max_size=12,
    )
)
def test_any_views_in_any_order_give_a_consistent_story(
    rounds: list[dict[str, tuple[str | None, int, bool, str]]],
) -> None:
    watch = ClusterWatch(NAMES)
    leader, redis, epoch = None, True, 0
    status = dict.fromkeys(NAMES, "healthy")
    for number, said in enumerate(rounds):
        seen = {name: view(name, who, at, redis=up, node2=how) for name, (who, at, up, how) in said.items()}
        for event in watch.observe(number * 250, seen):
            if event.kind == "leader-elected":
                assert leader is None, "elected while another still led"
                assert event.epoch >= epoch, "an epoch went down"
                leader, epoch = event.node, event.epoch
            elif event.kind == "leader-lost":
                assert event.node == leader is not None
                leader = None
            elif event.kind in {"redis-lost", "redis-back"}:
                assert redis == (event.kind == "redis-lost"), "told twice"
                redis = not redis
            elif event.node is not None:
                told = event.kind.removeprefix("node-")
                assert status.get(event.node) != told, "told twice"
                status[event.node] = told
        assert watch.leader == leader
        assert watch.observe(number * 250, seen) == [], "the same views told something new"


def test_a_view_is_read_from_the_health_body() -> None:
    body: dict[str, object] = {
        "clusterHealthy": True,
        "leaderNode": "node1",
        "role": "leader",
        "epoch": 7,
        "quorumMet": True,
        "redisConnected": True,
        "safetyLevel": "single",
        "warnings": ["Licence ends soon.", 3],
        "nodes": [
            {"nodeName": "node1", "role": "leader", "status": "healthy", "heartbeatAgeMs": 420},
            {"nodeName": "node2", "role": "standby", "heartbeatAgeMs": "never", "redisConnected": False},
            "garbage",
        ],
    }
    seen = parse_view(body, "node1")
    assert seen is not None
    assert (seen.role, seen.leader, seen.epoch, seen.warnings) == ("leader", "node1", 7, ("Licence ends soon.",))
    assert [(one.node, one.status, one.heartbeat_age_ms, one.redis_connected) for one in seen.members] == [
        ("node1", "healthy", 420, UNSET),
        ("node2", "unknown", None, False),
    ]


def test_what_is_no_health_body_is_no_view() -> None:
    not_views: list[object] = [None, [], {}, {"clusterHealthy": "yes"}, "text"]
    for wrong in not_views:
        assert parse_view(wrong, "node1") is None


def test_a_lost_database_is_told_once_with_its_reason_and_so_is_its_return() -> None:
    watch = started()
    lost = {name: replace(one, database_connected=False, database_reason="no file") for name, one in calm().items()}
    (told,) = watch.observe(250, lost)
    assert (told.kind, told.text) == ("database-lost", "The database is lost: no file.")
    assert watch.observe(500, lost) == []
    one_is_back = {**lost, "node1": replace(lost["node1"], database_connected=True)}
    assert watch.observe(750, one_is_back) == []
    assert kinds(watch.observe(1_000, with_database())) == [("database-back", "node1")]
    assert watch.observe(1_250, with_database()) == []


def test_who_has_not_looked_at_the_database_says_nothing_of_it() -> None:
    watch = started()
    some = {**calm(), "node3": replace(calm()["node3"], database_connected=False)}
    assert watch.observe(250, {**with_database(), "node3": some["node3"]}) == [], "one of three"
    assert kinds(watch.observe(500, some)) == [("database-lost", "node3")]


def with_database() -> dict[str, ClusterHealth]:
    return {name: replace(one, database_connected=True) for name, one in calm().items()}
