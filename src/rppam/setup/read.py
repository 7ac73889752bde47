"""Reading the small texts that ``rppam init`` takes over: keys, licences, bundles.

A file that may not be read, or holds what cannot be right, ends in a sentence. Whether the text is a good key or
licence is decided by whoever understands it.
"""

import errno
from pathlib import Path
from urllib.parse import quote

from rppam.kernel.secret import Secret
from rppam.setup.errors import InitError
from rppam.setup.plan import has_password


def text_of(path: Path, *, errors: str = "strict") -> str | None:
    """The ASCII text of the file; ``None`` where there is none.

    ``errors`` is that of :meth:`bytes.decode`: ``"replace"`` where whoever gets the text tells what is wrong with it.
    Raises :class:`InitError`.
    """
    try:
        return path.read_text(encoding="ascii", errors=errors)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # no file can have such a name: base64 where a path may stand, too
            return None
        raise InitError(f"{path} cannot be read: {error.strerror}. Run this as root, or as who owns the file") from None
    except UnicodeDecodeError:
        raise InitError(f"{path}: expected ASCII text, found other bytes. Put the file back as it was made") from None


def url_with_password(url: str, password: Secret) -> Secret:
    """A database's URL with the password in its place. Raises :class:`InitError`."""
    scheme, there, rest = url.partition("://")
    ends = min((rest.find(sign) for sign in "/?" if sign in rest), default=len(rest))  # an "@" behind is not the host's
    user, at, host = rest[:ends].rpartition("@")
    if has_password(url) or not (there and at and user) or not password:
        found = "an empty password" if not password else "one that has a password" if has_password(url) else "another"
        raise InitError(
            "--database: expected a URL with a user and without a password, such as "
            f"postgresql://rppam@db.example.com/rppam, found {found}. The password goes into the file"
        )
    return Secret(f"{scheme}://{user}:{quote(password.reveal(), safe='')}@{host}{rest[ends:]}")
