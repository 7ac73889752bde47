"""Ansible through the gateway, as it is used: twenty hosts at once over connections that stay, modules pipelined."""

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway import test_recorded
from tests.gateway.places import HOST, Place
from tests.gateway.test_register import recorded
from tests.gateway.test_user_keys import made, signed_in

place = test_recorded.place
pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]
WANTED = "ansible-core>=2.16,<2.21"
HOSTS = 20

CONFIG = """
[defaults]
forks = 20
host_key_checking = False
interpreter_python = {python}
local_tmp = {folder}/local
retry_files_enabled = False
nocows = True
[connection]
pipelining = True
[ssh_connection]
pipelining = True
control_path_dir = {control}
ssh_args = -F none -o ControlMaster=auto -o ControlPersist=60s -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR
"""
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.ping:
    - ansible.builtin.template:
        src: {folder}/greeting.j2
        dest: "{folder}/out/{{{{ inventory_hostname }}}}"
        mode: "0640"
    - ansible.builtin.command: "cat {folder}/out/{{{{ inventory_hostname }}}}"
      register: read
      changed_when: false
    - ansible.builtin.assert:
        that: read.stdout == 'Hello ' ~ inventory_hostname ~ ', umlaut \u00e4 and $HOME'
    - ansible.builtin.raw: "echo 1-{{{{ inventory_hostname }}}}"
    - ansible.builtin.raw: "echo 2-{{{{ inventory_hostname }}}}"
    - ansible.builtin.raw: "exit 3"
      register: failed
      failed_when: failed.rc != 3
    - ansible.builtin.raw: "printf '%s' \\"$TERM\\" >&2; echo 4"
    - ansible.builtin.raw: "head -c 200000 /dev/zero | tr '\\\\0' x"
      register: much
    - ansible.builtin.assert:
        that: much.stdout | length == 200000
"""
TASKS = 10


@pytest.fixture(scope="session")
def playbook() -> str:
    """The program, which an environment of its own beside the tests' keeps from one run to the next."""
    folder = Path(sys.prefix) / "ansible"
    program = folder / "bin" / "ansible-playbook"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        words = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", WANTED]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(folder)
            if os.environ.get("CI"):
                pytest.fail(f"pip installs no {WANTED}: {done.stderr[-500:]}")
            pytest.skip(f"pip installs no {WANTED}: {done.stderr.strip()[-200:]}")
    return str(program)


@pytest.fixture
def control() -> Iterator[Path]:
    """Where sockets of shared connections have short names."""
    with tempfile.TemporaryDirectory(prefix="cp") as folder:
        yield Path(folder)


@pytest.fixture
def policy() -> dict[str, Any]:
    return {"recording": "bounded"}


async def test_twenty_hosts_and_two_hundred_tasks(place: Place, tmp_path: Path, playbook: str, control: Path) -> None:
    key, headers = await made(tmp_path, "-t", "ed25519"), await signed_in(place)
    body = {"key": key.with_suffix(".pub").read_text()}
    assert (await place.served.http.post("/api/v1/users/me/ssh-keys", json=body, headers=headers)).status_code == 201
    assert (await place.ssh("true")).code == 0  # its key is pinned by that
    names = [f"h{number:02}" for number in range(1, HOSTS + 1)]
    for name in names:
        place.routes.add(name, place.target.port, place.target.user, place.key)
    (tmp_path / "out").mkdir()
    (tmp_path / "greeting.j2").write_text("Hello {{ inventory_hostname }}, umlaut \u00e4 and $HOME", encoding="utf-8")
    lines = [f"{name} ansible_user=admin+{name}" for name in names]
    same = ["[all:vars]", f"ansible_host={HOST}", f"ansible_port={place.port}", f"ansible_ssh_private_key_file={key}"]
    (tmp_path / "hosts").write_text("\n".join([*lines, *same]) + "\n")
    words = {"python": sys.executable, "folder": tmp_path, "control": control}
    (tmp_path / "ansible.cfg").write_text(textwrap.dedent(CONFIG).format(**words))
    (tmp_path / "play.yml").write_text(PLAY.format(**words), encoding="utf-8")
    env = {
        "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"), "ANSIBLE_HOME": str(tmp_path / "home"), "LC_ALL": "C.UTF-8",
    }  # fmt: skip
    begun = len(await recorded(place, "access.start"))
    argv = [playbook, "-i", str(tmp_path / "hosts"), str(tmp_path / "play.yml")]
    ended = await place.run(*argv, env=env, patience_s=800)
    said = ended.out.decode()
    assert ended.code == 0, said[-3000:] + ended.err[-2000:]
    recap = [line for line in said.splitlines() if line.startswith("h") and "ok=" in line]
    assert len(recap) == HOSTS
    assert all(f"ok={TASKS} " in line and "unreachable=0" in line and "failed=0" in line for line in recap), recap
    for name in names:
        found = tmp_path / "out" / name
        assert found.read_text(encoding="utf-8") == f"Hello {name}, umlaut \u00e4 and $HOME"
        assert found.stat().st_mode & 0o777 == 0o640
    sessions = len(await recorded(place, "access.start")) - begun
    assert sessions == HOSTS, "one connection for each host, which all of its tasks share"
