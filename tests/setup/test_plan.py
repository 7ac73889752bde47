"""What a node's config says, from the wishes of the command line and from a first node's config."""

from pathlib import Path

import pytest

from rppam.config.places import LINUX
from rppam.kernel.secret import Secret
from rppam.setup.errors import InitError
from rppam.setup.given import url_with_password
from rppam.setup.plan import (
    Layout,
    Wishes,
    first_config,
    has_redis_password,
    joined_config,
    layout_of,
    remarks,
    rendered,
)

LAYOUT = Layout(Path("/etc/rppam/rppam.config"), Path("/var/lib/rppam"))


def test_files_stand_where_the_platform_has_them_or_all_in_one_folder() -> None:
    assert layout_of(None, None, None, LINUX) == LAYOUT
    assert layout_of(Path("/x"), None, None, LINUX) == Layout(Path("/x/rppam.config"), Path("/x"))
    assert layout_of(None, Path("/y/my.config"), None, LINUX) == Layout(Path("/y/my.config"), Path("/y"))
    assert layout_of(None, None, Path("/z"), LINUX) == Layout(LAYOUT.config, Path("/z"))


def test_signing_keys_have_a_folder_of_their_own() -> None:
    assert LAYOUT.config_key.parent != LAYOUT.jwt_keys
    assert LAYOUT.cluster_key.parent != LAYOUT.jwt_keys


@pytest.mark.parametrize(
    ("given", "string", "password"),
    [
        ("h:6379,password=a=b@#:/%,abortConnect=false", "h:6379,abortConnect=false", "a=b@#:/%"),
        ("h:6379,abortConnect=false", "h:6379,abortConnect=false", None),
        ("rediss://u:p%2Cq@h:7000/2", "h:7000,user=u,ssl=true,defaultDatabase=2", "p,q"),
        ("s1,s2,serviceName=m,password=x", "s1:26379,s2:26379,serviceName=m", "x"),
    ],
)
def test_a_redis_password_leaves_the_connection_string(given: str, string: str, password: str | None) -> None:
    redis = first_config(Wishes("node1", redis=Secret(given)), LAYOUT)["redis"]
    assert redis["connectionString"] == string
    assert redis.get("password") == (None if password is None else Secret(password))


def test_a_string_that_cannot_be_split_is_a_secret_as_a_whole() -> None:
    given = Secret("s1:26379,serviceName=m,password=x,sentinelPassword=y")
    for string in (given, Secret("h:,password=x")):
        redis = first_config(Wishes("node1", redis=string), LAYOUT)["redis"]
        assert redis == {"enabled": True, "connectionString": string}


def test_secrets_are_written_only_as_asked() -> None:
    plan = first_config(
        Wishes("node1", redis=Secret("h,password=hunter2"), database=Secret("postgresql://u:hunter2@db/rppam")), LAYOUT
    )
    assert "hunter2" not in str(plan)
    assert "hunter2" not in str(rendered(plan, lambda secret: f"encrypted:{len(secret)}"))
    assert rendered(plan, Secret.reveal)["redis"]["password"] == "hunter2"


def test_without_redis_a_node_is_alone() -> None:
    plan = first_config(Wishes("node1"), LAYOUT)
    assert (plan["redis"], plan["cluster"]) == ({"enabled": False}, {"enabled": False})
    (said,) = remarks(plan, joining=False)
    assert said.startswith("no Redis is named, so this node runs alone")


def test_the_next_node_differs_in_name_and_places_only() -> None:
    first = first_config(
        Wishes("node1", redis=Secret("10.0.1.20"), host="0.0.0.0", advertise_url="http://node1:7101", port=7101), LAYOUT
    )
    first["siem"] = {"kept": True}
    second = joined_config(first, Wishes("node2", advertise_url="http://node2:7101"), Layout(Path("/b/c"), Path("/b")))
    assert second["node"] == {"nodeName": "node2", "dataDir": "/b", "advertiseUrl": "http://node2:7101"}
    assert (second["redis"], second["api"], second["siem"]) == (first["redis"], first["api"], first["siem"])
    assert second["auth"]["jwtKeysDir"] == "/b/keys/jwt"
    assert second["database"]["url"] == "sqlite:////b/rppam.db"
    assert first["node"]["nodeName"] == "node1", "the template was changed"
    assert "advertiseUrl" not in joined_config(first, Wishes("node2"), LAYOUT)["node"]


def test_a_shared_database_stays_shared() -> None:
    first = first_config(Wishes("node1", redis=Secret("h"), database=Secret("postgresql://rppam@db/rppam")), LAYOUT)
    assert joined_config(first, Wishes("node2"), LAYOUT)["database"]["url"] == "postgresql://rppam@db/rppam"
    encrypted = {**first, "database": {"url": "encrypted:abc"}}
    assert joined_config(encrypted, Wishes("node2"), LAYOUT)["database"]["url"] == "encrypted:abc"


def test_two_nodes_of_one_name_are_refused() -> None:
    first = first_config(Wishes("node1", redis=Secret("h")), LAYOUT)
    with pytest.raises(InitError, match="'node1' is the node that the bundle comes from"):
        joined_config(first, Wishes("node1"), LAYOUT)


def test_what_will_not_work_between_hosts_is_said() -> None:
    first = first_config(Wishes("node1", redis=Secret("127.0.0.1:6379,abortConnect=false")), LAYOUT)
    said = "\n".join(remarks(joined_config(first, Wishes("node2"), LAYOUT), joining=True))
    for word in ("redis.connectionString", "database.url", "api.host"):
        assert word in said
    reachable = Wishes(
        "node2",
        redis=Secret("10.0.1.20"),
        database=Secret("postgresql://db/rppam"),
        host="0.0.0.0",
        advertise_url="http://node2:7101",
    )
    assert remarks(joined_config(first, reachable, LAYOUT), joining=True) == []


def test_the_policy_is_written_where_it_was_asked_for_and_shared_with_who_joins() -> None:
    plan = first_config(Wishes("node1", redis=Secret("h:6379"), quorum_policy="majority"), LAYOUT)
    assert plan["cluster"]["quorumPolicy"] == "majority"
    plan["cluster"] |= {"memberHost": "10.0.1.11", "memberAddress": "10.0.1.11:5201"}
    joined = joined_config(plan, Wishes("node2"), LAYOUT)
    assert joined["cluster"] == {"enabled": True, "quorumPolicy": "majority"}, "an address is of one node"


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("10.0.1.20:6379,password=hunter2,abortConnect=false", True),
        ("10.0.1.20:6379, PASSWORD = hunter2", True),
        ("10.0.1.20:26379,serviceName=m,sentinelPassword=hunter2", True),
        ("redis://rppam:hunter2@10.0.1.20:6379", True),
        ("10.0.1.20:6379,nonsense=1,password=hunter2", True),
        ("10.0.1.20:6379,abortConnect=false", False),
        ("redis://10.0.1.20:6379", False),
    ],
)
def test_a_connection_string_with_a_password_is_known(text: str, holds: bool) -> None:
    assert has_redis_password(text) == holds


def test_a_password_goes_before_the_host_whatever_the_parameters_hold() -> None:
    url = "postgresql://rppam@db.example.com/rppam?application_name=pam@site&options=a:b@c"
    assert url_with_password(url, Secret("hunter/2")).reveal() == (
        "postgresql://rppam:hunter%2F2@db.example.com/rppam?application_name=pam@site&options=a:b@c"
    )
    with pytest.raises(InitError, match="expected a URL with a user"):
        url_with_password("postgresql://db.example.com/rppam?user=rppam@site", Secret("hunter/2"))
