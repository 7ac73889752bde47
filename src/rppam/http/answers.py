"""Descriptions of answers that several slices give; for :func:`rppam.http.routes.declare`."""

from typing import Final

BODY: Final = {
    400: "The body is not valid",
    413: "The body is larger than 2 MiB",
    415: "The body is not JSON",
}
HAD: Final = {304: "If-None-Match names its revision"}
NO_DATABASE: Final = "The database does not answer"
NO_ACCOUNT: Final = "The token belongs to no account"
NOT_OWNER: Final = "The password is wrong, or the log-in did not show the account's second factor (RPPAM-3132)"
GUESSES: Final = "Too many wrong guesses; `Retry-After` says how long to wait"
NO_USER: Final = {404: "No account has this id", 503: NO_DATABASE}
HANDED_ON: Final = {
    502: "It was handed on to the node that it is for, which did not believe it (RPPAM-5322), or whose answer cannot "
    "be passed on (RPPAM-5215)",
    504: "It was handed on to the node that it is for, and whether that carried it out is not known (RPPAM-5214)",
}
NOT_AT_THE_LEADER: Final = "It could not be handed on to the leader; `leader` and `leaderUrl` say who that is"
