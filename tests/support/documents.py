"""The OpenAPI document of the routes as they are: made once for each process, as that takes more than a second."""

from functools import cache
from typing import Any

from rppam.app.api import bare_app


@cache
def described() -> dict[str, Any]:
    """All of it. Tests share it, so none of them changes it."""
    return bare_app().openapi()
