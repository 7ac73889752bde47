"""The log-in that a person keeps on a workstation: ``rppam login`` writes it, commands that ask a node use it.

One file in the user's own folder, mode 0600, holds one log-in: the address, the token, and until when it counts by this
host's clock. The token goes to the address that gave it and to those that its user names beside it. It is renewed while
it is used. What it does not promise: that its session still runs; that is for the node to say.
"""

import json
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import click

from rppam.kernel.secret import Secret

REFRESH: Final = "/api/v1/auth/refresh"
_PORTS: Final = {"http": 80, "https": 443}
_S_MAX: Final = 366 * 24 * 3600


class Kept(NamedTuple):
    """A log-in. Times are seconds since 1970 by this host's clock."""

    url: str
    user: str
    token: Secret
    renew_from_s: int
    until_s: int
    ca: Path | None = None

    def is_at(self, *urls: str) -> bool:
        """Whether it was got at one of these addresses; of none: it is what is meant."""
        return not urls or _place(self.url) in map(_place, urls)


def kept_file() -> Path:
    """Where it stands, whether or not there is one."""
    if sys.platform == "win32":
        home = os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming"
    else:
        home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "rppam" / "login.json"


def read_kept() -> Kept | None:
    """The log-in; ``None``: there is none. Raises :class:`click.UsageError` for a file that is not to be believed."""
    path = kept_file()
    try:
        if sys.platform != "win32":
            _check_private(path)
        found = json.loads(path.read_text(encoding="utf-8"))
        ca = Path(found["ca"]) if found["ca"] else None
        token = Secret(str(found["token"]))
        return Kept(str(found["url"]), str(found["user"]), token, int(found["renewFrom"]), int(found["until"]), ca)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise click.UsageError(f"{path}: the log-in cannot be read: {error.strerror}. {_ANEW}") from None
    except (ValueError, KeyError, TypeError):
        raise click.UsageError(f"{path}: expected what 'rppam login' writes, found something else. {_ANEW}") from None


def write_kept(kept: Kept) -> Path:
    """Keep it in the place of any other. Raises :class:`OSError`."""
    from rppam.cli.files import write_private

    path = kept_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = {
        "url": kept.url,
        "user": kept.user,
        "token": kept.token.reveal(),
        "renewFrom": kept.renew_from_s,
        "until": kept.until_s,
        "ca": None if kept.ca is None else str(kept.ca),
    }
    write_private(path, json.dumps(facts, indent=2) + "\n")
    return path


def forget_kept() -> None:
    """Remove it. Raises :class:`OSError`."""
    kept_file().unlink(missing_ok=True)


def kept_of(url: str, user: str, token: Secret, ca: Path | None, now_s: int) -> Kept:
    """What a node has just given, for as long as the token says that it counts. ValueError for what is no token."""
    life_s = _life_s(token)
    return Kept(url, user, token, now_s + life_s // 2, now_s + life_s, ca)


def usable(urls: tuple[str, ...], ca: Path | None) -> Kept | None:
    """The log-in for these addresses, renewed where half of its time is over; ``None``: there is none for them.

    Raises :class:`click.UsageError` for one that has expired.
    """
    from rppam.kernel.system_clock import SystemClock

    kept = read_kept()
    if kept is None or not kept.is_at(*urls):
        return None
    kept = kept._replace(ca=ca or kept.ca)
    now_s = SystemClock().wall_ms() // 1000
    if now_s >= kept.until_s:
        again = f"rppam login --url {kept.url} --user {kept.user}"
        raise click.UsageError(f"the log-in of {kept.user} at {kept.url} has expired; log in again: {again}")
    return kept if now_s < kept.renew_from_s else _renewed(kept, now_s)


def _renewed(kept: Kept, now_s: int) -> Kept:
    """With a newer token of the same session, where the node gives one; the one that is there counts until it ends."""
    from rppam.http.client import NoAnswerError
    from rppam.http.download import pieces
    from rppam.http.trust import Trust

    with suppress(NoAnswerError, ValueError, KeyError, TypeError, OSError):
        answer = b"".join(pieces(kept.url.rstrip("/") + REFRESH, kept.token, Trust(kept.ca), {}))
        newer = kept_of(kept.url, kept.user, Secret(str(json.loads(answer)["accessToken"])), kept.ca, now_s)
        write_kept(newer)
        return newer
    return kept


_ANEW: Final = "'rppam logout' removes it; then log in again"


def _check_private(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise click.UsageError(
            f"{path}: others can read or write it (mode {mode:04o}), so the token is not used. {_ANEW}"
        )


def _place(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme)


def _life_s(token: Secret) -> int:
    """For how long a token counts from when it was given, as it says itself. ValueError where it does not."""
    import jwt

    try:
        claims = jwt.decode(token.reveal(), options={"verify_signature": False})
        life_s = int(claims["exp"]) - int(claims["iat"])
    except (jwt.PyJWTError, KeyError, TypeError):
        raise ValueError("expected an access token") from None
    if not 0 < life_s <= _S_MAX:
        raise ValueError("expected an access token that counts for a while")
    return life_s
