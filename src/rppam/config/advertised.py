"""Where others find this node when the config does not say it, and what is to say about how it is reached.

Decides the best guess: an address that somebody wrote for this host goes before the host's own name, which other hosts
can resolve only where a name server knows it. Whether it is right, the others find out.
"""

import re
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from rppam.config.endpoint import Endpoint
from rppam.config.settings import ApiSettings, Settings

_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]{15,511}[A-Za-z0-9._~+/=-]")


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
    """What the API speaks."""
    return "http" if api.tls_cert_path is None else "https"


def metrics_problem(api: ApiSettings) -> tuple[str, str, str, str] | None:
    """What is wrong with who may read the metrics: place, expected, found, fix."""
    make = "Make one with: openssl rand -hex 32."
    token = api.metrics_token
    if api.metrics_access == "token" and token is None:
        return "api.metricsToken", "a token, as api.metricsAccess is token", "none", make
    if token is not None and not _TOKEN.fullmatch(token.reveal()):
        found = f"{len(token.reveal())} characters, or others than letters, digits and -._~+/="
        return "api.metricsToken", "16 to 512 characters of a token (RFC 6750)", found, make
    return None


def api_warnings(api: ApiSettings, advertised: str | None) -> Iterator[str]:
    """What should be put right about how the API is reached. ``advertised`` is ``node.advertiseUrl``."""
    is_https = (advertised or "").startswith("https://")
    if api.metrics_token is not None and api.metrics_access != "token":
        yield f"api.metricsToken: has no effect while api.metricsAccess is {api.metrics_access}"
    if api.tls_cert_path is not None:
        if advertised and not is_https:
            yield f"node.advertiseUrl: says {advertised}, and the API speaks TLS (api.tlsCertPath): write https://"
        return
    for name, given in (("tlsKeyPath", api.tls_key_path), ("tlsCertPassword", api.tls_cert_password)):
        if given is not None:
            yield f"api.{name}: has no effect without api.tlsCertPath"
    if not is_https and not _is_loopback(api.host):
        yield (
            f"api.host: {api.host} is reached from other hosts without TLS, so passwords and tokens can be read on the "
            "way; set api.tlsCertPath, or node.advertiseUrl to the https:// URL of a balancer that ends TLS"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower().removesuffix(".") == "localhost"
