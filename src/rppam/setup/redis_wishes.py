"""What ``rppam redis setup`` was asked for, checked before anything is written.

Decides which set-ups make sense (one Redis, or three with a sentinel beside each) and what each host is called.
"""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from rppam.config.endpoint import Endpoint, NotAnEndpointError, parse_endpoint
from rppam.config.kinds import PREFIX_FORM

SERVICE_FORM: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
MEMORY_FORM: Final = re.compile(r"([1-9][0-9]{0,6})(mb|gb)")
MEMORY_MB_MIN: Final = 256
GROUP: Final = 3


class WishError(ValueError):
    """Something on the command line makes no sense; ``str()`` says what was expected and found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """A Redis set-up."""

    hosts: tuple[Endpoint, ...]
    """One Redis, or three; the first one starts as primary."""
    sentinels: tuple[Endpoint, ...] = ()
    """Three, one beside each Redis, or none."""
    tls: bool = False
    prefix: str = "rppam:"
    service_name: str = "rppam-master"
    memory: str = "1gb"
    conf_dir: PurePosixPath
    """Where the files will stand on each Redis host."""
    data_dir: PurePosixPath
    node_dir: PurePosixPath
    """Where the password and the client certificate will stand on each node."""

    @property
    def has_sentinels(self) -> bool:
        """Whether Sentinel watches a primary and its replicas."""
        return bool(self.sentinels)

    def folder(self, number: int) -> str:
        """The folder of the host with that number, from 0."""
        return f"redis-{number + 1}" if self.has_sentinels else "redis"


def make_wishes(
    hosts: tuple[str, ...],
    sentinel_hosts: tuple[str, ...],
    *,
    sentinel: bool,
    tls: bool,
    prefix: str,
    service_name: str,
    memory: str,
    conf_dir: str,
    data_dir: str,
    node_dir: str,
) -> Wishes:
    """Checked wishes. Raises :class:`WishError`."""
    needed = GROUP if sentinel else 1
    redis = _endpoints("--host", hosts or (("127.0.0.1",) if not sentinel else ()), 6379)
    if len(redis) != needed:
        found = f"{len(redis)}"
        raise WishError(
            f"--host: expected {needed} of them ({'a primary and two replicas' if sentinel else 'one Redis'}), found "
            f"{found}. Give --host HOST or --host HOST:PORT once for each"
        )
    beside = sentinel_hosts or tuple(_bare(endpoint.host) for endpoint in redis)
    sentinels = _endpoints("--sentinel-host", beside, 26379) if sentinel else ()
    if sentinel and len(sentinels) != GROUP:
        raise WishError(f"--sentinel-host: expected {GROUP} of them, found {len(sentinels)}")
    if sentinel_hosts and not sentinel:
        raise WishError("--sentinel-host: expected together with --sentinel")
    if re.fullmatch(PREFIX_FORM, prefix) is None:
        raise WishError(f"--prefix: expected 2 to 64 characters that end in one ':', found {prefix!r}")
    for option, text in (("--conf-dir", conf_dir), ("--data-dir", data_dir), ("--node-dir", node_dir)):
        if not PurePosixPath(text).is_absolute() or set(text) & set(" \t\n\"'"):
            raise WishError(f"{option}: expected an absolute path without blanks and quotes, found {text!r}")
    if SERVICE_FORM.fullmatch(service_name) is None:
        raise WishError(f"--service-name: expected letters, digits, '.', '_' and '-', found {service_name!r}")
    size = MEMORY_FORM.fullmatch(memory.lower())
    if size is None or int(size[1]) * (1024 if size[2] == "gb" else 1) < MEMORY_MB_MIN:
        raise WishError(f"--memory: expected {MEMORY_MB_MIN}mb or more, such as 512mb or 1gb, found {memory!r}")
    return Wishes(
        hosts=redis,
        sentinels=sentinels,
        tls=tls,
        prefix=prefix,
        service_name=service_name,
        memory=memory.lower(),
        conf_dir=PurePosixPath(conf_dir),
        data_dir=PurePosixPath(data_dir),
        node_dir=PurePosixPath(node_dir),
    )


def _endpoints(option: str, texts: tuple[str, ...], usual_port: int) -> tuple[Endpoint, ...]:
    found: list[Endpoint] = []
    for text in texts:
        try:
            host, port = parse_endpoint(text)
        except NotAnEndpointError as error:
            raise WishError(f"{option}: expected HOST or HOST:PORT, found {error}") from None
        endpoint = Endpoint(host, port or usual_port)
        if endpoint in found:
            raise WishError(f"{option}: {endpoint} is given twice")
        found.append(endpoint)
    return tuple(found)


def _bare(host: str) -> str:
    return f"[{host}]" if ":" in host else host
