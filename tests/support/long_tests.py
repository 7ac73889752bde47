"""Which tests bear the marker ``long`` without a word in their own file: ``make long`` runs them, the gate does not.

A test stands here when it costs much and tells little that a cheaper one of the gate does not tell: how a fault that is
caught on one database, server or policy is caught on the next, one more way through a cluster that another test walks
already, a page typed by a reader of few. What is left in the gate of each slice starts real processes, too. All of them
are run by ``make long``, once a day and for a release.

Names are beginnings of test names, in brackets the variants of them: parts of ids, between hyphens.
"""

from collections.abc import Iterable
from typing import Final

import pytest

VARIANTS: Final[dict[str, tuple[str, ...]]] = {
    # The oldest Redis, the newest one and the newest Valkey stay.
    "tests/": ("valkey-8",),
    # Nodes run on uvloop, but for those on Windows.
    "tests/redis/": ("asyncio",),
    "tests/cluster/link/": ("asyncio",),
    # Statements are tried on both databases where they are written (stores, migrations, tests/ledger, races); what is
    # built on them has one in the gate.
    "tests/access/accounts/test_user_command.py": ("postgresql",),
    "tests/access/mfa/test_service.py": ("postgresql",),
    "tests/audit/test_adoption.py": ("postgresql",),
    "tests/audit/test_archive.py": ("sqlite",),
    "tests/audit/test_command.py": ("postgresql",),
    "tests/audit/test_context.py": ("postgresql",),
    "tests/audit/test_cosigners.py": ("postgresql",),
    "tests/audit/test_leader_doubts.py": ("sqlite",),
    "tests/audit/test_no_row_no_act.py": ("postgresql",),
    "tests/audit/test_reading_commands.py": ("postgresql",),
    "tests/audit/test_trusted_cosigners.py": ("postgresql",),
    "tests/audit/test_verify_context.py": ("postgresql",),
    "tests/audit/test_watch.py": ("postgresql",),
    "tests/crypto/test_data_keys.py": ("postgresql",),
    "tests/manager/test_joined.py": ("postgresql",),
    "tests/siem/": ("postgresql",),
    "tests/targets/test_catalogue.py": ("postgresql",),
    "tests/settings/test_hot.py": ("postgresql",),
    "tests/vault/test_key_watch.py": ("postgresql",),
    "tests/vault/test_overdue.py": ("postgresql",),
    "tests/vault/test_peer_unseal.py": ("postgresql",),
    "tests/vault/test_sealing.py": ("postgresql",),
    "tests/vault/test_sql_away": ("postgresql",),
    # One theme, one width and one language of every page.
    "tests/console/test_pages.py::test_every_page_is_whole": ("dark", "phone"),
    "tests/console/test_release_before.py": ("without-routes",),
    # Foreign data of each kind under one key, and one way to lose what Redis had.
    "tests/app/test_cluster.py::test_foreign_data": ("heartbeat:node1", "heartbeat:node2", "members", "leavers"),
    "tests/app/test_cluster.py::test_a_fence_above": ("False",),
    "tests/app/test_cluster.py::test_a_store_that_forgets": ("DEL", "SCRIPT FLUSH"),
    "tests/app/test_cluster.py::test_everything_answers_without_redis": ("a black hole",),
    "tests/app/test_starting.py::test_a_redis_in_cluster_mode": ("false",),
    "tests/app/test_starting.py::test_a_prefix_nested": ("outer:in:",),
    "tests/cluster/admin/test_stolen_tokens.py": ("on a way through his proxy",),
    "tests/cluster/health/test_votes_on_nodes.py::test_an_outage_of_redis": ("majority",),
    "tests/doctor/fault_table/test_table.py::test_a_node_in_the_fault": ("Our client certificate is no PKCS#12 file",),
    "tests/gateway/test_bad_input.py::test_a_client_that_never_reads": ("off", "bounded"),
    "tests/redis/hostile/test_hostile.py::test_a_lying_redis": ("0", "2", "3"),
    "tests/setup/test_balancers.py::test_a_switchover": ("nginx",),
    # Those that the simulation needs longest to find.
    "tests/sim/test_plants.py": ("probe-binds", "store-first", "lease-of-silence-is-enough"),
    # Pages of commands that need no cluster: those on the way to the first node stay.
    "tests/test_docs.py::test_a_page_of_commands": (
        "docs/leadership.md",
        "docs/operations/certificates.md",
        "docs/operations/dns-name.md",
        "docs/operations/install-redis.md",
        "docs/operations/load-balancers.md",
        "docs/operations/logs.md",
        "docs/operations/redis-tls-and-sentinel.md",
        "docs/operations/secure-redis.md",
        "docs/operations/witness.md",
    ),
    # The pages of the cluster and of the vault stay; and README.md, which has a test of its own.
    "tests/test_docs.py::test_a_page_that_needs_a_cluster": (
        "docs/ledger.md",
        "docs/operations/access.md",
        "docs/operations/failover-test.md",
        "docs/operations/ha-manager.md",
        "docs/operations/limits.md",
        "docs/operations/metrics.md",
        "docs/operations/requests.md",
        "docs/operations/settings.md",
        "docs/operations/users.md",
        "docs/reference/rest.md",
    ),
}
"""Those that leave another variant in the gate."""

TESTS: Final[tuple[str, ...]] = (
    "tests/access/accounts/test_on_nodes.py",
    "tests/access/lockouts/test_on_nodes.py::test_an_address_is_locked_for_all_names_on_all_nodes",
    "tests/access/lockouts/test_on_nodes.py::test_right_passwords_are_not_limited",
    "tests/access/lockouts/test_on_nodes.py::test_a_flushed_a_killed_and_a_new_redis_unlock_nobody",
    "tests/access/sessions/test_on_nodes.py::test_a_session_ended_without_redis",
    "tests/access/sessions/test_on_nodes.py::test_without_sql_what_is_cached_works",
    "tests/access/sessions/test_on_nodes.py::test_clocks_of_nodes_minutes_apart_refuse_nobody",
    "tests/access/sessions/test_on_nodes.py::test_tokens_of_another_cluster_are_refused",
    "tests/access/tokens/test_rotation.py::test_the_redis_password_is_changed_under_traffic",
    "tests/access/tokens/test_rotation.py::test_a_password_that_redis_does_not_know",
    "tests/access/tokens/test_rotation.py::test_the_cluster_key_is_changed_while_the_members_vote",
    "tests/access/tokens/test_rotation.py::test_the_cluster_key_waits_for_a_member_that_is_down",
    "tests/app/test_backend_availability.py",
    "tests/app/test_cluster.py::test_a_store_that_is_emptied_again_and_again",
    "tests/app/test_cluster.py::test_killed_and_started_again_at_once",
    "tests/app/test_cluster.py::test_made_up_names",
    "tests/app/test_cluster.py::test_the_stop_of_a_standby",
    "tests/app/test_cluster.py::test_sigterm_without_redis_is_bounded_too",
    "tests/app/test_openapi.py::test_every_status_that_happens_is_documented",
    "tests/app/test_own_link.py::test_without_redis_nothing_is_said_of_it",
    "tests/app/test_starting.py::test_a_member_by_the_list_on_its_disk",
    "tests/app/test_starting.py::test_with_abort_connect_a_black_hole",
    "tests/app/test_starting.py::test_with_abort_connect_a_replica",
    "tests/app/test_starting.py::test_without_redis_a_new_node_is_ready",
    "tests/audit/test_on_nodes.py::test_events_carry_the_databases_time",
    "tests/audit/test_on_nodes.py::test_monitoring_reads_of_every_node",
    "tests/audit/test_on_nodes.py::test_monitoring_tells_for_how_long",
    "tests/audit/test_reading_commands.py::test_long_work_tells_how_far_it_is",
    "tests/benchmarks/test_gateway_measurements.py",
    "tests/benchmarks/test_programs.py::test_saturated_workers",
    "tests/benchmarks/test_programs.py::test_members_in_a_few_processes",
    "tests/benchmarks/test_programs.py::test_changes_of_a_setting",
    "tests/benchmarks/test_programs.py::test_limiters_are_raced",
    "tests/benchmarks/test_programs.py::test_the_cache_is_measured",
    "tests/benchmarks/test_programs.py::test_pages_of_both_databases",
    "tests/benchmarks/test_programs.py::test_the_first_load",
    "tests/benchmarks/test_session_measurements.py::test_requests_and_log_ins",
    "tests/benchmarks/test_session_measurements.py::test_an_unlock_and_a_revocation",
    "tests/cluster/admin/test_witness_host.py::test_forget_by_force",
    "tests/cluster/admin/test_witness_host.py::test_one_forged_ballot",
    "tests/cluster/admin/test_witness_host.py::test_who_has_the_link_key_and_writes_to_redis_pauses",
    "tests/cluster/admin/test_witness_host.py::test_an_order_that_one_node_was_given",
    "tests/cluster/dns/test_on_nodes.py::test_a_wrong_key_is_told",
    "tests/cluster/driver/test_full_disks.py::test_full_disks_are_told_within_a_minute",
    "tests/cluster/driver/test_strays.py",
    "tests/cluster/health/test_votes_on_nodes.py::test_one_after_another",
    "tests/cluster/health/test_votes_on_nodes.py::test_without_redis_and_with_a_member_down",
    "tests/cluster/health/test_votes_on_nodes.py::test_a_member_that_restarts_while_redis_is_away",
    "tests/cluster/health/test_votes_on_nodes.py::test_a_whole_cluster_that_starts_while_redis_is_away",
    "tests/cluster/health/test_votes_on_nodes.py::test_a_file_of_another_cluster",
    "tests/cluster/store/test_clones.py::test_a_restored_node_votes_again",
    "tests/cluster/store/test_clones.py::test_what_is_moved_or_started_again",
    "tests/cluster/store/test_strangers.py::test_no_forged_release",
    "tests/cluster/store/test_strangers.py::test_where_redis_has_no_vote",
    "tests/cluster/store/test_strangers.py::test_a_node_with_another_cluster_key",
    "tests/cluster/store/test_strangers.py::test_a_clock_that_runs_ten_percent_fast",
    "tests/console/test_acts.py::test_a_group_approves",
    "tests/console/test_acts.py::test_the_ssh_authority",
    "tests/console/test_acts.py::test_what_is_revoked",
    "tests/console/test_acts.py::test_a_tab_that_slept_for_a_day",
    "tests/console/test_acts.py::test_a_hundred_thousand_accounts",
    "tests/console/test_acts.py::test_a_failover_test",
    "tests/console/test_bad_moments.py",
    "tests/console/test_dialogs.py",
    "tests/console/test_each_act.py",
    "tests/console/test_emergencies.py",
    "tests/console/test_entries.py",
    "tests/console/test_first_steps.py",
    "tests/console/test_holds_and_keys.py",
    "tests/console/test_hostile_words.py",
    "tests/console/test_many_rows.py",
    "tests/console/test_narrow.py",
    "tests/console/test_passkeys.py",
    "tests/console/test_recordings.py",
    "tests/console/test_sessions.py::test_a_session_is_watched",
    "tests/console/test_sessions.py::test_a_passkey_ends",
    "tests/console/test_sessions.py::test_a_token_of_the_own_page",
    "tests/console/test_sessions.py::test_failovers_of_the_serving_node",
    "tests/console/test_siem.py",
    "tests/console/test_ssh_logins.py",
    "tests/console/test_topology.py",
    "tests/console/test_vault_files.py",
    "tests/console/test_words.py",
    "tests/crypto/test_sealing_key.py",
    "tests/demo/test_demo.py::test_with_a_witness",
    "tests/demo/test_demo.py::test_a_stopped_node",
    "tests/demo/test_demo.py::test_a_demo_killed_with_9",
    "tests/demo/test_demo.py::test_it_ends_after_for_seconds",
    "tests/demo/test_demo.py::test_nobody_reading",
    "tests/demo/test_demo.py::test_a_second_demo",
    "tests/demo/test_demo.py::test_fewer_nodes",
    "tests/demo/test_demo.py::test_without_json",
    "tests/doctor/test_acknowledged_on_nodes.py",
    "tests/doctor/test_command.py::test_a_live_node_tells_its_own_view",
    "tests/doctor/test_first_aid.py",
    "tests/doctor/test_members.py::test_live_members",
    "tests/failover_test/test_in_a_browser.py",
    "tests/failover_test/test_on_nodes.py::test_a_node_comes_back",
    "tests/faults/test_address.py::test_an_address_of_ipv6",
    "tests/faults/test_lab_series.py::test_a_switchover_is_timed",
    "tests/faults/test_no_way_back.py",
    "tests/gateway/test_ansible.py",
    "tests/gateway/test_bad_input.py::test_500_silent_connections",
    "tests/gateway/test_demo.py",
    "tests/gateway/test_long_transfers.py",
    "tests/gateway/test_other_node.py::test_a_recording_of_a_node_that_died",
    "tests/gateway/test_recording_joined.py::test_a_crash_at_any_step",
    "tests/manager/test_findings_on_nodes.py",
    "tests/manager/test_joined.py::test_nodes_record_it",
    "tests/manager/test_orders_on_nodes.py::test_a_pause_holds",
    "tests/manager/test_orders_on_nodes.py::test_maintenance_moves",
    "tests/manager/test_orders_on_nodes.py::test_a_switchover_goes_where",
    "tests/manager/test_orders_on_nodes.py::test_over_rest",
    "tests/manager/test_orders_on_nodes.py::test_a_switchover_works_while",
    "tests/manager/test_orders_on_nodes.py::test_a_pause_reaches",
    "tests/manager/test_push_on_nodes.py",
    "tests/process/test_deaths.py::test_while_failover_is_paused",
    "tests/process/test_deaths.py::test_a_short_freeze",
    "tests/settings/test_on_nodes.py::test_every_node_takes",
    "tests/settings/test_on_nodes.py::test_without_sql",
    "tests/settings/test_on_nodes.py::test_a_leader_that_was_overtaken",
    "tests/setup/test_balancers.py::test_behind_haproxy",
    "tests/setup/test_witness_password.py",
    "tests/takeover/test_nodes.py",
    "tests/test_build.py",
    "tests/vault/test_named_in_time.py",
    "tests/vault/test_other_key.py",
    "tests/vault/test_on_nodes.py::test_without_a_leader_what_has_run_out",
    "tests/vault/test_on_nodes.py::test_without_a_leader_and_redis_access",
    "tests/vault/test_on_nodes.py::test_a_node_that_was_frozen",
)
"""Those that leave none."""


def is_long(name: str) -> bool:
    """Whether one of the tables has a test, by the name that pytest has for it."""
    test, _, variant = name.partition("[")
    words = [word for start, words in VARIANTS.items() if test.startswith(start) for word in words]
    return test.startswith(TESTS) or any(f"-{word}-" in f"-{variant.removesuffix(']')}-" for word in words)


def mark_long(items: Iterable[pytest.Item]) -> None:
    """Give them the marker; before pytest chooses by markers."""
    for item in items:
        if is_long(item.nodeid):
            item.add_marker("long")
