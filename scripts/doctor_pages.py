"""The pages that are made from the table of codes: the list of all, and the table for troubleshooting.

Pure text, used by ``make docs`` and by the test that a page is current.
"""

from collections.abc import Mapping
from typing import Final

from rppam.catalogue.fixes import Row
from rppam.catalogue.table import AREAS, ROWS, area_of

_PLATFORMS: Final = ("Debian/Ubuntu", "RHEL family", "Docker", "Windows")


SEEN: Final = (
    ("`redisConnected: false` in cluster health", ("RD-702", "RD-101", "RD-102", "RD-103", "RD-104", "RD-202")),
    ("`NOAUTH Authentication required`", ("RD-201", "RD-202")),
    ("`Connection refused`", ("RD-101",)),
    ("High memory usage on Redis", ("RD-308", "RD-207", "RD-501", "RD-502", "RD-309")),
    ("`LOADING Redis is loading the dataset in memory`", ("RD-204",)),
    ("The Docker container exits immediately", ("RD-801", "RD-802", "RD-803")),
    ("TLS handshake failure", ("RD-121", "RD-122", "RD-123", "RD-126", "RD-125", "RD-124", "RD-127", "RD-612")),
    ("Sentinel elects and then nothing happens", ("RD-409", "RD-410")),
    ("The node does not start", ("RD-600", "RD-603", "RD-604", "RD-608", "RD-609", "RD-901", "RD-904")),
    ("`this node belongs to no cluster yet` in the log", ("RD-902", "RD-936")),
    ("`does not hold the key of this cluster` in the log", ("RD-917", "RD-604", "RD-916")),
    (
        "`no connection to NODE` in the log: members do not reach each other",
        ("RD-912", "RD-911", "RD-913", "RD-914", "RD-915"),
    ),
    ("`members do not vote here` in the log", ("RD-604", "RD-906")),
    ("No leader while Redis is away", ("RD-907", "RD-933", "RD-912", "RD-902")),
    ("`unauthenticated heartbeats` in health or log", ("RD-947", "RD-948", "RD-906")),
    ("`safetyLevel` lower than expected", ("RD-932", "RD-931", "RD-934")),
)
"""The lines of the vendor article's troubleshooting table, and those it lacks."""


def doctor_page(generated: str, errors: Mapping[str, str]) -> str:
    """``docs/reference/doctor.md``: every code. ``errors``: the error about the same situation, by code."""
    lines = [
        "# Codes of the doctor",
        "",
        generated,
        "",
        "`rppam doctor --config FILE` runs every check from this host, in order, whether the node runs or not.",
        "Progress goes to stderr, findings to stdout, with `--json` as one object:",
        '`{"verdict","findings":[{"code","severity","what","evidence","fix"}]}`. A code never changes its meaning. The',
        "severity is the usual one; some findings are milder or graver by what was seen. No finding holds a secret.",
        "Below a code stands that of the [error](errors.md) about the same situation, where there is one.",
        "",
        "A running node looks at Redis by itself, at every new connection and once a minute, over a connection of its",
        "own. What it finds of the codes about Redis, Sentinel and the key prefix stands in `findings` of",
        "`GET /system/health/cluster`; errors and warnings are logged when they come and when they go, and",
        "`rppam status` shows them.",
        "",
        "| exit | verdict | means |",
        "|---|---|---|",
        "| 0 | `ok` | nothing is wrong; there may be notes |",
        "| 1 | `warnings` | it works and should be put right |",
        "| 2 | `errors` | it does not work, or is not safe |",
        "| 78 | `errors` | the configuration cannot be read |",
    ]
    for area, title in AREAS.items():
        lines += ["", f"## {title}", "", "| code | severity | finding | what to do |", "|---|---|---|---|"]
        lines += [
            f"| `{row.code}`{_also(errors.get(row.code))} | {row.severity} | {_cell(row.what)} | {_cell(row.advice)} |"
            for row in _rows(area)
        ]
    return "\n".join(lines) + "\n"


def troubleshooting_page(generated: str, errors: Mapping[str, str]) -> str:
    """``docs/operations/troubleshooting.md``: from what people see to the fix on each platform."""
    lines = [
        "# Troubleshooting",
        "",
        generated,
        "",
        "Run `rppam doctor --config /etc/rppam/rppam.config` first: it finds out which of these lines applies, with",
        "the evidence. [Codes of the doctor](../reference/doctor.md) lists them briefly. Never put a password on a",
        "command line: `redis-cli -a` shows it to every account of the host; `REDISCLI_AUTH` carries it unseen.",
        "",
        "| what is seen | codes, the likeliest first |",
        "|---|---|",
    ]
    lines += [
        f"| {_plain(seen)} | {', '.join(f'[{code}](#{_anchor(code)})' for code in codes)} |" for seen, codes in SEEN
    ]
    for area, title in AREAS.items():
        lines += ["", f"## {title}"]
        for row in _rows(area):
            lines += _section(row, errors.get(row.code))
    return "\n".join(lines) + "\n"


def _rows(area: int) -> list[Row]:
    return [row for code, row in sorted(ROWS.items()) if area_of(code) == area]


def _also(error: str | None) -> str:
    return f"<br>`{error}`" if error else ""


def _anchor(code: str) -> str:
    """Of the section's heading, as Markdown renderers make it."""
    heading = f"{code}: {ROWS[code].what.rstrip('.')}".lower()
    return "".join(letter for letter in heading.replace(" ", "-") if letter.isalnum() or letter in "-_")


def _section(row: Row, error: str | None) -> list[str]:
    seen = f"{error}; {row.symptom}" if error and error not in row.symptom else row.symptom
    lines = ["", f"### {row.code}: {row.what.rstrip('.')}", "", f"*Seen as:* {_plain(seen)}", ""]
    lines.append(f"*Fix:* {_plain(row.fix.common)}")
    platforms = [(name, line) for name, line in zip(_PLATFORMS, row.fix[1:], strict=True) if line]
    if platforms:
        lines += ["", "| on | do |", "|---|---|", *(f"| {name} | {_cell(line)} |" for name, line in platforms)]
    return lines


def _plain(text: str) -> str:
    return text.replace("<", "\\<").replace("*", "\\*")


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|").replace("\n", " ")
