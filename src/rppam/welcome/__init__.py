"""The pages at ``/`` and ``/api``: what answers here, for people who typed the address into a browser."""

from rppam.kernel.slice import Slice

SLICE = Slice(name="welcome", package=__name__, routes=("pages:pages",))
