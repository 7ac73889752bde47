"""How large is the first load of the console, and how soon is the largest thing of a page painted?

    python -m benchmarks.console [--loads 15] [--rows 100] [--write]

Three nodes with SQLite and Redis, and a real Chromium before one of them, loopback only. A load is one page in a
profile of its own, that of somebody who is signed in and whose browser has nothing kept: it counts the bytes that came
over the wire as they came, packed, and reads the browser's own `largest-contentful-paint` once the page has its data
and is at rest. Loads of all pages go in turn; medians are shown. The live stream and what the page asks of the API are
no part of the first load; they are shown beside it.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import rppam.app.slices  # noqa: F401 - declares the settings
from benchmarks.machine import facts, load, machine, write_section
from tests.console.conftest import CHROMIUM, FLAGS, PASSWORD, cluster
from tests.console.places import asking
from tests.support.lab import HOST, Lab
from tests.support.redis_servers import SERVERS, Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, CDPSession

PAGES: Final = {"start": "", "cluster": "cluster", "vault": "vault", "audit": "audit"}
BYTES_MAX: Final = 150 * 1024
PAINT_MS_MAX: Final = 1_000.0
REST_MS: Final = 700
WATCH: Final = """
    globalThis.painted = [];
    new PerformanceObserver((list) => {
        for (const one of list.getEntries())
            globalThis.painted.push([one.startTime, one.element ? one.element.tagName.toLowerCase() : ""]);
    }).observe({type: "largest-contentful-paint", buffered: true});
"""


class Loaded(NamedTuple):
    """One load of one page."""

    first: int
    """Bytes of the page, its scripts, styles and pictures, as they came."""
    asked: int
    """Bytes of answers of the API."""
    paint_ms: float
    """When the largest thing was painted, since the page was asked for."""
    what: str
    """Which element that was."""


class Wire:
    """Counts what comes."""

    def __init__(self, session: "CDPSession") -> None:
        self.first, self.asked = 0, 0
        self._urls: dict[str, str] = {}
        session.send("Network.enable")
        session.on("Network.requestWillBeSent", self._sent)
        session.on("Network.loadingFinished", self._came)

    def _sent(self, event: dict[str, Any]) -> None:
        self._urls[event["requestId"]] = event["request"]["url"]

    def _came(self, event: dict[str, Any]) -> None:
        url, size = self._urls.get(event["requestId"], ""), int(event["encodedDataLength"])
        if "/console" in url:
            self.first += size
        elif url.startswith("http"):
            self.asked += size


def filled(lab: Lab, rows: int) -> None:
    """Something to see: targets, accounts, entries of the vault, and an event for each."""
    ask = asking(lab)
    for number in range(rows):
        host = ask("POST", "/api/v1/resources", name=f"web{number}", kind="ssh", address=f"10.0.0.{number % 250 + 1}")
        account = ask("POST", "/api/v1/accounts", resourceId=host["id"], name="root")
        entry = {"folder": f"servers/hall-{number % 5}", "name": f"root of web{number}", "type": "password"}
        ask("POST", "/api/v1/vault/entries", **entry, accountId=account["id"], fields={"password": f"secret {number}"})


@contextmanager
def browsing() -> Iterator["Browser"]:
    from playwright.sync_api import sync_playwright

    if not CHROMIUM.exists():
        raise SystemExit(f"{CHROMIUM} is not here: 'make servers' installs it")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def signed_in(browser: "Browser", origin: str) -> Any:
    """What a browser keeps of a log-in."""
    context = browser.new_context(locale="en-GB")
    page = context.new_page()
    page.goto(f"{origin}/console/")
    page.get_by_label("User name").fill("sue")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Sign out").wait_for()
    state = context.storage_state()
    context.close()
    return state


def loaded(browser: "Browser", origin: str, path: str, state: Any) -> Loaded:
    """Load a page with nothing kept."""
    context = browser.new_context(storage_state=state, locale="en-GB", viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.add_init_script(WATCH)
    wire = Wire(context.new_cdp_session(page))
    page.goto(f"{origin}/console/#/{path}")
    page.locator("main h1").first.wait_for()
    page.get_by_role("status").get_by_text("Healthy").wait_for()
    page.locator("main [aria-busy=true]").first.wait_for(state="detached")
    page.wait_for_timeout(REST_MS)
    painted = page.evaluate("globalThis.painted")
    context.close()
    if not painted or not wire.first:
        raise SystemExit(f"#/{path}: the browser told of no paint or of no byte")
    when, what = painted[-1]
    return Loaded(wire.first, wire.asked, float(when), str(what))


def run(*, loads: int, rows: int) -> dict[str, list[Loaded]]:
    """All loads of each page."""
    kind = next(one for one in reversed(SERVERS) if one.find() is not None)
    found: dict[str, list[Loaded]] = {name: [] for name in PAGES}
    with (
        tempfile.TemporaryDirectory(prefix="rppam-console-") as folder,
        Server(kind) as redis,
        cluster(redis, Path(folder) / "lab") as lab,
        browsing() as browser,
    ):
        filled(lab, rows)
        origin = f"http://{HOST}:{lab.running()[0].port}"
        state = signed_in(browser, origin)
        for path in PAGES.values():
            loaded(browser, origin, path, state)  # the first of all finds a cold node
        for number in range(loads):
            for name, path in PAGES.items():
                found[name].append(loaded(browser, origin, path, state))
            print(f"load {number + 1} of {loads}", file=sys.stderr)
    return found


def is_met(found: dict[str, list[Loaded]]) -> bool:
    """Whether each page is as small and as soon as it should be."""
    return all(
        statistics.median(one.first for one in loads) <= BYTES_MAX
        and statistics.median(one.paint_ms for one in loads) < PAINT_MS_MAX
        for loads in found.values()
    )


def table(found: dict[str, list[Loaded]]) -> str:
    lines = [
        "| page | first load, kB packed | asked of the API, kB | largest paint, median ms | slowest | which element |",
        "|---|---|---|---|---|---|",
    ]
    for name, loads in found.items():
        first = statistics.median(one.first for one in loads) / 1024
        asked = statistics.median(one.asked for one in loads) / 1024
        paints = [one.paint_ms for one in loads]
        lines.append(
            f"| {name} | {first:.1f} | {asked:.1f} | {statistics.median(paints):.0f} | {max(paints):.0f} "
            f"| `{statistics.mode(one.what for one in loads)}` |"
        )
    return "\n".join(lines)


def page_of(found: dict[str, list[Loaded]], before: dict[str, str], rows: int) -> str:
    """The section of the measurements."""
    loads = len(next(iter(found.values())))
    verdict = "met" if is_met(found) else "not met"
    return f"""## The first load of the console, and its largest paint

`python -m benchmarks.console --write`

{facts(before)}
- load after: {load()}

{loads} loads of each page in Chromium, with nothing kept by the browser; three nodes, {rows} targets, accounts and
entries.

{table(found)}

Asked for: at most {BYTES_MAX // 1024} kB, and less than {PAINT_MS_MAX / 1000:g} s: {verdict}.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--loads", type=int, default=15)
    parser.add_argument("--rows", type=int, default=100, help="Targets, accounts and entries that there are.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true", help="Put the result into docs/reference/measurements.md.")
    options = parser.parse_args()
    before = machine()
    found = run(loads=options.loads, rows=options.rows)
    if options.json:
        print(json.dumps({name: [one._asdict() for one in loads] for name, loads in found.items()}))
    else:
        print(table(found))
    if options.write:
        write_section("console", page_of(found, before, options.rows))
    return 0 if is_met(found) else 1


if __name__ == "__main__":
    sys.exit(main())
