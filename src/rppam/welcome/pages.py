"""The page at ``/``, and the one at ``/api`` that shows the description of the REST API.

They say what this is and where to go, and nothing of this node or its cluster.
"""

from rppam.http.static import static_router

pages = static_router("rppam.welcome", "web", "welcome", {"/": "page.html", "/api": "api.html"})
