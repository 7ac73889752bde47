"""A report on a terminal."""

from collections.abc import Iterator
from typing import Any

import click

from rppam.kernel.logging import one_line


def lines_of(report: dict[str, Any]) -> Iterator[str]:
    """The verdicts, each with what shows it, then the sum."""
    for one in report["verdicts"]:
        held = bool(one["held"])
        word = click.style("kept  ", fg="green") if held else click.style("broken", fg="red")
        yield f"{word}  {one.get('promise')}. {one_line(str(one.get('title')))}: {one_line(str(one['why']))}"
    failed, outage = report.get("failed", 0), report.get("outageMs", 0)
    span = f", the first and the last {outage} ms apart" if failed else ""
    yield f"{report.get('requests', 0)} requests were sent, {failed} failed{span}"
    if report.get("passed") is True:
        yield click.style("all five promises were kept", fg="green")
        return
    broken = [str(one.get("promise")) for one in report["verdicts"] if not one["held"]]
    yield click.style(f"not all promises were kept: {', '.join(broken) or 'there are none'}", fg="red")
