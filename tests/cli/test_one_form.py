"""Every command tells its errors in one form: ``rppam COMMAND: what is wrong``, and then what to do."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

import click
import pytest

from rppam.app.ha_manager import WORDS, rppam_ha_manager
from rppam.app.main import rppam as root, run
from rppam.app.slices import commands
from rppam.kernel.slice import load
from tests.support.ports import free_port

MORE: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "ca revoke": ("--serial", "7"),
        "failover-report": ("--verify",),
        "failover-test": ("--yes",),
        "settings acknowledge": ("--until", "2027-01-31"),
        "vault allow": ("--user", "jane"),
    }
)
"""What a command wants beside what click knows to be needed."""
NO_NODE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "redis rotate-password finish": "looks at the config of its host first",
        "token keys list": "looks at the config of its host first",
    }
)
"""Commands that take --url, and have another question before they ask there."""


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def first(self) -> str:
        return self.err.partition("\n")[0]


def below(words: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield words, command
    if isinstance(command, click.Group):
        for word, one in command.commands.items():
            yield from below(f"{words} {word}", one)


EVERY: Final = {
    words: one for word, made in commands().items() for words, one in below(word, load(f"{made.module}:command"))
}
ASKING: Final = sorted(words for words, one in EVERY.items() if any(option.name == "url" for option in one.params))


class Typist:
    """Types commands in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def type(self, *words: str, command: click.Command = root) -> Done:
        self._monkeypatch.setattr("sys.argv", [str(command.name), *words])
        self._capsys.readouterr()
        try:
            code = run(command)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0
        said = self._capsys.readouterr()
        return Done(code, said.out, said.err)


@pytest.fixture
def typist(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Typist:
    for name in ("RPPAM_CONFIG", "RPPAM_URL", "RPPAM_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return Typist(monkeypatch, capsys)


@pytest.mark.parametrize("words", sorted(EVERY))
def test_a_wrong_option_is_told_with_the_command_and_what_it_takes(words: str, typist: Typist) -> None:
    done = typist.type(*words.split(), "--no-such-option")
    assert (done.code, done.out) == (2, "")
    assert done.first.startswith(f"rppam {words}: No such option"), done.err
    assert f"\nUsage: rppam {words} " in done.err
    assert f"\n'rppam {words} --help' says more." in done.err
    as_json = typist.type(*words.split(), "--no-such-option", "--json")
    assert "--no-such-option" in json.loads(as_json.out)["error"]


@pytest.mark.parametrize("word", sorted(WORDS))
def test_the_manager_tells_them_alike_with_its_own_name(word: str, typist: Typist) -> None:
    done = typist.type(word, "--no-such-option", command=rppam_ha_manager)
    assert done.first.startswith(f"rppam-ha-manager {word}: No such option"), done.err


@pytest.mark.parametrize("words", [one for one in ASKING if one not in NO_NODE])
def test_a_node_that_cannot_be_reached_is_told_with_the_command_the_place_and_the_fix(
    words: str, typist: Typist, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("RPPAM_TOKEN", "some.made.token")
    monkeypatch.setattr("sys.stdin", Typed())
    if words in {"login", "ssh"}:
        monkeypatch.setattr("click.termui.hidden_prompt_func", lambda _: "a password")
    given = [*filled(words, tmp_path), *MORE.get(words, ()), "--url", url]
    if words == "login":
        given += ["--user", "jane"]
    done = typist.type(*words.split(), *given)
    assert done.code in {2, 255}, done.err
    told = [line for line in done.err.splitlines() if line.startswith(f"rppam {words}: ")]
    assert told, done.err
    assert url in told[0]
    assert "--url" in told[0], f"the fix is not told: {told}"


def test_an_error_of_the_product_has_its_code_behind_the_command(typist: Typist) -> None:
    done = typist.type("config", "check", "/nowhere/a.config")
    assert done.code == 78
    assert done.first.startswith("rppam config check: RPPAM-1101: "), done.err
    shown = typist.type("token", "--config", "/nowhere/a.config")
    assert shown.first.startswith("rppam token: RPPAM-1101: "), shown.err


def test_a_word_that_is_none_is_told_by_the_group_that_lacks_it(typist: Typist) -> None:
    assert typist.type("clusterr").first.startswith("rppam: No such command 'clusterr'. Did you mean 'cluster'")
    assert typist.type("cluster", "forgive").first.startswith("rppam cluster: No such command 'forgive'")


class Typed:
    """A terminal's input, or a pipe's, with a token in it."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return False

    def read(self, *_: int) -> str:
        return "some.made.token"

    def readline(self, *_: int) -> str:
        return "some.made.token\n"


def filled(words: str, folder: Path) -> list[str]:
    """Something for each argument and option that the command needs."""
    given: list[str] = []
    for one in EVERY[words].params:
        if not one.required:
            continue
        value = value_of(words, one, folder)
        given += [value] if isinstance(one, click.Argument) else [one.opts[0], value]
    if words == "config push":
        given = [made(folder / "wanted.config", json.dumps({"settings": {"security/sessions": {"idleMinutes": 20}}}))]
    if words == "ssh":
        given = ["root@web1"]
    return given


def value_of(words: str, one: click.Parameter, folder: Path) -> str:
    if isinstance(one.type, click.Choice):
        return str(one.type.choices[0])
    if isinstance(one.type, click.IntRange | click.types.IntParamType):
        return "1"
    if words == "failover-report":
        return made(folder / "report.json", REPORT)
    if words == "target import":
        return made(folder / "hosts.csv", "name,kind,address\nweb1,ssh,10.0.0.1\n")
    if isinstance(one.type, click.File) or (isinstance(one.type, click.Path) and one.type.exists):
        return made(folder / "file", "ssh-ed25519 AAAA")
    if isinstance(one.type, click.Path):
        return str(folder / "new")
    return {"fields": "idleMinutes=20", "node": "node1", "host": "10.0.0.9", "code": "RD-306"}.get(
        one.name or "", "word"
    )


def made(file: Path, text: str) -> str:
    file.write_text(text)
    file.chmod(0o600)
    return str(file)


REPORT: Final = json.dumps(
    {
        "format": 1,
        "test": "t-1",
        "cluster": "c",
        "method": "switchover",
        "startedAt": "2026-01-01T00:00:00Z",
        "passed": True,
        "verdicts": [],
    }
)


@pytest.mark.parametrize("words", sorted(words for words, one in EVERY.items() if one.epilog))
def test_an_example_names_options_that_there_are(words: str) -> None:
    examples = re.findall(r"(?:\brppam )+([^|)\n]+)", EVERY[words].epilog or "")
    assert examples
    for typed in map(shlex.split, examples):
        meant = max((one for one in EVERY if typed[: len(one.split())] == one.split()), key=len)
        known = {name for option in EVERY[meant].params for name in (*option.opts, *option.secondary_opts)}
        assert {word.partition("=")[0] for word in typed if word.startswith("--")} <= known | {"--help"}
