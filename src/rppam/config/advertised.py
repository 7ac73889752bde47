"""Where others find this node when the config does not say it.

Decides the best guess: an address that the config gives for this host goes before the host's own name, which other
hosts can resolve only where a name server knows it. Only the others can find out if it is right.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit

from rppam.config.endpoint import Endpoint
from rppam.config.settings import ApiSettings, Settings


def member_address(settings: Settings, *, hostname: str) -> str:
    """``host:port`` for the other members: ``memberAddress``, or the first of memberHost, the host of
    ``node.advertiseUrl``, ``api.host`` and ``hostname`` that names one host, with ``memberPort``."""
    cluster = settings.cluster
    if cluster.member_address is not None:
        return cluster.member_address
    advertised = settings.node.advertise_url
    named = (cluster.member_host, urlsplit(advertised).hostname if advertised else None, settings.api.host)
    host = next((host for host in named if host and not _is_everywhere(host)), hostname)
    return str(Endpoint(host, cluster.member_port))


def _is_everywhere(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def api_url(settings: Settings, *, hostname: str) -> str:
    """Where others reach this node's API: ``node.advertiseUrl``, or made of ``api.host`` and ``api.port``."""
    api = settings.api
    host = hostname if _is_everywhere(api.host) else api.host
    return settings.node.advertise_url or f"{scheme(api)}://{Endpoint(host, api.port)}"


def scheme(api: ApiSettings) -> str:
    """``http`` or ``https``."""
    return "http" if api.tls_cert_path is None else "https"
