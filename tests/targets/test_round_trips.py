"""What is exported comes back as it was: all of it, but for what an OpenSSH config says that it leaves out."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from rppam.targets.formats import FORMATS, LeftOut, left_out, read_targets, write_targets
from rppam.targets.model import ResourceKind, checked_account_name, checked_description
from rppam.targets.wanted import Wanted, WantedAccount
from tests.support.examples import examples
from tests.targets.test_model import ED25519

WHOLE = [one for one in FORMATS if one != "openssh"]
ECDSA = "ecdsa-sha2-nistp256 " + "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTY="
TARGETS = [
    Wanted(
        "db 1", "postgresql", "2001:db8::7", 6432, ("env:prod", "env/prod"),
        (WantedAccount("postgres", "the owner", ("dba",)), WantedAccount('it"s; [x]')),
        'Müller\'s "own" # = ; 📚', "pin", False, (ED25519, ECDSA),
    ),
    Wanted("web 1", "ssh", "10.0.0.1", 22, ("web",), (WantedAccount("CORP\\root"),), "", "tofu", True),
    Wanted("web_1", "ssh", "web.example", 2222, (), (WantedAccount("root"),), "", "pin", False),
    Wanted("win", "rdp", "10.0.0.3", 3389, ("all",), (), "0x10", "pin", False),
]  # fmt: skip


@pytest.mark.parametrize("format_", WHOLE)
def test_nothing_is_lost(format_: str) -> None:
    text = write_targets(TARGETS, format_)
    found, problems = read_targets(text, format_)
    assert problems == []
    assert sorted(map(as_kept, found)) == sorted(map(as_kept, TARGETS)), text
    assert left_out(TARGETS, text, format_) == []


def test_a_config_says_what_it_leaves_out() -> None:
    text = write_targets(TARGETS, "openssh")
    found, _ = read_targets(text, "openssh")
    assert [(one.name, one.address, one.port, one.accounts) for one in found] == [
        ("web 1", "10.0.0.1", 22, (WantedAccount("CORP\\root"),)),
        ("web_1", "web.example", 2222, (WantedAccount("root"),)),
    ]
    assert left_out(TARGETS, text, "openssh") == [
        LeftOut("db 1", ()),
        LeftOut("web 1", ("tags", "hostKeyPolicy", "legacyAlgorithms")),
        LeftOut("win", ()),
    ]
    several = [TARGETS[1]._replace(accounts=(WantedAccount("a", tags=("x",)), WantedAccount("b", "y")), tags=())]
    [lacking] = left_out(several, write_targets(several, "openssh"), "openssh")
    assert lacking.fields == (
        *("accounts", "tags of accounts", "descriptions of accounts"),
        *("hostKeyPolicy", "legacyAlgorithms"),
    )
    assert str(LeftOut("db 1", ())).startswith("db 1: left out: all of it")


@pytest.mark.skipif(shutil.which("ssh") is None, reason="no OpenSSH client here")
def test_openssh_itself_reads_the_config_alike(tmp_path: Path) -> None:
    users = ["CORP\\root", "SQL Agent", "root"]
    targets = [
        Wanted(f"web {number}", "ssh", f"10.0.0.{number}", 2200 + number, (), (WantedAccount(user),))
        for number, user in enumerate(users)
    ]
    (tmp_path / "config").write_text(write_targets(targets, "openssh"))
    for number, user in enumerate(users):
        command = ["ssh", "-G", "-F", str(tmp_path / "config"), f"web_{number}"]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        assert {f"user {user}", f"hostname 10.0.0.{number}", f"port {2200 + number}"} <= set(told)


@pytest.mark.skipif(shutil.which("ansible-inventory") is None, reason="no ansible-core here")
def test_ansible_itself_reads_the_inventory_alike(tmp_path: Path) -> None:
    odd = (WantedAccount("None"), WantedAccount('["a"]'), WantedAccount("0x10"))
    more = Wanted("x1", "mysql", "10.0.0.9", 3306, ("a", "all"), odd, '"quoted" {{ 7 * 7 }}', "pin", False)
    targets = [*TARGETS, more]
    (tmp_path / "hosts.ini").write_text(write_targets(targets, "ansible"))
    command = ["ansible-inventory", "-i", str(tmp_path / "hosts.ini"), "--list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found, problems = read_targets(listed, "ansible")
    assert (sorted(map(as_kept, found)), problems) == (sorted(map(as_kept, targets)), []), listed


def test_old_files_are_read_as_before() -> None:
    expected = [
        Wanted("web1", "ssh", "10.0.0.1", 2222, ("prod",), (WantedAccount("root"), WantedAccount("sa")), "mine"),
        Wanted("db1", "postgresql", "10.0.0.7", 5432),
    ]
    csv = (
        "name,kind,address,port,tags,accounts,description\n"
        "web1,ssh,10.0.0.1,2222,prod,root;sa,mine\ndb1,postgresql,10.0.0.7,5432,,,\n"
    )
    assert read_targets(csv, "csv") == (expected, [])
    fields = ("name", "kind", "address", "port", "tags", "accounts", "description")
    old = [
        dict(zip(fields, (*one[:5], [two.name for two in one.accounts], one.description), strict=True))
        for one in expected
    ]
    assert read_targets(json.dumps(old), "json") == (expected, [])
    ini = "[prod]\nweb_1 ansible_host=10.0.0.1 ansible_port=2222 ansible_user=root\n"
    assert read_targets(ini, "ansible")[0] == [
        Wanted("web_1", "ssh", "10.0.0.1", 2222, ("prod",), (WantedAccount("root"),))
    ]


@pytest.mark.parametrize(
    ("text", "format_", "problem"),
    [
        ('[{"name": "a", "accounts": "root"}]', "json", "item 1: accounts: expected a list"),
        ('[{"name": "a", "accounts": [5]}]', "json", "item 1: accounts: expected names, or objects with a name"),
        ('[{"name": "a", "hostKeys": ["nonsense"]}]', "json", "item 1: hostKeys: key: expected"),
        ("name,hostKeys\na,nonsense\nb,\n", "csv", "line 2: hostKeys: key: expected"),
        ("a rppam_tags=5\nb\n", "ansible", "host a: rppam_tags: expected a list"),
    ],
)
def test_what_is_wrong_is_named(text: str, format_: str, problem: str) -> None:
    found, problems = read_targets(text, format_)
    assert len(problems) == 1
    assert problems[0].startswith(problem)
    assert [one.name for one in found] in ([], ["b"])


# ---- any target ------------------------------------------------------------------------------------------------------


def accepted(check: object, text: str) -> bool:
    try:
        check(text)  # type: ignore[operator]
    except Exception:  # noqa: BLE001 - whatever it says, no node has such a text
        return False
    return True


names = st.from_regex(r"[A-Za-z0-9_]([A-Za-z0-9._ -]{0,8}[A-Za-z0-9._-])?", fullmatch=True)
tags = st.lists(st.from_regex(r"[a-z0-9][a-z0-9._:=/-]{0,6}", fullmatch=True), max_size=4, unique=True)
printable = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
words = printable.map(str.strip) | st.sampled_from(["None", "null", "0x10", "1e5", "NaN", "[a", '["a"]', "a;b", "-1"])
accounts = st.builds(
    WantedAccount,
    words.filter(lambda text: accepted(checked_account_name, text)),
    printable.filter(lambda text: accepted(checked_description, text)),
    tags.map(lambda found: tuple(sorted(found))),
)
targets = st.builds(
    Wanted,
    names,
    st.sampled_from([kind.value for kind in ResourceKind]),
    st.sampled_from(["10.0.0.1", "2001:db8::1", "fe80::1%eth0", "web.example", "123"]),
    st.integers(1, 65_535),
    tags.map(lambda found: tuple(sorted(found))),
    st.lists(accounts, max_size=3, unique_by=lambda one: one.name).map(tuple),
    words | printable,
    st.sampled_from(["pin", "tofu"]),
    st.booleans(),
    st.sampled_from([(), (ED25519,), (ED25519, ECDSA)]),
)


def as_kept(one: Wanted) -> Wanted:
    return one._replace(tags=tuple(sorted(one.tags)), host_key_policy=one.policy, legacy_algorithms=bool(one[8]))


@settings(max_examples=examples(100))
@given(found=st.lists(targets, max_size=4, unique_by=lambda one: one.name.lower()))
def test_any_targets_come_back(found: list[Wanted]) -> None:
    expected = sorted(map(as_kept, found))
    for format_ in WHOLE:
        text = write_targets(found, format_)
        again, problems = read_targets(text, format_)
        assert (sorted(map(as_kept, again)), problems) == (expected, []), text
        assert left_out(found, text, format_) == []
    text = write_targets(found, "openssh")
    again, _ = read_targets(text, "openssh")
    shown = {one.name: one for one in found if one.kind == "ssh"}
    assert {one.name: (one.address, one.port) for one in again} == {
        name: (one.address, one.port) for name, one in shown.items()
    }, text
    lacking = {one.target: set(one.fields) for one in left_out(found, text, "openssh")}
    assert {name for name, fields in lacking.items() if not fields} == {one.name for one in found} - set(shown)
    for one in again:
        assert ("accounts" in lacking.get(one.name, set())) is (len(shown[one.name].accounts) > 1), text
