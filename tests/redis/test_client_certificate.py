"""A link that shows a client certificate out of a PKCS#12 file, on real servers that demand one."""

from pathlib import Path
from typing import Any

import pytest

from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy
from rppam.redis.endpoint_provider import DirectEndpoints
from rppam.redis.errors import StoreError, StoreTlsFailed
from rppam.redis.link import Link
from rppam.redis.options import LinkOptions
from rppam.redis.tls import TlsFiles, server_certificate_warning
from tests.redis.conftest import eventually
from tests.redis.test_tls import authority, kind, words
from tests.support.authority import DAY, NOW, Authority
from tests.support.ports import free_port
from tests.support.redis_servers import PASSWORD, Server, ServerKind

pytestmark = pytest.mark.integration

__all__ = ["authority", "kind"]


def link_to(port: int, tls: TlsFiles, host: str = "127.0.0.1", *, retries: int = 1, name: str | None = None) -> Link:
    options = LinkOptions(
        endpoints=((host, port),),
        password=Secret(PASSWORD),
        connect_timeout_ms=2_000,
        command_timeout_ms=2_000,
        connect_retry=retries,
        ssl=tls.load(),
        server_hostname=name,
    )
    return Link(options, clock=SystemClock(), entropy=SystemEntropy(), source=DirectEndpoints(options, tls))


def files(ca: Path, pfx: Path | None, password: str = "päss") -> TlsFiles:
    return TlsFiles(ca_path=ca, cert_path=pfx, cert_password=Secret(password), clock=SystemClock())


async def refusal(port: int, tls: TlsFiles, **more: Any) -> StoreError:
    link = link_to(port, tls, **more)
    with pytest.raises(StoreError) as caught:
        await link.start()
    await link.stop()
    return caught.value


async def test_a_certificate_through_two_authorities_opens_the_door_and_is_renewed_at_a_reconnect(
    kind: ServerKind, authority: Authority
) -> None:
    middle = Authority(authority.folder, "middle", above=authority)
    path = middle.pfx("node-old", chain=(middle, authority))
    port = free_port()
    with Server(kind, *words(authority, "127.0.0.1", port, clients="yes")) as server:
        tls = files(authority.path, path)
        link = link_to(port, tls)
        await link.start()
        assert await link.command("PING") == b"PONG"
        first = link.connection
        assert first is not None
        assert "expires in 0 days" in server_certificate_warning(
            first.target.address, first.certificate, SystemClock().wall_ms()
        )
        path.write_bytes(middle.pfx("node-new", chain=(middle,), file="next.pfx").read_bytes())
        server.restart()
        await eventually(lambda: link.connection is not None and link.connection.number > first.number)
        assert await link.command("PING") == b"PONG"
        assert tls.client is not None
        assert tls.client.subject == "CN=node-new"
        await link.stop()


async def test_each_way_of_being_refused_is_told_by_name(kind: ServerKind, authority: Authority) -> None:
    (authority.folder / "other").mkdir()
    other = Authority(authority.folder / "other")
    good = authority.pfx("node")
    port = free_port()
    with Server(kind, *words(authority, "redis.example", port, clients="yes")) as server:
        at = f"127.0.0.1:{port}"
        named = {"name": "redis.example"}
        link = link_to(port, files(authority.path, good), name="redis.example")
        await link.start()
        await link.stop()

        assert str(await refusal(port, files(authority.path, None), **named)) == (
            f"the TLS handshake with Redis at {at} failed (TLSV13_ALERT_CERTIFICATE_REQUIRED); "
            "Redis demands a client certificate: set tlsCertPath to a .pfx that it trusts"
        )
        stranger = await refusal(port, files(authority.path, other.pfx("node")), **named)
        assert isinstance(stranger, StoreTlsFailed)
        assert str(stranger).endswith(
            "Redis does not accept our client certificate: check tlsCertPath, its authority and its dates"
        )
        wrong_ca = await refusal(port, files(other.path, good), **named)
        assert "is not accepted: " in str(wrong_ca)
        assert "set redis.tlsCaPath to the certificate of the authority that signed it" in str(wrong_ca)
        wrong_name = await refusal(port, files(authority.path, good), name="else.example")
        assert str(wrong_name).endswith(
            "connect by a name or address that stands in it, or give the name it stands for as sslHost"
        )
        old = authority.pfx("node", file="old.pfx", since=NOW - 9 * DAY, until=NOW - DAY)
        expired = await refusal(port, files(authority.path, old), **named)
        assert str(expired).startswith("redis.tlsCertPath: expected a client certificate that is valid now")
        plain = await refusal(server.port, files(authority.path, good), **named)
        assert "TLS" in str(plain)
        assert "ssl=false" in str(plain) or "hung up" in str(plain)
