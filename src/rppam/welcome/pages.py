"""The page at ``/`` and its style. It says what this is and where to go, and nothing of this node or its cluster."""

from rppam.http.static import static_router

pages = static_router("rppam.welcome", "web", "welcome", {"/": "page.html"})
