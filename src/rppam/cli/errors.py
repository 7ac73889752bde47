"""How an error is told to a machine: as one JSON document on stdout, the same for every command with ``--json``."""

import json
from collections.abc import Sequence


def wants_json(words: Sequence[str]) -> bool:
    """Whether a command line asks for JSON. Read from its words, since a wrong one has no options yet."""
    options = words[: words.index("--")] if "--" in words else words
    return "--json" in options


def error_json(error: str, code: str = "") -> str:
    """The document; ``code`` is empty for what has no row in the error table, such as wrong usage."""
    return json.dumps({"error": error, "code": code})
