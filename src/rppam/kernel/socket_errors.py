"""Why this host gives no socket at all, whatever it is for: told apart by number, explained by whoever wanted one."""

import errno
from typing import Final

NO_FAMILY: Final = frozenset({errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})
"""This host does without that kind of address, IPv6 mostly."""
USED_UP: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""This process, or the host, has as many files or as much memory as it may."""
