"""What a command is for, as far as its words tell: some carry files, and need the right to files as well.

The server's ends of ``scp -O``, rsync and SFTP are known by their names. It is no wall: who has a shell can have it
print a file, which is recorded then as all that a shell says.
"""

import re
import shlex
from typing import Final

from rppam.gateway.model import Kind

_SCP_END: Final = re.compile(r"-[A-Za-z]*[tf][A-Za-z]*")
_ASSIGNMENT: Final = re.compile(r"\w+=")
_BEFORE: Final = frozenset({"command", "doas", "env", "exec", "nice", "nohup", "sudo"})
_SERVERS: Final = frozenset({"sftp-server", "internal-sftp"})


def wanted(kind: Kind, command: str | None) -> tuple[Kind, ...]:
    """What has to be allowed for a channel of this kind."""
    return (kind, Kind.SFTP) if kind is Kind.EXEC and carries_files(command or "") else (kind,)


def carries_files(command: str) -> bool:
    """Whether it is the server's end of a transfer of files, also behind ``sudo`` and the like."""
    try:
        words = shlex.split(command)
    except ValueError:  # quotes that do not close: the target's shell will say so
        words = command.split()
    while words and _ASSIGNMENT.match(words[0]):
        del words[0]
    last = len(words) if words and _name(words[0]) in _BEFORE else 1
    for place, word in enumerate(words[:last]):
        name, more = _name(word), words[place + 1 :]
        if name in _SERVERS or (name == "rsync" and "--server" in more):
            return True
        if name == "scp" and any(_SCP_END.fullmatch(one) for one in more):
            return True
    return False


def _name(word: str) -> str:
    return word.rpartition("/")[2]
