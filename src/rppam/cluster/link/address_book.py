"""Where the other members were last found: a small file, so that a whole cluster can start while Redis is away.

It is a hint and nothing more: a file that cannot be read or understood counts as none, and what is heard later
replaces it. It carries no secret, and who answers at an address is proven by the member link.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rppam.cluster.consensus.membership import MEMBERS_MAX
from rppam.cluster.errors import PromiseFileUnwritable
from rppam.config.endpoint import NotAnEndpointError, parse_endpoint

FILE_NAME: Final = "members.json"
"""Its name in the data directory."""
BYTES_MAX: Final = 64 * 1024


class FileAddressBook:
    """The real :class:`rppam.cluster.link.ports.AddressBook`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> Mapping[str, str]:
        """``host:port`` by member; empty when there is no file of use."""
        try:
            with self.path.open("rb") as file:
                tree = json.loads(file.read(BYTES_MAX))
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(tree, dict) or len(tree) > MEMBERS_MAX:
            return {}
        return {name: address for name, address in tree.items() if isinstance(address, str) and _is_address(address)}

    def save(self, addresses: Mapping[str, str]) -> None:
        """Replace the file. Raises :class:`PromiseFileUnwritable`."""
        part = self.path.with_name(f".{self.path.name}.part")
        try:
            part.write_text(json.dumps(dict(sorted(addresses.items())), indent=2) + "\n", encoding="ascii")
            part.replace(self.path)
        except OSError as error:
            raise PromiseFileUnwritable(
                f"{self.path}: expected to note where the members are, found: {error.strerror}. Make room there, or "
                "let the account that runs rppam own the directory"
            ) from None


def _is_address(text: str) -> bool:
    try:
        parse_endpoint(text)
    except NotAnEndpointError:
        return False
    return True
