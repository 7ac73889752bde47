"""The vault over REST: entries, their secrets and versions, and check-outs, on every node.

Who may is decided by the vault itself, for each entry. Whoever has no right on an entry hears 404.
"""

from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import SecretStr

from rppam.access.accounts.api import address_of
from rppam.access.passkeys.factor import shown_factor
from rppam.access.rbac.policy import Caller
from rppam.access.sessions.model import Identity
from rppam.foundation import Foundation
from rppam.http.answers import BODY, GUESSES, NO_DATABASE
from rppam.http.revisions import Expected, tagged
from rppam.http.routes import SIGNED_IN, declare
from rppam.http.services import Here
from rppam.http.times import iso_utc
from rppam.kernel.secret import Secret
from rppam.kernel.services import Services
from rppam.vault.checkout_service import Checkouts, Wish
from rppam.vault.errors import FactorNeeded
from rppam.vault.generator import entropy_bits, generated, generated_for, rules_of
from rppam.vault.model import (
    DESCRIPTION_CHARS_MAX,
    PAGE_SIZE,
    SHOWN_SECONDS,
    Entry,
    EntryPolicy,
    EntryType,
    Search,
    Seen,
    checked_entry_name,
    checked_entry_tags,
    checked_fields,
    checked_line,
    checked_path,
)
from rppam.vault.schemas import (
    VAULT,
    CheckIn,
    CheckoutId,
    CheckoutList,
    CheckoutShape,
    EntryId,
    EntryList,
    EntryPut,
    EntryShape,
    ForceRequest,
    Generate,
    Generated,
    MakeUp,
    NewCheckout,
    NewEntry,
    Number,
    PageNumber,
    PageSize,
    Revealed,
    RevealRequest,
    SearchId,
    SearchPath,
    SearchTags,
    SearchText,
    VersionList,
    VersionShape,
    checkout_shape,
    entry_shape,
)
from rppam.vault.service import Change, Vault

ENTRIES: Final = f"{VAULT}/entries"
ONE: Final = f"{ENTRIES}/{{entryId}}"
CHECKOUTS: Final = f"{VAULT}/checkouts"
vault = APIRouter(tags=["vault"])
NO_KEYS: Final = f"{NO_DATABASE}, or this node's keys of the vault do not open what is there (RPPAM-842x)"
_PAGED: Final = {400: "The query is not valid", 503: NO_DATABASE}
_UNKNOWN: Final = {
    403: "The caller may see the entry, and not this",
    404: "No entry that the caller may know of",
    503: NO_KEYS,
}
_CHANGED: Final = "The name is taken, or somebody else has changed it since `revision` (RPPAM-8404)"
_HELD: Final = "Somebody else has it (`heldBy`, `until`), or it waits for a change"
_NO_CHECKOUT: Final = {404: "No check-out that the caller may know of", 503: NO_DATABASE}
_BACK: Final = CheckIn()


@vault.get(ENTRIES, summary="Entries, a page at a time", response_model=EntryList)
@declare(SIGNED_IN, _PAGED)
async def list_entries(
    services: Here,
    caller: Caller,
    page: PageNumber = 1,
    page_size: PageSize = PAGE_SIZE,
    search: SearchText = "",
    folder: SearchPath = None,
    account_id: Annotated[SearchId, Query(alias="accountId")] = None,
    type: Annotated[EntryType | None, Query()] = None,  # noqa: A002 - the product's name
    tag: SearchTags = [],  # noqa: B006 - the framework copies it
    owner_id: Annotated[SearchId, Query(alias="ownerId")] = None,
) -> EntryList:
    """Those that the caller has a right on or a grant for. `folder` is looked into with all below it; with several
    `tag` an entry has all of them."""
    path = None if folder is None else checked_path(folder)
    wanted = Search(page, page_size, search, path, account_id, type, checked_entry_tags(tag), owner_id)
    found, total = await services.get(Vault).page(caller, wanted)
    return EntryList(items=[entry_shape(one) for one in found], page=page, page_size=page_size, total=total)


@vault.post(ENTRIES, summary="Add an entry", status_code=201, response_model=EntryShape)
@declare(
    SIGNED_IN,
    {
        **BODY,
        403: "The caller does not manage the folder",
        404: "No such folder",
        409: "The name is taken",
        503: NO_KEYS,
    },
)
async def add_entry(body: NewEntry, caller: Caller, services: Here, response: Response) -> EntryShape:
    """Its secret is sealed before it is stored, and shown in no answer but that of `reveal`."""
    given = _plain(body.fields)
    if body.generate is not None:
        field, secret = _made_up(body.type, body.generate)
        given[field] = secret.reveal()
    new = Entry(
        id="",
        folder_id="",
        folder=checked_path(body.folder),
        name=checked_entry_name(body.name),
        type=body.type,
        account_id=body.account_id,
        resource_id=None,
        description=checked_line(body.description, "description", DESCRIPTION_CHARS_MAX),
        policy=EntryPolicy(body.exclusive, body.rotate_after_use, body.kill_on_checkin, body.reveal),
        tags=checked_entry_tags(body.tags),
        owner_id=body.owner_id,
    )
    store = services.get(Vault)
    made = await store.create(caller, new, checked_fields(body.type, given))
    response.headers["Location"] = f"{ENTRIES}/{made.id}"
    return _answer(await store.seen(caller, made), response)


@vault.get(ONE, summary="One entry", response_model=EntryShape)
@declare(SIGNED_IN, _UNKNOWN)
async def show_entry(entry_id: EntryId, caller: Caller, services: Here, response: Response) -> EntryShape:
    """Without its secret, and who has it checked out. Its ETag is its revision."""
    return _answer(await services.get(Vault).get(caller, entry_id), response)


@vault.put(ONE, summary="Change an entry or its secret", response_model=EntryShape)
@declare(SIGNED_IN, {**BODY, **_UNKNOWN, 409: _CHANGED})
async def change_entry(
    entry_id: EntryId, body: EntryPut, caller: Caller, expected: Expected, services: Here, response: Response
) -> EntryShape:
    """`fields` or `generate` make a new version; the ones before stay. With `revision` in the body or `If-Match` no
    change of somebody else is overwritten."""
    store = services.get(Vault)
    before = (await store.get(caller, entry_id)).entry
    policy = before.policy._replace(
        exclusive=before.policy.exclusive if body.exclusive is None else body.exclusive,
        rotate_after_use=before.policy.rotate_after_use if body.rotate_after_use is None else body.rotate_after_use,
        kill_on_checkin=before.policy.kill_on_checkin if body.kill_on_checkin is None else body.kill_on_checkin,
        reveal=body.reveal or before.policy.reveal,
    )
    description = body.description
    change = Change(
        folder=None if body.folder is None else checked_path(body.folder),
        name=None if body.name is None else checked_entry_name(body.name),
        account_id=body.account_id,
        description=None if description is None else checked_line(description, "description", DESCRIPTION_CHARS_MAX),
        policy=policy,
        tags=None if body.tags is None else checked_entry_tags(body.tags),
        owner_id=body.owner_id,
        fields=None if body.fields is None else checked_fields(before.type, _plain(body.fields)),
        generated=None if body.generate is None else dict([_made_up(before.type, body.generate)]),
    )
    allowed = {before.revision} if body.revision is None else {before.revision} & {body.revision}
    changed = await store.change(caller, entry_id, change, allowed, expected)
    return _answer(await store.seen(caller, changed), response)


@vault.delete(ONE, summary="Delete an entry", status_code=204)
@declare(SIGNED_IN, _UNKNOWN)
async def delete_entry(entry_id: EntryId, caller: Caller, expected: Expected, services: Here) -> None:
    """For good, with all versions and the keys that opened them."""
    await services.get(Vault).remove(caller, entry_id, expected)


@vault.post(f"{ONE}/reveal", summary="Show a secret", response_model=Revealed)
@declare(SIGNED_IN, {**BODY, **_UNKNOWN, 409: _HELD, 429: GUESSES})
async def reveal(
    entry_id: EntryId, body: RevealRequest, request: Request, caller: Caller, services: Here, response: Response
) -> Revealed:
    """Recorded with the reason before it is answered. An exclusive entry takes a check-out of one's own first."""
    store = services.get(Vault)
    store.reason(body.reason)
    if services.get(Foundation).config.vault.reveal_factor != "none":
        await store.may_reveal(caller, entry_id)
        await _prove(caller, body, address_of(request), services)
    shown = await store.reveal(caller, entry_id, body.reason, body.version)
    response.headers["Cache-Control"] = "no-store"
    return Revealed(
        id=entry_id,
        version=shown.version,
        fields={name: value.reveal() for name, value in shown.fields.items()},
        checkout_id=None if shown.checkout is None else shown.checkout.id,
        shown_seconds=SHOWN_SECONDS if shown.seconds_left is None else min(SHOWN_SECONDS, shown.seconds_left),
        seconds_left=shown.seconds_left,
    )


@vault.get(f"{ONE}/versions", summary="Versions of a secret", response_model=VersionList)
@declare(SIGNED_IN, _UNKNOWN)
async def list_versions(entry_id: EntryId, caller: Caller, services: Here) -> VersionList:
    """The newest first, without what they hold."""
    found = await services.get(Vault).versions(caller, entry_id)
    return VersionList(
        items=[
            VersionShape(
                version=one.number,
                state=one.state,
                fields=list(one.fields),
                made_at=iso_utc(one.made_at),
                made_by=one.made_by,
            )
            for one in found
        ]
    )


@vault.post(f"{ONE}/versions/{{number}}/restore", summary="Restore a version", response_model=EntryShape)
@declare(SIGNED_IN, {**_UNKNOWN, 404: "No such entry or version"})
async def restore_version(
    entry_id: EntryId, number: Number, caller: Caller, expected: Expected, services: Here, response: Response
) -> EntryShape:
    """What it holds becomes the current version again, as a new one."""
    store = services.get(Vault)
    return _answer(await store.seen(caller, await store.restore(caller, entry_id, number, expected)), response)


@vault.post(f"{ONE}/release", summary="Release an entry that waits for a change", response_model=EntryShape)
@declare(SIGNED_IN, _UNKNOWN)
async def release_entry(entry_id: EntryId, caller: Caller, services: Here, response: Response) -> EntryShape:
    """Its secret stays as it is, and whoever had it may still know it."""
    store = services.get(Vault)
    return _answer(await store.seen(caller, await store.release(caller, entry_id)), response)


@vault.post(f"{VAULT}/generate", summary="Make up a secret", response_model=Generated)
@declare(SIGNED_IN, BODY)
async def generate(body: MakeUp, response: Response) -> Generated:
    """It stands nowhere. With `generate` in an entry nobody sees it."""
    if body.type is None:
        rules, field = body.rules(), "password"
        secret = generated(rules)
    else:
        rules = body.rules(rules_of(body.type).rules)
        field, secret = generated_for(body.type, rules)
    response.headers["Cache-Control"] = "no-store"
    return Generated(secret=secret.reveal(), field=field, entropy_bits=int(entropy_bits(rules)))


# ---- check-outs ------------------------------------------------------------------------------------------------------


@vault.get(CHECKOUTS, summary="Check-outs, a page at a time", response_model=CheckoutList)
@declare(SIGNED_IN, _PAGED)
async def list_checkouts(
    services: Here,
    caller: Caller,
    page: PageNumber = 1,
    page_size: PageSize = PAGE_SIZE,
    entry_id: Annotated[SearchId, Query(alias="entryId")] = None,
    *,
    active: Annotated[bool, Query()] = False,
) -> CheckoutList:
    """The caller's own, also past ones; `pam_admin` and `pam_auditor` see all."""
    found, total = await services.get(Checkouts).page(
        caller, active=active, entry_id=entry_id, page=page, page_size=page_size
    )
    return CheckoutList(items=[checkout_shape(one) for one in found], page=page, page_size=page_size, total=total)


@vault.post(CHECKOUTS, summary="Check an entry out", status_code=201, response_model=CheckoutShape)
@declare(SIGNED_IN, {**BODY, **_UNKNOWN, 409: _HELD})
async def check_out(body: NewCheckout, caller: Caller, services: Here, response: Response) -> CheckoutShape:
    """On any node, with Redis away and without a leader. Of an exclusive entry there is one at a time."""
    wish = Wish(body.entry_id, body.reason, body.minutes, body.wait)
    made = await services.get(Checkouts).begin(caller, wish)
    response.headers["Location"] = f"{CHECKOUTS}/{made.id}"
    return checkout_shape(made)


@vault.get(f"{CHECKOUTS}/{{checkoutId}}", summary="One check-out", response_model=CheckoutShape)
@declare(SIGNED_IN, _NO_CHECKOUT)
async def show_checkout(checkout_id: CheckoutId, caller: Caller, services: Here) -> CheckoutShape:
    """Also one that has ended, and how."""
    return checkout_shape(await services.get(Checkouts).get(caller, checkout_id))


@vault.post(f"{CHECKOUTS}/{{checkoutId}}/checkin", summary="Give an entry back", status_code=204)
@declare(
    SIGNED_IN,
    {**BODY, **_NO_CHECKOUT, 403: "It is somebody else's", 409: "It has ended already: a newer generation counts"},
)
async def check_in(checkout_id: CheckoutId, caller: Caller, services: Here, body: CheckIn = _BACK) -> None:
    """By its holder. What comes late ends nobody else's."""
    await services.get(Checkouts).check_in(caller, checkout_id, body.generation)


@vault.post(f"{CHECKOUTS}/{{checkoutId}}/force", summary="End somebody's check-out", response_model=CheckoutShape)
@declare(SIGNED_IN, {**BODY, **_NO_CHECKOUT, 403: "The caller does not manage the folder", 409: "It has ended already"})
async def force(checkout_id: CheckoutId, body: ForceRequest, caller: Caller, services: Here) -> CheckoutShape:
    """By who manages the folder; recorded with the reason."""
    return checkout_shape(await services.get(Checkouts).force(caller, checkout_id, body.reason))


async def _prove(caller: Identity, body: RevealRequest, client: str, services: Services) -> None:
    if caller.user_id is None:
        raise FactorNeeded("a token that was made on a host has no second factor: sign in with an account")
    if not await shown_factor(services, caller.user_id, body.passkey, body.code or None, client):
        raise FactorNeeded("expected 'code' of the own authenticator, or 'passkey'")


def _made_up(type_: EntryType, wanted: Generate) -> tuple[str, Secret]:
    return generated_for(type_, wanted.rules(rules_of(type_).rules))


def _plain(fields: Mapping[str, SecretStr]) -> dict[str, str]:
    return {name: value.get_secret_value() for name, value in fields.items()}


def _answer(seen: Seen, response: Response) -> EntryShape:
    tagged(response, seen.entry.revision)
    return entry_shape(seen)
