"""Access tokens: the keys that sign them, what they say, and whether it still holds."""

from typing import TYPE_CHECKING

from rppam.kernel.slice import Command, Slice, exports

if TYPE_CHECKING:
    from rppam.access.tokens.claims import TEXT_MAX as TEXT_MAX, session_id_of as session_id_of
    from rppam.access.tokens.credentials import (
        Credential as Credential,
        bearer_token as bearer_token,
        check_handshake as check_handshake,
        check_same_origin as check_same_origin,
        cookie_header as cookie_header,
        credential as credential,
    )
    from rppam.access.tokens.host import host_of as host_of, local_url as local_url
    from rppam.access.tokens.key_files import (
        ensure_signing_keys as ensure_signing_keys,
        load_signing_keys as load_signing_keys,
    )
    from rppam.access.tokens.service import (
        MINUTES_MAX as MINUTES_MAX,
        IssuedToken as IssuedToken,
        KeySet as KeySet,
        Tokens as Tokens,
    )
    from rppam.access.tokens.target import (
        Target as Target,
        Where as Where,
        ca_option as ca_option,
        nodes_option as nodes_option,
        target_of as target_of,
        target_options as target_options,
    )
    from rppam.access.tokens.token_cache import Bearer as Bearer, TokenCache as TokenCache

SLICE = Slice(
    name="tokens",
    package=__name__,
    commands={"token": Command("cli", "Issue an admin token on this host, for scripts.")},
)

__getattr__ = exports(
    __name__,
    claims="TEXT_MAX session_id_of",
    credentials="Credential bearer_token check_handshake check_same_origin cookie_header credential",
    host="host_of local_url",
    key_files="ensure_signing_keys load_signing_keys",
    service="IssuedToken KeySet MINUTES_MAX Tokens",
    target="Target Where ca_option nodes_option target_of target_options",
    token_cache="Bearer TokenCache",
)
