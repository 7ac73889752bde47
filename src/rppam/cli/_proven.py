"""Where a command sends the administrator's token besides the node that it was told to ask.

Addresses of the API stand in Redis, which is trusted with no token. So it goes only where the asked node has proven
that a node of the cluster is (``addressProven`` in its health), and never on without TLS once it came with it. An older
node that does not tell it has proven nothing. What it does not promise: that the asked node is honest; the
administrator named it.
"""

from urllib.parse import urlsplit

from rppam.cli._view import View

_HTTPS = "https"


def why_no_token(view: View, asked: str, url: str) -> str:
    """Why the token that goes to the node at ``asked``, whose view this is, does not go to ``url``; empty when it may.

    Else it names the address and the reason; what to do instead is for the command to say.
    """
    url = url.rstrip("/")
    if url == asked.rstrip("/"):
        return ""
    if _scheme(asked) == _HTTPS and _scheme(url) != _HTTPS:
        why = f"it is reached without https, and {asked} was asked with it"
    elif any(peer.address_proven and peer.url.rstrip("/") == url for peer in view.peers):
        return ""
    else:
        why = (
            f"{view.node or asked} has not proven that a node of the cluster is there (addressProven in its health), "
            "and Redis, which names the address, is trusted with no token"
        )
    return f"no token is sent to {url}: {why}"


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""  # what stands in Redis may be anything
