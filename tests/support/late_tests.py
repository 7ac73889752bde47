"""Which unit tests bear the marker ``late``: ``make quick`` leaves them out, ``make test`` runs them as all others.

The inner loop has a minute. A test stands here when it costs more than some 0.4 s of a processor, or waits about a
second for a real clock or for the kernel; what it is about has others that are quick. ``scripts/run_tests.py --unit
--marked "not late" --costs FILE`` shows what else is dear. Names are beginnings of test names.
"""

from collections.abc import Iterable
from typing import Final

import pytest

DEAR: Final[tuple[str, ...]] = (
    # They read every module, page or file of the tree.
    "tests/cluster/consensus/test_one_view.py::test_nobody_reaches_into",
    "tests/test_layout.py::test_inside_a_slice",
    "tests/test_layout.py::test_public_modules",
    "tests/test_layout.py::test_slices_see_only",
    "tests/test_packaging.py::test_every_package",
    "tests/test_tidy.py::test_a_class_that_became_small",
    "tests/test_tidy.py::test_errors_are_found",
    "tests/test_tidy.py::test_no_class_does",
    "tests/test_tidy.py::test_no_function_is",
    # They go through the whole document of the API, or every route.
    "tests/app/test_openapi_lint.py",
    "tests/audit/test_every_act.py::test_every_route",
    # Many histories, drawn by chance or counted through.
    "tests/cluster/consensus/test_election_machine.py",
    "tests/cluster/consensus/test_forged_heartbeats.py::test_no_heartbeats",
    "tests/cluster/consensus/test_forged_heartbeats.py::test_when_the_flood",
    "tests/cluster/health/test_votes_view.py::test_a_standby_that_has_just",
    "tests/config/test_any_config.py::test_a_secret_is_never",
    "tests/ledger/test_merkle.py::test_the_root_is",
    "tests/limits/test_limiter.py::test_a_million",
    "tests/redis/test_framing.py::test_honest_replies",
    "tests/redis/test_resp3_grammar.py::test_an_attribute",
    "tests/sim/test_access_requests.py::test_no_interleaving",
    "tests/sim/test_access_requests.py::test_each_planted_bug",
    "tests/targets/test_round_trips.py::test_any_targets",
    "tests/vault/test_shamir.py::test_any_that_are_enough",
    # A real passphrase.
    "tests/setup/test_bundle.py::test_a_passphrase_is",
    # Two processes, one of which is killed.
    "tests/process/test_seqlock.py::test_a_writer_killed",
    "tests/process/test_seqlock.py::test_another_process",
)
"""By what they cost."""

WAITING: Final[tuple[str, ...]] = (
    "tests/app/test_lost_database_file.py::test_a_node_makes",
    "tests/app/test_lost_database_file.py::test_other_processes",
    "tests/cluster/driver/test_stopping.py::test_a_record_of_its_own",
    "tests/cluster/driver/test_stopping.py::test_nothing_is_released",
    "tests/cluster/driver/test_stopping.py::test_one_that_never",
    "tests/cluster/driver/test_stopping.py::test_the_record_is_held",
    "tests/cluster/vip/test_follower.py::test_a_second_order",
    "tests/cluster/vip/test_follower.py::test_newcomers",
    "tests/cluster/vip/test_in_flight.py::test_what_nobody_has_read",
    "tests/cluster/vip/test_listeners.py::test_a_socket_that_takes_both",
    "tests/cluster/vip/test_listeners.py::test_whoever_was_held_off",
)
"""For the clock of a thread, of a process or of the kernel: none that a test could turn."""


def mark_late(items: Iterable[pytest.Item]) -> None:
    """Give them the marker; before pytest chooses by markers."""
    for item in items:
        if item.nodeid.startswith((*DEAR, *WAITING)):
            item.add_marker("late")
