"""Who differs in what must be the same everywhere, and where the virtual address is."""

from typing import Any

from msgspec.structs import replace

from rppam.cluster.consensus.heartbeat import MemberStatus, Role
from rppam.cluster.health.agreement import (
    LEADS,
    NO,
    NO_KEY,
    SERVES,
    SIGNING_KEYS,
    Agreement,
    HeldKeys,
    digests_from_text,
    digests_to_text,
    says_no,
)
from rppam.cluster.health.model import MemberView
from rppam.kernel.instant import US_PER_S, Instant
from tests.support.health import seen_member

VALUES = {"auth.issuer": "rppam", "cluster.virtualIp": "10.0.0.9/24"}
NOW = Instant(1_000_000)
LATER = Instant(NOW + 6 * US_PER_S)


def node(name: str, leads: bool = False, **changes: Any) -> MemberView:
    seen = seen_member(name, Role.LEADER if leads else Role.STANDBY)
    return replace(seen, **{"has_virtual_ip": leads, "says_config": True, **changes})


def agreement() -> Agreement:
    return Agreement("node1", VALUES, "10.0.0.9", 500)


def told(members: tuple[MemberView, ...], *, leader: str | None = "node1") -> list[tuple[str, str]]:
    one = agreement()
    assert one.findings(members, {}, leader, NOW) == (), "not at once"
    return [(found.code, found.evidence) for found in one.findings(members, {}, leader, LATER)]


def test_digests_travel_and_tell_no_value() -> None:
    text = digests_to_text(VALUES)
    assert list(digests_from_text(text)) == ["auth.issuer", "cluster.virtualIp"]
    assert "10.0.0.9" not in text
    assert digests_from_text("odd =x y= a=b") == {"a": "b"}


def test_who_differs_in_what_is_named_with_this_node_s_own_value() -> None:
    said = {
        "node2": digests_to_text({**VALUES, "cluster.virtualIp": ""}),
        "node3": digests_to_text(VALUES),
        "witness1": digests_to_text({"cluster.quorumPolicy": "majority"}),
        "old": "",
    }
    members = (node("node1", leads=True), node("node2"), node("node3"))
    (found,) = agreement().findings(members, said, "node1", NOW)
    assert found.code == "RD-909"
    assert found.evidence == "cluster.virtualIp: node1, node3 have 10.0.0.9/24; node2 has another value"


def test_nodes_that_agree_are_not_told() -> None:
    said = {"node2": digests_to_text(VALUES)}
    assert agreement().findings((node("node1", leads=True), node("node2")), said, "node1", LATER) == ()


def test_two_releases_are_a_note() -> None:
    members = (node("node1", leads=True), node("node2", version="2.0.0"))
    (found,) = agreement().findings(members, {}, "node1", NOW)
    assert (found.code, found.severity, found.evidence) == ("RD-910", "note", "node1 1.0.0, node2 2.0.0")


def test_an_address_with_the_leader_is_well_and_without_a_leader_nobody_is_blamed() -> None:
    assert told((node("node1", leads=True), node("node2"))) == []
    assert told((node("node1"), node("node2")), leader=None) == []


def test_an_address_that_is_nowhere_says_why() -> None:
    lost = (node("node1"), node("node2"))
    assert told(lost) == [
        ("RD-632", "10.0.0.9 is on no host: node1 leads and does not have it; its own health says why")
    ]
    unset = (node("node1"), node("node2", leads=True, has_virtual_ip=None))
    assert told(unset, leader="node2") == [
        ("RD-632", "10.0.0.9 is on no host: node2 leads and has no cluster.virtualIp in its config")
    ]


def test_of_a_leader_that_says_nothing_nothing_is_said() -> None:
    assert told((node("node1"), node("node2", has_virtual_ip=None, says_config=False)), leader="node2") == []


def test_an_address_on_two_hosts_or_on_the_wrong_one_is_told() -> None:
    both = (node("node1", leads=True), node("node2", has_virtual_ip=True))
    assert told(both) == [("RD-632", "10.0.0.9 is on the hosts of node1, node2")]
    wrong = (node("node1"), node("node2", has_virtual_ip=True))
    assert told(wrong) == [("RD-632", "10.0.0.9 is on the host of node2, and node1 leads")]


def test_one_that_was_away_for_a_moment_is_not_told() -> None:
    one = agreement()
    lost, well = (node("node1"),), (node("node1", leads=True),)
    for members, now in ((lost, NOW), (well, Instant(NOW + 3 * US_PER_S)), (lost, LATER)):
        assert one.findings(members, {}, "node1", now) == ()


def test_a_node_that_is_unreachable_has_nothing() -> None:
    gone = node("node2", has_virtual_ip=True, status=MemberStatus.UNREACHABLE)
    assert told((node("node1", leads=True), gone)) == []


def with_keys(node: str, *held: str, needed: str = "") -> Agreement:
    return Agreement(node, VALUES, "", 500, lambda: HeldKeys(held, needed))


def key_evidence(one: Agreement, **others: Agreement) -> list[tuple[str, str]]:
    said = {name: other.text for name, other in others.items()}
    return [(found.code, found.evidence) for found in one.findings((), said, None, NOW)]


def test_a_node_without_the_vault_s_master_key_is_named_by_those_that_have_it() -> None:
    right, moving = with_keys("node1", "aa", needed="aa"), with_keys("node2", "bb", "aa", needed="aa")
    wrong, without = with_keys("node3", "cc", needed="aa"), with_keys("node4", NO_KEY, needed="aa")
    said = {"node2": moving, "node3": wrong, "node4": without}
    told = [("RD-956", "the vault needs aa; node3 has another one, node4 has none")]
    assert key_evidence(right, **said) == told
    assert key_evidence(moving, node1=right, node3=wrong, node4=without) == told
    assert key_evidence(wrong, node1=right, node2=moving) == [], "it says so of itself, and judges nobody"
    assert key_evidence(right, node2=moving, old=Agreement("old", VALUES, "", 500)) == []


def test_before_there_is_anything_in_the_vault_two_keys_are_named_all_the_same() -> None:
    one, other, moving = with_keys("node1", "aa"), with_keys("node2", "bb"), with_keys("node3", "bb", "aa")
    assert key_evidence(one, node2=other) == [("RD-956", "node1 has aa; node2 has another one")]
    assert key_evidence(one, node3=moving) == []
    assert key_evidence(moving, node1=one, node2=other) == []
    assert "aa" not in one.text.partition("vault.masterKey=")[2]


def says(one: Agreement, now: Instant, **others: Agreement) -> list[tuple[str, str]]:
    said = {name: other.text for name, other in others.items()}
    return [(found.code, found.evidence) for found in one.findings((), said, None, now)]


def test_nodes_with_other_signing_keys_are_named_once_that_lasts() -> None:
    def with_signing(node: str, *kids: str) -> Agreement:
        return Agreement(node, VALUES, "", 500, keeps=lambda: {SIGNING_KEYS: ", ".join(kids)} if kids else {})

    one, same, lacks = with_signing("node1", "k1", "k2"), with_signing("node2", "k1", "k2"), with_signing("node3", "k1")
    silent = with_signing("node4")
    assert says(one, NOW, node2=same, node3=lacks) == [], "a file that is copied arrives at one after the other"
    told = [("RD-642", "node1, node2 have k1, k2; node3 has another value")]
    assert says(one, LATER, node2=same, node3=lacks, node4=silent) == told
    assert says(one, LATER, node2=same, node4=silent) == [], "one that has not looked yet says nothing"
    assert says(one, LATER, node2=same, node3=lacks) == [], "it begins anew"


def test_a_node_that_answers_no_requests_is_named_by_those_that_do() -> None:
    mute = Agreement("node3", VALUES, "", 500, says=lambda: [(SERVES, NO), (LEADS, NO)])
    one = Agreement("node1", VALUES, "", 500)
    told = [("RD-707", "node3: none of its API workers runs, as it says itself")]
    assert says(one, NOW, node2=Agreement("node2", VALUES, "", 500), node3=mute) == told
    assert says_no(mute.text, LEADS)
    assert not says_no(one.text, LEADS)
    assert says(mute, NOW, node1=one) == [], "who reads its answer has one"
