"""Which file system a path lies on, as Linux tells it."""

import re
from pathlib import Path
from typing import Final

_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


def mounted(path: Path, mountinfo: str) -> tuple[str, str]:
    """Mount point and type of the file system that ``path`` stands on, or would (proc(5), mountinfo)."""
    path = path.absolute().resolve()
    best = ("", "")
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        words = fields.split(" ")
        if len(words) < 5 or not rest:
            continue
        point = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), words[4])
        if path.is_relative_to(point) and len(point) >= len(best[0]):  # a later mount covers an earlier one
            best = point, rest.split(" ")[0]
    return best
