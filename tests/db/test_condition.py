"""What the processes of a node see of their database, put together for health."""

from rppam.db.condition import FILE_FIXES, Condition, DatabaseState, from_text, sentence_of, state_of, to_text

WELL = Condition(latency_ms=3)


def test_nothing_seen_is_nothing_said() -> None:
    assert state_of(None, {}) == DatabaseState()


def test_all_well_is_connected_and_the_slowest_counts() -> None:
    state = state_of(
        WELL, {"worker 1": Condition(latency_ms=9, errors=2), "worker 2": Condition(latency_ms=1, errors=3)}
    )
    assert (state.is_connected, state.reason, state.latency_ms, state.errors) == (True, "", 9, 5)
    assert state.findings == ()


def test_the_trouble_of_the_control_process_is_the_node_s() -> None:
    state = state_of(Condition("RD-623", "a standby"), {"worker 1": Condition("RD-623", "a standby")})
    assert state.is_connected is False
    assert [one.code for one in state.findings] == ["RD-623"]
    assert state.reason.startswith("a standby: meanwhile what is stored can be read")


def test_a_worker_alone_is_named_by_its_number() -> None:
    state = state_of(WELL, {"worker 1": WELL, "worker 3": Condition("RD-607", "too many connections")})
    assert state.is_connected is False
    assert [(one.code, one.evidence) for one in state.findings] == [("RD-627", "worker 3: too many connections")]


def test_what_a_worker_sees_counts_before_the_control_process_knows() -> None:
    for own in (None, WELL):
        assert state_of(own, {"worker 2": Condition("RD-607", "refused")}).findings[0].code == "RD-607"


def test_it_travels_as_text() -> None:
    one = Condition("RD-607", "ü" * 200, None, 4)
    assert from_text(to_text(one)) == one
    assert len(to_text(one)) < 1_000


def test_a_file_of_sqlite_has_a_fix_of_its_own() -> None:
    for code in FILE_FIXES:
        of_a_server = state_of(Condition(code, "seen"), {}).findings[0]
        of_a_file = state_of(Condition(code, "seen"), {}, is_file=True).findings[0]
        assert of_a_file.what == of_a_server.what
        assert of_a_file.fix == FILE_FIXES[code]
        assert "postgres" not in sentence_of(Condition(code, "seen"), is_file=True).lower()
    full = state_of(Condition("RD-624", "full"), {}, is_file=True).findings[0]
    assert full == state_of(Condition("RD-624", "full"), {}).findings[0], "the others say what to do for both"
