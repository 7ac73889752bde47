"""The section ``redis`` of a witness: where nodes enter as the user of ``rppam redis setup``, a witness has its own.

Decides as whom it enters. The nodes' user may read and write everything of the cluster, the witness's only what a
voter needs; so the nodes' password never goes to a witness's host. What it does not promise: a user of its own where
the nodes enter as another one, such as ``default``; then the witness enters as they do, and is told so.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from rppam.config.connection import parse_connection
from rppam.config.errors import ConnectionStringError
from rppam.config.options import ConnectionOptions
from rppam.config.writing import format_connection
from rppam.kernel.secret import Secret
from rppam.setup.redis_acl import NODE_USER, WITNESS_USER

NO_PASSWORD: Final = (
    f"the nodes enter Redis as the user {NODE_USER}, a witness as {WITNESS_USER}, which has a password of its own: "
    "give --redis-password-file (witness/redis.password of 'rppam redis setup'). Where Redis does not know it yet, "
    "run 'rppam redis setup' once more with --force; to enter as another one, give --redis"
)
SHARED: Final = (
    "this witness enters Redis as the nodes do, and may read and write all that they may; give it the user "
    f"{WITNESS_USER} of 'rppam redis setup'"
)


def as_witness(redis: Mapping[str, Any], opened: Callable[[Any], str | None]) -> dict[str, Any]:
    """The section as a witness may have it: of the nodes' user, neither name nor password. ``opened`` makes text of a
    value, or ``None`` of what stands elsewhere."""
    section = dict(redis)
    options = options_of(opened(section.get("connectionString")))
    if options is None or options.user not in {NODE_USER, WITNESS_USER}:
        return section
    bare = replace(options, user=WITNESS_USER, password=options.password if options.user == WITNESS_USER else None)
    text = format_connection(bare, show_secrets=True)
    is_secret = bare.password is not None or bare.sentinel_password is not None
    section["connectionString"] = Secret(text) if is_secret else text
    if options.user == NODE_USER:
        section.pop("password", None)
    return section


def options_of(text: str | None) -> ConnectionOptions | None:
    """What the string says; ``None`` for one that is wrong, which the check of the plan tells."""
    try:
        return None if text is None else parse_connection(text)
    except ConnectionStringError:
        return None
