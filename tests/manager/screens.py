"""What a screen shows, as lines without colours."""

import io

from rich.console import Console, RenderableType


def lines_of(picture: RenderableType, width: int = 400) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(picture)
    return [line.strip() for line in out.getvalue().splitlines() if line.strip()]
