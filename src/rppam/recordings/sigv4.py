"""The signature by which S3 knows who asks: AWS Signature Version 4, in the header, over the whole body. Pure.

What it does not do: sessions' tokens, signed URLs, and bodies that are signed in parts.
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple
from urllib.parse import quote

from rppam.kernel.secret import Secret

_METHOD: Final = "AWS4-HMAC-SHA256"
_SERVICE: Final = "s3"


class S3Keys(NamedTuple):
    """Who asks."""

    ident: str
    secret: Secret


def signed_headers(
    keys: S3Keys,
    region: str,
    method: str,
    host: str,
    path: str,
    query: Mapping[str, str],
    body: bytes,
    now_ms: int,
    more: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The headers of one request, the signature among them. ``path`` is not quoted yet; ``more``: further headers."""
    stamp = datetime.fromtimestamp(now_ms // 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {
        **(more or {}), "Host": host, "X-Amz-Content-Sha256": hashlib.sha256(body).hexdigest(), "X-Amz-Date": stamp,
    }  # fmt: skip
    lower = {name.lower(): value.strip() for name, value in headers.items()}
    names = ";".join(sorted(lower))
    lines = [
        method,
        quoted(path),
        query_of(query),
        *(f"{name}:{lower[name]}" for name in sorted(lower)),
        "",
        names,
        headers["X-Amz-Content-Sha256"],
    ]
    scope = f"{stamp[:8]}/{region}/{_SERVICE}/aws4_request"
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    key = f"AWS4{keys.secret.reveal()}".encode()
    for word in scope.split("/"):
        key = hmac.digest(key, word.encode(), "sha256")
    signature = hmac.digest(key, f"{_METHOD}\n{stamp}\n{scope}\n{digest}".encode(), "sha256").hex()
    headers["Authorization"] = (
        f"{_METHOD} Credential={keys.ident}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return headers


def quoted(path: str) -> str:
    """A path as it stands in the request."""
    return quote(path, safe="/~")


def query_of(query: Mapping[str, str]) -> str:
    """The query as it stands in the request: in the order in which it is signed."""
    return "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(query.items()))
