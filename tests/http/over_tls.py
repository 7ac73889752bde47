"""The application over TLS, for tests of HTTPS and of those who mistake it."""

import asyncio
import datetime
import ssl
from pathlib import Path
from typing import Final

import httpx

from rppam.config.settings import ApiSettings
from rppam.http.bounds import ApiLimits
from rppam.http.served_certificate import ServedCertificate
from rppam.http.server import ApiServer
from rppam.kernel.system_clock import SystemClock
from tests.support.authority import DAY, NOW, Authority
from tests.support.served import Served

PING: Final = "/system/health/ping"


def put(authority: Authority, path: Path, name: str = "127.0.0.1", **dates: datetime.datetime) -> Path:
    issued = authority.certify(name, **dates)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(issued.pem() + issued.key_pem())
    fresh.chmod(0o600)
    return fresh.rename(path)


class Tls:
    """The application over TLS, and its certificate."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.path = put(self.authority, folder / "api.pem", until=NOW + 40 * DAY)
        api = ApiSettings(host="127.0.0.1", port=1, workers=1, drain_s=1, tls_cert_path=self.path, tls_key_path=None,
                          tls_cert_password=None, tls_ca_path=None, trusted_proxies=(),
                          forwarded_header="Forwarded", metrics_access="open", metrics_token=None)  # fmt: skip
        found = ServedCertificate.of(api, SystemClock())
        assert found is not None
        self.certificate = found
        app = Served(folder / "keys", ApiLimits()).app
        self.server = ApiServer(app, "127.0.0.1", 0, tls=found)

    def trusting(self, authority: Authority | None = None) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str((authority or self.authority).path))

    async def open(self, context: ssl.SSLContext) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.server.port, ssl=context)

    async def ping(self, context: ssl.SSLContext) -> int:
        async with httpx.AsyncClient(verify=context, trust_env=False) as http:
            return (await http.get(f"https://127.0.0.1:{self.server.port}{PING}")).status_code
