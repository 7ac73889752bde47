"""OpenSSH's own clients through the gateway to a real sshd."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.gateway.places import Place

pytestmark = [pytest.mark.integration]
TERM = {"TERM": "xterm"}
RAW_BYTE = 'exec "$@" "printf %s $(printf \'\\351\') | od -An -tx1"'


async def test_a_command(place: Place) -> None:
    ended = await place.ssh("echo out; echo err >&2; exit 7")
    assert (ended.code, ended.out, ended.err) == (7, b"out\n", "err\n"), ended


async def test_a_signal_is_how_it_ended(place: Place) -> None:
    ended = await place.ssh("kill -9 $$")
    assert ended.code == 255


async def test_standard_input_ends_where_it_ends(place: Place) -> None:
    ended = await place.ssh("wc -c", given=bytes(3_000_000))
    assert (ended.code, ended.out) == (0, b"3000000\n"), ended


async def test_no_standard_input_at_all(place: Place) -> None:
    assert (await place.ssh("cat | wc -c", given=None)).out == b"0\n"
    assert (await place.ssh("cat | wc -c", options=("-n",))).out == b"0\n"


async def test_much_both_ways(place: Place) -> None:
    data = os.urandom(20_000_000)
    ended = await place.ssh("cat", given=data)
    assert ended.code == 0
    assert ended.out == data


async def test_a_terminal_has_its_size_and_type(place: Place) -> None:
    ended = await place.ssh(
        "stty size; echo $TERM; tty >/dev/null && echo tty", options=("-tt",), env={"TERM": "xterm"}
    )
    assert ended.out.split() == [b"0", b"0", b"xterm", b"tty"], ended


async def test_a_command_of_any_bytes_and_much_of_it(place: Place) -> None:
    ended = await place.run(
        "sh",
        "-c",
        'exec "$@" "printf %s $(printf \'\\351\') | od -An -tx1"',
        "sh",
        "ssh",
        *place.options(),
        "127.0.0.1",
    )
    assert ended.out.split() == [b"e9"], ended
    word = "x" * 100_000
    assert (await place.ssh(f"printf %s {word} | wc -c")).out.strip() == b"100000"


async def test_quotes_come_unchanged(place: Place) -> None:
    ended = await place.ssh("""printf '%s|' "a b" '$HOME' "\\\\" '\n' """)
    assert ended.out == b"a b|$HOME|\\|\n|", ended


async def test_only_harmless_variables_go_along(place: Place) -> None:
    env = {"LC_TELEPHONE": "C", "SECRET": "x"}
    ended = await place.ssh("echo $LC_TELEPHONE/$SECRET", options=("-o", "SendEnv=LC_TELEPHONE SECRET"), env=env)
    assert ended.out == b"C/\n", ended


async def test_a_shell_without_a_terminal_reads_commands(place: Place) -> None:
    ended = await place.ssh(given=b"echo one\nexit 3\n")
    assert (ended.code, ended.out.splitlines()[-1]) == (3, b"one"), ended


async def test_files_by_sftp_scp_and_rsync(place: Place, tmp_path: Path) -> None:
    data = os.urandom(2_000_000)
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(data)
    there = tmp_path / "there"
    port_user = place.options()
    for argv in (
        ["scp", *port_user, str(source), f"127.0.0.1:{there}"],
        ["scp", *port_user, f"127.0.0.1:{there}", str(back)],
        ["scp", "-O", *port_user, str(source), f"127.0.0.1:{there}"],
        ["scp", "-O", *port_user, f"127.0.0.1:{there}", str(back)],
        ["rsync", "-e", "ssh " + " ".join(port_user), str(source), f"127.0.0.1:{there}"],
        ["rsync", "-e", "ssh " + " ".join(port_user), f"127.0.0.1:{there}", str(back)],
    ):
        ended = await place.run(*argv)
        assert ended.code == 0, (argv, ended)
        assert (back if argv[-1] == str(back) else there).read_bytes() == data
        back.unlink(missing_ok=True)
    ended = await place.run("scp", *port_user, "127.0.0.1:/nowhere/at/all", str(back))
    assert ended.code == 1
    assert "No such file" in ended.err
    batch = f"ls {tmp_path}\nrename {there} {there}2\nln -s {there}2 {there}3\nget {there}3 {back}\n".encode()
    ended = await place.run("sftp", "-oBatchMode=no", *port_user, "-b", "-", "127.0.0.1", given=batch)
    assert ended.code == 0, ended
    assert back.read_bytes() == data


async def test_git(place: Place, tmp_path: Path) -> None:
    own = ["git", "-C", str(tmp_path / "own"), "-c", "user.email=a@b", "-c", "user.name=a"]
    await place.run("git", "init", "-q", "--bare", str(tmp_path / "bare"))
    await place.run("git", "init", "-q", str(tmp_path / "own"))
    await place.run(*own, "commit", "-q", "--allow-empty", "-m", "x")
    env = {"GIT_SSH_COMMAND": "ssh " + " ".join(place.options())}
    ended = await place.run(*own, "push", "-q", f"127.0.0.1:{tmp_path}/bare", "HEAD:refs/heads/m", env=env)
    assert ended.code == 0, ended
    ended = await place.run("git", "clone", "-q", "-b", "m", f"127.0.0.1:{tmp_path}/bare", str(tmp_path / "c"), env=env)
    assert ended.code == 0, ended


async def test_many_sessions_share_one_connection_up_to_the_limit(place: Place, tmp_path: Path) -> None:
    path = str(tmp_path / "cm")
    options = [f"ControlPath={path}" if word == "ControlPath=none" else word for word in place.options()]
    argv = ["ssh", *options, "127.0.0.1"]
    master = await place.run(*argv, "-M", "-N", "-f")
    assert master.code == 0, master
    try:
        ended = await asyncio.gather(*(place.run(*argv, f"sleep 2; echo {n}") for n in range(12)))
        fine = [one for one in ended if one.code == 0]
        assert len(fine) == 10, [one for one in ended if one.code]
        refused = next(one for one in ended if one.code != 0)
        assert "RPPAM-8605" in refused.err
    finally:
        await place.run(*argv, "-O", "exit")


async def test_an_unknown_subsystem_fails(place: Place) -> None:
    ended = await place.ssh("nonsense", options=("-s",))
    assert ended.code != 0
    assert "subsystem request failed" in ended.err


async def test_keys_are_changed_in_the_middle(place: Place) -> None:
    data = os.urandom(8_000_000)
    ended = await place.ssh("cat", given=data, options=("-o", "RekeyLimit=1M"))
    assert ended.out == data


async def test_a_window_change_reaches_the_program(place: Place) -> None:
    async with place.client() as client:
        process = await client.create_process(
            "trap 'stty size; exit' WINCH; stty size; while :; do sleep 0.05; done",
            term_type="xterm",
            term_size=(80, 24),
        )
        assert (await process.stdout.readline()).split() == ["24", "80"]
        process.change_terminal_size(100, 30)
        assert (await process.stdout.readline()).split() == ["30", "100"]


async def test_signals_reach_the_program(place: Place) -> None:
    async with place.client() as client:
        process = await client.create_process("trap 'echo got; exit 4' TERM; echo on; while :; do sleep 0.05; done")
        assert await process.stdout.readline() == "on\n"
        process.send_signal("TERM")
        done = await process.wait()
        assert (done.stdout, done.exit_status) == ("got\n", 4)
