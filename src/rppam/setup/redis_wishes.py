"""What ``rppam redis setup`` was asked for, checked before anything is written, and the secrets of that set-up.

Decides which set-ups make sense (one Redis, or three with a sentinel beside each). Secrets are made once, kept in one
private file and used again by the next run. Passwords are 48 letters and digits (285 bits), as the vendor article's
generator makes them: no character that any configuration file, URL or shell would take for something else.
"""

import json
import re
import secrets
import string
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Final, Self

from rppam.config.endpoint import Endpoint, NotAnEndpointError, parse_endpoint
from rppam.config.kinds import PREFIX_FORM
from rppam.kernel.secret import Secret

MEMORY_MB_MIN: Final = 256
GROUP: Final = 3
FILE: Final = "secrets.json"
_LETTERS: Final = string.ascii_letters + string.digits


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

    def folder(self, number: int) -> str:
        """The folder of the host with that number, from 0."""
        return f"redis-{number + 1}" if self.sentinels else "redis"


def make_wishes(
    hosts: tuple[str, ...],
    sentinel_hosts: tuple[str, ...],
    *,
    sentinel: bool,
    tls: bool,
    prefix: str,
    service_name: str,
    memory: str,
    **folders: str,
) -> Wishes:
    """Checked wishes; ``folders`` are conf_dir, data_dir and node_dir. Raises :class:`WishError`."""
    needed = GROUP if sentinel else 1
    redis = _endpoints("--host", hosts or (("127.0.0.1",) if not sentinel else ()), 6379)
    if len(redis) != needed:
        raise WishError(
            f"--host: expected {needed} of them ({'a primary and two replicas' if sentinel else 'one Redis'}), found "
            f"{len(redis)}. Give --host HOST or --host HOST:PORT once for each"
        )
    beside = sentinel_hosts or tuple(f"[{one.host}]" if ":" in one.host else one.host for one in redis)
    sentinels = _endpoints("--sentinel-host", beside, 26379) if sentinel else ()
    if sentinel and len(sentinels) != GROUP:
        raise WishError(f"--sentinel-host: expected {GROUP} of them, found {len(sentinels)}")
    if sentinel_hosts and not sentinel:
        raise WishError("--sentinel-host: expected together with --sentinel")
    if re.fullmatch(PREFIX_FORM, prefix) is None:
        raise WishError(f"--prefix: expected 2 to 64 characters that end in one ':', found {prefix!r}")
    for name, text in folders.items():
        if not PurePosixPath(text).is_absolute() or set(text) & set(" \t\n\"'"):
            option = name.replace("_", "-")
            raise WishError(f"--{option}: expected an absolute path without blanks and quotes, found {text!r}")
    if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", service_name) is None:
        raise WishError(f"--service-name: expected letters, digits, '.', '_' and '-', found {service_name!r}")
    size = re.fullmatch(r"([1-9][0-9]{0,6})(mb|gb)", memory.lower())
    if size is None or int(size[1]) * (1024 if size[2] == "gb" else 1) < MEMORY_MB_MIN:
        raise WishError(f"--memory: expected {MEMORY_MB_MIN}mb or more, such as 512mb or 1gb, found {memory!r}")
    return Wishes(
        hosts=redis,
        sentinels=sentinels,
        tls=tls,
        prefix=prefix,
        service_name=service_name,
        memory=memory.lower(),
        **{name: PurePosixPath(text) for name, text in folders.items()},
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


def new_password() -> Secret:
    """A password for Redis."""
    return Secret("".join(secrets.choice(_LETTERS) for _ in range(48)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Passwords:
    """Every secret that the files of a set-up hold."""

    default: Secret
    """Of the user ``default``: ``requirepass``, for administrators."""
    node: Secret
    """Of the user that nodes use."""
    witness: Secret
    """Of the user that witnesses use."""
    replica: Secret
    """Of the user that replicas copy with."""
    sentinel: Secret
    """Of the user that sentinels use on Redis."""
    at_sentinel: Secret
    """Of the sentinels themselves."""
    pfx: Secret
    """Of the client certificate."""
    config_name: Secret
    """What CONFIG is called."""

    @classmethod
    def make(cls) -> Self:
        """Fresh ones."""
        made = {entry.name: new_password() for entry in fields(cls)}
        return cls(**made | {"config_name": Secret("RPPAM_CONFIG_" + secrets.token_hex(8))})

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Those of an earlier run, or ``None``. Raises :class:`WishError` when the file is not whole."""
        try:
            held = json.loads((folder / FILE).read_text(encoding="utf-8"))
            held.setdefault("witness", new_password().reveal())  # the release before had none
            return cls(**{entry.name: _secret(held[entry.name]) for entry in fields(cls)})
        except FileNotFoundError:
            return None
        except (AttributeError, KeyError, TypeError, ValueError):
            raise WishError(
                f"{folder / FILE} is not the file of passwords that this command wrote; restore it, or choose another "
                "--dir"
            ) from None

    def text(self) -> str:
        """The file's content."""
        return json.dumps({entry.name: getattr(self, entry.name).reveal() for entry in fields(self)}, indent=2) + "\n"


def _secret(value: object) -> Secret:
    if not isinstance(value, str) or not value or set(value) - set(_LETTERS + "_"):
        raise ValueError("not a password of ours")
    return Secret(value)
