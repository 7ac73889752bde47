"""The console's page and its files, as ``console/`` in the checkout builds them. They hold nothing secret.

Decides only where they stand and which policies of trusted types they need: that of the framework, whose templates are
constant, and that of the page itself, for its own worker.
"""

from typing import Final

from rppam.http.static import bundle_router

PATH: Final = "/console/"
_TRUSTED: Final = ("svelte-trusted-html", "rppam-console")

pages, BUILD = bundle_router("rppam.console", "web", "console", (PATH, "/console"), "page.html", _TRUSTED)
