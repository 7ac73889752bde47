"""What may be kept near, for how long, and what takes it away."""

from rppam.cache.coherence import FLOOR_NS, PROVEN_NS, Coherence, MinimumRevisions, Room
from rppam.cache.model import LIFE_MS_MAX, CacheKey, Change, Kind

MS = 1_000_000


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 10**15

    def __call__(self) -> int:
        return self.now

    def pass_ms(self, ms: int) -> None:
        self.now += ms * MS


class Stage:
    """A near cache of sessions with its link up."""

    def __init__(self, room: Room | None = None, floors: MinimumRevisions | None = None) -> None:
        self.clock = Clock()
        self.cache = Coherence(self.clock, room, floors)
        self.shelf = self.cache.shelf(Kind.SESSION)
        self.cache.informed()
        self.cache.link_up(self.clock.now)

    def put(self, ident: str, revision: int = 1, *, life_ms: int = 60_000, size: int = 100) -> bool:
        load = self.shelf.begin(ident, name(ident))
        return self.shelf.keep(load, revision, (ident, revision), life_ms, size, asked=self.clock.now)

    def prove(self) -> None:
        self.cache.proven(self.clock.now)


def name(ident: str) -> bytes:
    return b"name of " + ident.encode()


def key(ident: str) -> CacheKey:
    return CacheKey(Kind.SESSION, ident)


def test_what_was_kept_is_served() -> None:
    stage = Stage()
    assert stage.shelf.hit("a") is None
    assert stage.put("a")
    assert stage.shelf.hit("a") == ("a", 1)


def test_an_answer_that_crossed_an_invalidation_is_not_kept() -> None:
    stage = Stage()
    load = stage.shelf.begin("a", name("a"))
    assert stage.cache.invalidated(name("a")) == key("a")
    assert not load.counts
    assert not stage.shelf.keep(load, 1, "old", 60_000, 1, asked=stage.clock.now)
    assert stage.shelf.hit("a") is None


def test_who_asks_after_the_invalidation_loads_for_himself() -> None:
    stage = Stage()
    old = stage.shelf.begin("a", name("a"))
    stage.cache.invalidated(name("a"))
    assert stage.shelf.load_of("a") is None
    new = stage.shelf.begin("a", name("a"))
    assert stage.shelf.keep(new, 2, "new", 60_000, 1, asked=stage.clock.now)
    assert not stage.shelf.keep(old, 1, "old", 60_000, 1, asked=stage.clock.now)
    assert stage.shelf.hit("a") == "new"
    assert stage.cache.invalidated(name("a")) == key("a"), "the end of the old load did not cost the new one its name"


def test_every_word_of_a_change_takes_the_mark_away() -> None:
    for word in (
        lambda stage: stage.cache.invalidated(name("a")),
        lambda stage: stage.cache.changed(Change(key("a"), 2)),
        lambda stage: stage.cache.changed(Change(key("a"), 1)),
        lambda stage: stage.cache.flushed(),
        lambda stage: stage.cache.link_down(),
        lambda stage: stage.cache.link_up(stage.clock.now),
    ):
        stage = Stage()
        load = stage.shelf.begin("a", name("a"))
        word(stage)
        stage.cache.link_up(stage.clock.now)
        assert not load.counts
        assert not stage.shelf.keep(load, 1, "old", 60_000, 1, asked=stage.clock.now)


def test_an_invalidation_of_another_name_takes_nothing() -> None:
    stage = Stage()
    stage.put("a")
    assert stage.cache.invalidated(name("b")) is None
    assert stage.shelf.hit("a") is not None


def test_a_copy_ends_with_its_time_counted_from_the_question() -> None:
    stage = Stage()
    load = stage.shelf.begin("a", name("a"))
    asked = stage.clock.now
    stage.clock.pass_ms(30)
    stage.shelf.keep(load, 1, "a", 100, 1, asked=asked)
    stage.clock.pass_ms(69)
    assert stage.shelf.hit("a") == "a"
    stage.clock.pass_ms(1)
    assert stage.shelf.hit("a") is None


def test_no_copy_lives_longer_than_the_longest_life() -> None:
    stage = Stage()
    stage.put("a", life_ms=10 * LIFE_MS_MAX)
    stage.clock.pass_ms(LIFE_MS_MAX - 1)
    stage.prove()
    assert stage.shelf.hit("a") is not None
    stage.clock.pass_ms(1)
    assert stage.shelf.hit("a") is None


def test_a_copy_without_time_is_not_kept() -> None:
    stage = Stage()
    assert not stage.put("a", life_ms=0)
    assert stage.cache.invalidated(name("a")) is None, "nor is its name"


def test_a_silent_link_is_not_trusted_and_a_proof_restores_what_was_kept() -> None:
    stage = Stage()
    stage.put("a")
    stage.clock.now += PROVEN_NS - 1
    assert stage.shelf.hit("a") is not None
    stage.clock.now += 1
    assert stage.shelf.hit("a") is None
    assert not stage.cache.is_proven
    stage.prove()
    assert stage.shelf.hit("a") is not None, "everything that was pushed before the answer has arrived before it"


def test_a_late_proof_counts_from_its_question() -> None:
    stage = Stage()
    stage.put("a")
    asked = stage.clock.now
    stage.clock.now += PROVEN_NS
    stage.cache.proven(asked)
    assert stage.shelf.hit("a") is None


def test_a_lost_link_takes_everything_and_nothing_is_served_until_invalidations_are_on() -> None:
    stage = Stage()
    stage.put("a")
    stage.cache.link_down()
    assert len(stage.shelf) == stage.shelf.size == 0
    stage.put("b")
    assert stage.shelf.hit("b") is None
    stage.cache.link_up(stage.clock.now)
    assert stage.shelf.hit("b") is None, "what was kept while nobody told of changes does not count"


def test_a_known_revision_takes_older_copies_only() -> None:
    stage = Stage()
    stage.put("a", 3)
    assert stage.cache.changed(Change(key("a"), 3))
    assert stage.shelf.hit("a") == ("a", 3)
    assert not stage.cache.changed(Change(key("a"), 3)), "known"
    assert stage.cache.changed(Change(key("a"), 4))
    assert stage.shelf.hit("a") is None
    assert not stage.cache.believes(key("a"), 3)
    assert stage.cache.believes(key("a"), 4)


def test_nothing_is_believed_before_the_log_was_read() -> None:
    cache = Coherence(Clock())
    assert not cache.believes(key("a"), 1)
    cache.informed()
    assert cache.believes(key("a"), 1)


def test_room_is_bounded_in_entries_and_what_is_used_stays() -> None:
    stage = Stage(Room(entries=100))
    for number in range(100):
        stage.put(f"s{number}")
    used = [f"s{number}" for number in range(0, 100, 10)]
    for number in range(100, 150):
        for ident in used:
            stage.shelf.hit(ident)
        stage.put(f"s{number}")
        assert len(stage.shelf) == 100
    assert all(stage.shelf.hit(ident) for ident in used)
    assert stage.shelf.evicted == 50


def test_room_is_bounded_when_everything_is_used() -> None:
    stage = Stage(Room(entries=1_000))
    for number in range(3_000):
        stage.put(f"s{number}")
        stage.shelf.hit(f"s{number}")
        assert len(stage.shelf) <= 1_000


def test_room_is_bounded_in_bytes() -> None:
    stage = Stage(Room(size=100_000))
    for number in range(100):
        stage.put(f"s{number}", size=9_000)
        assert stage.shelf.size <= 100_000
    assert len(stage.shelf) == 10
    assert not stage.put("large", size=100_000)
    for number in range(100):
        stage.cache.invalidated(name(f"s{number}"))
    assert stage.shelf.size == 0


def test_names_go_with_what_they_name() -> None:
    stage = Stage(Room(entries=10))
    for number in range(1_000):
        stage.put(f"s{number}")
        stage.shelf.end(stage.shelf.begin(f"t{number}", name(f"t{number}")))
    assert len(stage.shelf._names) == 10


def test_shelves_of_one_kind_hear_of_the_same_changes() -> None:
    stage = Stage()
    other = stage.cache.shelf(Kind.SESSION)
    users = stage.cache.shelf(Kind.USER)
    stage.put("a")
    for shelf in (other, users):
        shelf.keep(shelf.begin("a", name("a") if shelf is other else b"u"), 1, "x", 1_000, 1, asked=stage.clock.now)
    stage.cache.changed(Change(key("a"), 2))
    assert stage.shelf.hit("a") is None
    assert other.hit("a") is None
    assert users.hit("a") == "x"


# --- floors -----------------------------------------------------------------------------------------------------------


def test_a_floor_outlives_every_copy_and_then_goes() -> None:
    floors = MinimumRevisions()
    floors.raise_to(key("a"), 5, 0)
    assert not floors.allows(key("a"), 4, FLOOR_NS - 1)
    floors.raise_to(key("b"), 2, FLOOR_NS)
    assert len(floors) == 1
    assert floors.allows(key("a"), 4, FLOOR_NS)


def test_floors_only_rise() -> None:
    floors = MinimumRevisions()
    assert floors.raise_to(key("a"), 5, 0)
    assert not floors.raise_to(key("a"), 4, 1)
    assert not floors.allows(key("a"), 4, 2)


def test_a_first_revision_needs_no_floor() -> None:
    floors = MinimumRevisions()
    assert floors.raise_to(key("a"), 1, 0)
    assert len(floors) == 0


def test_floors_that_had_to_be_forgotten_do_no_harm() -> None:
    floors = MinimumRevisions(most=100)
    for number in range(101):
        floors.raise_to(key(f"s{number}"), 2, number)
    assert len(floors) == 100
    assert not floors.allows(key("s0"), 1, 200), "which one was forgotten nobody knows"
    assert not floors.allows(key("never seen"), 1, FLOOR_NS - 1)
    assert floors.allows(CacheKey(Kind.USER, "u"), 1, 200), "another kind"
    assert floors.allows(key("s0"), 1, FLOOR_NS), "its time is over"
