"""What happened, as a picture (SVG: one lane per host, leaderships, faults as marks) and as text (one line an event).

It shows what observers saw and what the lab did; it decides nothing.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Final, NamedTuple

from tests.faults.lab.history import Span
from tests.faults.lab.observers import View

WIDTH: Final = 1280
LEFT: Final = 112
RIGHT: Final = 28
TOP: Final = 96
BAND: Final = 24
ROW: Final = 19
COLOURS: Final = ("#2f6fde", "#0d9268", "#8a4fd3", "#c2537f", "#0f8ea3", "#7a6a2c", "#5661c9")
CHARACTER: Final = 6.3
"""Width of one character of a label, in px, generously."""
BLIND_NS: Final = 1_500_000_000


class Mark(NamedTuple):
    """Something that was done to a host; to everything when ``lane`` is empty."""

    lane: str
    words: str
    from_ns: int
    to_ns: int


@dataclass(frozen=True)
class Timeline:
    """All that is shown. Times are those of the machine's clock; the picture counts from ``from_ns``."""

    title: str
    lanes: Sequence[str]
    spans: Sequence[Span]
    marks: Sequence[Mark]
    views: Sequence[View]
    verdict: Sequence[str]
    from_ns: int
    to_ns: int
    about: str = ""

    # ---- text -------------------------------------------------------------------------------------------------------

    def text(self) -> str:
        """Every event in a line, in order."""
        events: list[tuple[int, str, str]] = []
        for span in self.spans:
            seconds = (span.to_ns - span.from_ns) / 1e9
            events.append((span.from_ns, span.node, f"leads at epoch {span.epoch} for {seconds:.2f} s"))
        for mark in self.marks:
            events.append((mark.from_ns, mark.lane or "all", mark.words))
            if mark.lane and mark.to_ns > mark.from_ns:
                events.append((mark.to_ns, mark.lane, f"end of: {mark.words}"))
        events += self._view_events()
        lines = [self.title, self.about, ""]
        for at_ns, lane, words in sorted(events):
            lines.append(f"{(at_ns - self.from_ns) / 1e9:9.3f} s  {lane:<10} {words}")
        lines += ["", *([f"VIOLATION: {word}" for word in self.verdict] or ["No violation."])]
        return "\n".join(lines) + "\n"

    def _view_events(self) -> list[tuple[int, str, str]]:
        events = []
        for node in {view.node for view in self.views}:
            of_node = [view for view in self.views if view.node == node]
            for before, after in pairwise(of_node):
                if before.redis_connected != after.redis_connected:
                    what = "reaches Redis again" if after.redis_connected else "has lost Redis"
                    events.append((after.at_ns, node, f"says that it {what}"))
        return events

    # ---- picture ----------------------------------------------------------------------------------------------------

    def svg(self) -> str:
        """The picture, complete in itself."""
        parts: list[str] = []
        y = TOP + 22.0 * max(0, len(self.verdict) - 1)
        tops: dict[str, tuple[float, float]] = {}
        for number, lane in enumerate(self.lanes):
            height = self._lane(parts, lane, number, y)
            tops[lane] = (y, height)
            y += height
        bottom = y
        axis = self._axis(bottom)
        everywhere = [self._everywhere(mark, bottom) for mark in self.marks if not mark.lane]
        height = bottom + 78
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
            f'viewBox="0 0 {WIDTH} {height:.0f}" font-family="Inter, DejaVu Sans, Helvetica, Arial, sans-serif" '
            f'font-size="11"><rect width="100%" height="100%" fill="#ffffff"/>'
            '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" '
            'patternTransform="rotate(45)"><rect width="6" height="6" fill="#fdebd3"/>'
            '<rect width="2" height="6" fill="#f6cf9b"/></pattern></defs>'
        )
        body = [*self._title(), *axis, *parts, *everywhere, *self._legend(bottom + 54)]
        return "\n".join([head, *body, "</svg>\n"])

    def _x(self, at_ns: float) -> float:
        share = (at_ns - self.from_ns) / max(1, self.to_ns - self.from_ns)
        return LEFT + (WIDTH - LEFT - RIGHT) * min(1.0, max(0.0, share))

    def _title(self) -> list[str]:
        parts = [
            f'<text x="24" y="36" font-size="19" font-weight="600" fill="#1c2430">{escape(self.title)}</text>',
            f'<text x="24" y="57" font-size="12" fill="#667080">{escape(self.about)}</text>',
        ]
        if not self.verdict:
            parts.append('<text x="24" y="78" font-size="12" font-weight="600" fill="#0d9268">✓ no violation</text>')
        for number, word in enumerate(self.verdict):
            parts.append(
                f'<text x="24" y="{78 + 22 * number}" font-size="12" font-weight="600" fill="#c62828">'
                f"✗ {escape(word[:190])}</text>"
            )
        return parts

    def _axis(self, bottom: float) -> list[str]:
        top = TOP + 22.0 * max(0, len(self.verdict) - 1)
        seconds = (self.to_ns - self.from_ns) / 1e9
        rough = max(seconds, 0.001) / 14
        scale = 10 ** math.floor(math.log10(rough))
        step = next(scale * factor for factor in (1, 2, 5, 10) if scale * factor >= rough)
        parts = []
        for number in range(int(seconds / step) + 1):
            x = self._x(self.from_ns + number * step * 1e9)
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}" stroke="#eceff3"/>')
            label = f"{number * step:g} s"
            parts.append(f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle" fill="#667080">{label}</text>')
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}" stroke="#aab2bd"/>')
        return parts

    def _lane(self, parts: list[str], lane: str, number: int, y: float) -> float:
        """Draw one lane from ``y`` downwards; its height."""
        mine = [mark for mark in self.marks if mark.lane == lane]
        rows, row_of = self._rows(mine)
        is_node = any(view.node == lane for view in self.views) or any(span.node == lane for span in self.spans)
        band = BAND + 8 if is_node else 6
        height = 12 + band + ROW * max(rows, 0 if is_node else 1) + 6
        parts.append(f'<line x1="24" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dfe3e8"/>')
        parts.append(
            f'<text x="24" y="{y + 28:.1f}" font-size="13" font-weight="600" fill="#1c2430">{escape(lane)}</text>'
        )
        top = y + 12
        colour = COLOURS[number % len(COLOURS)]
        if is_node:
            x, wide = self._x(self.from_ns), self._x(self.to_ns) - self._x(self.from_ns)
            parts.append(f'<rect x="{x:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{BAND}" rx="4" fill="#f3f5f8"/>')
            parts += [self._span(span, top, colour) for span in self.spans if span.node == lane]
            parts += self._strip(lane, top + BAND + 2)
        for mark, row in zip(mine, row_of, strict=True):
            parts.append(self._mark(mark, top + band + ROW * row))
        return height

    def _span(self, span: Span, top: float, colour: str) -> str:
        x = self._x(span.from_ns)
        wide = max(2.0, self._x(span.to_ns) - x)
        words = f"leads · epoch …{span.epoch % 1_000_000:06d}"
        if wide < CHARACTER * len(words):
            words = f"…{span.epoch % 10_000:04d}"
        label = ""
        if wide >= CHARACTER * len(words):
            label = (
                f'<text x="{x + wide / 2:.1f}" y="{top + 16:.1f}" text-anchor="middle" fill="#ffffff">{words}</text>'
            )
        hint = f"{span.node} leads at epoch {span.epoch} for {(span.to_ns - span.from_ns) / 1e9:.3f} s"
        return (
            f'<g><title>{escape(hint)}</title><rect x="{x:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{BAND}" '
            f'rx="4" fill="{colour}"/>{label}</g>'
        )

    def _strip(self, lane: str, y: float) -> list[str]:
        """What the node says of Redis: a thin line, red while it has none, absent while it says nothing."""
        parts = []
        mine = [view for view in self.views if view.node == lane]
        for before, after in pairwise(mine):
            if after.at_ns - before.at_ns < BLIND_NS:
                x, end = self._x(before.at_ns), self._x(after.at_ns)
                colour = "#a9d5c4" if before.redis_connected else "#e2574c"
                parts.append(
                    f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0.5, end - x):.1f}" height="3" fill="{colour}"/>'
                )
        return parts

    def _rows(self, marks: Sequence[Mark]) -> tuple[int, list[int]]:
        """A row for each mark, so that neither bars nor labels touch."""
        ends: list[float] = []
        chosen = []
        for mark in marks:
            x = self._x(mark.from_ns)
            end = max(self._x(mark.to_ns), x + CHARACTER * len(mark.words) + 12)
            row = next((number for number, used in enumerate(ends) if used <= x), len(ends))
            if row == len(ends):
                ends.append(0.0)
            ends[row] = end + 4
            chosen.append(row)
        return len(ends), chosen

    def _mark(self, mark: Mark, top: float) -> str:
        x = self._x(mark.from_ns)
        wide = max(3.0, self._x(mark.to_ns) - x)
        anchor, place = "start", x + 5
        if place + CHARACTER * len(mark.words) > WIDTH - 4:
            anchor, place = "end", x - 4
        hint = f"{mark.words}: {(mark.to_ns - mark.from_ns) / 1e9:.3f} s"
        label = f'<text x="{place:.1f}" y="{top + 11.5:.1f}" text-anchor="{anchor}" fill="#7a4a12">'
        return (
            f'<g><title>{escape(hint)}</title><rect x="{x:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{ROW - 4}" '
            f'rx="3" fill="url(#hatch)" stroke="#e0a458" stroke-width="0.8"/>{label}{escape(mark.words)}</text></g>'
        )

    def _everywhere(self, mark: Mark, bottom: float) -> str:
        x = self._x(mark.from_ns)
        top = TOP + 22.0 * max(0, len(self.verdict) - 1)
        return (
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top - 6}" y2="{bottom}" stroke="#0d9268" stroke-dasharray="4 3"/>'
            f'<text x="{x:.1f}" y="{top - 10}" text-anchor="middle" fill="#0d9268">{escape(mark.words)}</text>'
        )

    def _legend(self, y: float) -> list[str]:
        items: list[tuple[str, Callable[[float], str]]] = [
            ("leadership, as far as it is certain", lambda x: _box(x, y, "#2f6fde")),
            ("fault, from its beginning to its end", lambda x: _box(x, y, "url(#hatch)")),
            ("the node says: Redis connected", lambda x: _line(x, y, "#a9d5c4")),
            ("… not connected", lambda x: _line(x, y, "#e2574c")),
        ]
        parts, x = [], float(LEFT)
        for words, draw in items:
            parts.append(draw(x))
            parts.append(f'<text x="{x + 26:.1f}" y="{y + 10}" fill="#667080">{words}</text>')
            x += 26 + CHARACTER * len(words) + 30
        return parts


def _box(x: float, y: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y}" width="20" height="12" rx="3" fill="{colour}"/>'


def _line(x: float, y: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y + 5}" width="20" height="3" fill="{colour}"/>'
