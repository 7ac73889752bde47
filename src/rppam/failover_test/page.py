"""The report as one HTML page: readable in light and dark, without another host, a script, or a way to bring one in.

The report itself travels in the page as JSON, so that :func:`report_in` reads it again from either form.
"""

import json
from html import escape
from typing import Any, Final

from rppam.failover_test.report import NoReportError, Report, check_report, digest_of

_OPEN: Final = '<script type="application/json" id="report">'
_CLOSE: Final = "</script>"
WIDTH: Final = 1_000
_LANES: Final = ("events", "write", "read")
_STYLE: Final = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--muted:#57606a;--line:#d0d7de;--good:#116329;--bad:#a40e26;
--box:#f6f8fa}
@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--muted:#9198a1;--line:#3d444d;--good:#57d364;
--bad:#ff8f87;--box:#161b22}}
body{background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;
padding:0 1rem}
h1{margin:0 0 .25rem}h2{margin:2rem 0 .5rem}p.sub{color:var(--muted);margin:0}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.4rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
td,code{overflow-wrap:anywhere}.verdict{font-weight:700;white-space:nowrap}.held{color:var(--good)}.broken{color:var(--bad)}
.sum{border:1px solid var(--line);background:var(--box);border-radius:6px;padding:.75rem 1rem;margin:1rem 0}
svg{width:100%;height:auto;border:1px solid var(--line);border-radius:6px;background:var(--box)}
svg text{fill:var(--fg);font:12px system-ui,sans-serif}
.scroll{overflow-x:auto}.scroll svg{min-width:36rem}
"""


def page_of(report: Report) -> str:
    """The page."""
    passed = bool(report["passed"])
    word = "All five promises were kept" if passed else "A promise was broken"
    kept = sum(1 for one in report["verdicts"] if one["held"])
    facts: list[tuple[str, object]] = [
        ("Cluster", report.get("cluster")),
        ("Method", f"{report['method']}: {report.get('methodMeaning', '')}"),
        ("Begun", report.get("startedAt")),
        ("By", report.get("by")),
        ("Test", report.get("test")),
        ("Leader before", report.get("leader")),
        ("Leader after", report.get("promoted") or "none"),
        ("Promoted after", _ms(report.get("promotedAfterMs"))),
        ("Back as standby after", _ms(report.get("backAfterMs"))),
        ("Requests", f"{report.get('requests', 0)}, of which {report.get('failed', 0)} failed"),
        ("Between first and last failed request", _ms(report.get("outageMs"))),
        ("Acknowledged writes", report.get("writesAcknowledged")),
        ("Sent to", ", ".join(map(str, report.get("urls", [])))),
    ]
    body = [
        f"<h1>{_text(word)}</h1>",
        f'<p class="sub">Failover test of {_text(report.get("cluster", ""))}: {kept} of {len(report["verdicts"])}</p>',
        f'<div class="sum"><table>{"".join(map(_fact, facts))}</table></div>',
        "<h2>Promises</h2><table><thead><tr><th scope=col>Promise</th><th scope=col>Verdict</th>"
        "<th scope=col>What shows it</th></tr></thead><tbody>",
        *(_verdict(one) for one in report["verdicts"]),
        "</tbody></table><h2>Timeline</h2>",
        timeline_svg(report),
        _events(report.get("timeline", [])),
        _failures(report),
        f"<h2>Digest</h2><p>SHA-256 of the report, as the ledger's event <code>failover.test</code> has it: "
        f"<code>{digest_of(report)}</code></p>",
    ]
    data = json.dumps(report, ensure_ascii=True).replace("<", "\\u003c")
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Failover test: {_text(word)}</title><style>{_STYLE}</style></head><body>"
        f"{''.join(body)}{_OPEN}{data}{_CLOSE}</body></html>\n"
    )


def report_in(text: str) -> Report:
    """The report in a JSON or HTML file. Raises :class:`NoReportError`."""
    found = text.strip()
    if found.startswith("<"):
        _, opened, rest = found.partition(_OPEN)
        found, closed, _ = rest.partition(_CLOSE)
        if not opened or not closed:
            raise NoReportError("expected a page of 'rppam failover-test --report', found another HTML page")
    try:
        return check_report(json.loads(found))
    except (ValueError, RecursionError) as error:
        raise NoReportError(str(error) if isinstance(error, NoReportError) else "it is neither JSON nor HTML") from None


def timeline_svg(report: Report) -> str:
    """Failed requests and events over time, the fault at 0."""
    events = [one for one in report.get("timeline", []) if isinstance(one.get("at_ms"), int)]
    failures = report.get("failures", [])
    times = [one["at_ms"] for one in (*events, *failures)] or [0]
    first, last = min(*times, 0), max(*times, 1_000)
    span = max(1, last - first)

    def place(at_ms: int) -> float:
        return float(round(90 + (at_ms - first) / span * (WIDTH - 110), 1))

    parts = [f'<rect x="{place(one["at_ms"]) - 1.5}" y="{_lane(one["what"])}" width="3" height="24" fill="var(--bad)">'
             f"<title>{_text(one['what'])} at {one['at_ms']} ms: {_text(one['why'])}</title></rect>"
             for one in failures]  # fmt: skip
    parts += [
        f'<line x1="{place(one["at_ms"])}" x2="{place(one["at_ms"])}" y1="24" y2="128" stroke="{_colour(one)}" '
        f'stroke-width="2"><title>{one["at_ms"]} ms: {_text(one["text"])}</title></line>'
        for one in events
    ]
    parts += [f'<text x="8" y="{_lane(name) + 16}">{name}s</text>' for name in _LANES[1:]]
    step = next(one for one in (250, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, span) if span / one <= 14)
    for tick in range(-(-first // step) * step, last + 1, step):
        parts.append(f'<text x="{place(tick)}" y="150" text-anchor="middle">{tick / 1000:g} s</text>')
        parts.append(f'<line x1="{place(tick)}" x2="{place(tick)}" y1="128" y2="134" stroke="var(--muted)"/>')
    return (
        f'<div class="scroll"><svg viewBox="0 0 {WIDTH} 160" role="img" aria-label="Failed requests and events over '
        f'time; the fault is at 0 s">{"".join(parts)}</svg></div>'
    )


def _fact(fact: tuple[str, object]) -> str:
    return f"<tr><th scope=row>{_text(fact[0])}</th><td>{_text(fact[1])}</td></tr>"


def _lane(name: str) -> int:
    return 32 if name == "write" else 84


def _colour(event: dict[str, Any]) -> str:
    return (
        "var(--bad)"
        if event.get("kind") == "fault"
        else "var(--good)"
        if event.get("kind") == "good"
        else "var(--muted)"
    )


def _verdict(one: dict[str, Any]) -> str:
    held = bool(one["held"])
    word = "✓ kept" if held else "✗ broken"
    return (
        f"<tr><td>{_text(one['promise'])}. {_text(one['title'])}</td>"
        f'<td class="verdict {"held" if held else "broken"}">{word}</td><td>{_text(one["why"])}</td></tr>'
    )


def _events(events: list[dict[str, Any]]) -> str:
    rows = "".join(f"<tr><td>{_ms(one.get('at_ms'))}</td><td>{_text(one.get('text', ''))}</td></tr>" for one in events)
    return f"<table><thead><tr><th scope=col>When</th><th scope=col>What</th></tr></thead><tbody>{rows}</tbody></table>"


def _failures(report: Report) -> str:
    failures = report.get("failures", [])
    if not failures:
        return "<h2>Failed requests</h2><p>None.</p>"
    rows = "".join(
        f"<tr><td>{_ms(one['at_ms'])}</td><td>{_text(one['what'])}</td><td>{_text(one['url'])}</td>"
        f"<td>{_text(one['why'])}</td></tr>"
        for one in failures
    )
    more = report.get("failed", 0) - len(failures)
    left = f"<p>{more} more are not listed.</p>" if more > 0 else ""
    head = "".join(f"<th scope=col>{name}</th>" for name in ("When", "What", "Sent to", "Why"))
    return f"<h2>Failed requests</h2><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{left}"


def _ms(value: object) -> str:
    return f"{value} ms" if isinstance(value, int) else "–"


def _text(value: object) -> str:
    return escape(str(value if value is not None else "–"))
