"""Files of targets as people have them."""

import json

from rppam.targets.formats import format_of, read_targets
from rppam.targets.wanted import Wanted, WantedAccount

INVENTORY = """
# production
[web]
web1 ansible_host=10.0.0.1 ansible_port=2222 ansible_user=root ansible_password=HUSH
web2
[db:children]
web
[windows]
win1 ansible_connection=winrm
[many]
node[1:9]
"""
CONFIG = """
Host *
  User nobody
Host web1 web2
  HostName %h.example
  Port = 2222
  User root
Match all
  User x
"""


def test_an_inventory_is_read_without_its_passwords() -> None:
    found, problems = read_targets(INVENTORY, "ansible")
    assert found == [
        Wanted("web1", "ssh", "10.0.0.1", 2222, ("web",), (WantedAccount("root"),)),
        Wanted("web2", "ssh", "", None, ("web",)),
        Wanted("win1", "rdp", "", None, ("windows",)),
    ]
    assert len(problems) == 1
    assert "HUSH" not in repr((found, problems))


def test_what_ansible_inventory_lists_is_read() -> None:
    document = {"_meta": {"hostvars": {"a": {"ansible_host": "10.0.0.9"}}}, "web": {"hosts": ["a"]}, "all": {}}
    assert read_targets(json.dumps(document), "ansible")[0] == [Wanted("a", "ssh", "10.0.0.9", None, ("web",))]


def test_an_openssh_config_is_read() -> None:
    found, _ = read_targets(CONFIG, "openssh")
    assert found == [
        Wanted("web1", "ssh", "web1.example", 2222, (), (WantedAccount("root"),)),
        Wanted("web2", "ssh", "web2.example", 2222, (), (WantedAccount("root"),)),
    ]


def test_a_wrong_line_is_named_and_the_others_are_read() -> None:
    found, problems = read_targets("name,port,tags\nweb1,x,\n,22,\nweb2,22,a b\n", "csv")
    assert (found, len(problems)) == ([Wanted("web2", port=22, tags=("a", "b"))], 2)
    assert read_targets("port\n22\n", "csv")[1][0].startswith("line 1")
    for text in ("{", "5", '{"items": 5}'):
        assert read_targets(text, "json")[1]
    assert read_targets("[5]", "json")[1] == ["item 1: expected an object with a name"]


def test_the_format_by_the_name() -> None:
    names = ("a.csv", "a.json", "hosts.ini", "/etc/ansible/hosts", ".ssh/config")
    assert [format_of(name) for name in names] == ["csv", "json", "ansible", "ansible", "openssh"]
