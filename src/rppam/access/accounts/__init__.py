"""Accounts: people, their passwords and roles."""

from typing import TYPE_CHECKING

from rppam.kernel.slice import Command, Slice, exports

if TYPE_CHECKING:
    from rppam.access.accounts.administration import (
        UserAdministration as UserAdministration,
        publish_user as publish_user,
    )
    from rppam.access.accounts.api import USERS as USERS, UserId as UserId, given as given, own_id as own_id
    from rppam.access.accounts.changes import PAGE_SIZE as PAGE_SIZE, PAGE_SIZE_MAX as PAGE_SIZE_MAX, Written as Written
    from rppam.access.accounts.errors import (
        AccountError as AccountError,
        InvalidCredentials as InvalidCredentials,
        NameInvalid as NameInvalid,
    )
    from rppam.access.accounts.facts_store import (
        raise_everybody as raise_everybody,
        raise_user as raise_user,
        user_copy as user_copy,
    )
    from rppam.access.accounts.login_port import Login as Login
    from rppam.access.accounts.model import (
        FIRST_ADMIN as FIRST_ADMIN,
        NAME_INPUT_CHARS_MAX as NAME_INPUT_CHARS_MAX,
        Account as Account,
        AccountRole as AccountRole,
        normalise_name as normalise_name,
    )
    from rppam.access.accounts.passwords import Passwords as Passwords
    from rppam.access.accounts.schemas import CurrentPassword as CurrentPassword
    from rppam.access.accounts.service import Accounts as Accounts, random_password as random_password
    from rppam.access.accounts.store import SqlAccounts as SqlAccounts
    from rppam.access.accounts.tables import (
        backup_codes as backup_codes,
        pending_logins as pending_logins,
        users as users,
    )
    from rppam.access.accounts.user_ports import UserStore as UserStore
    from rppam.access.accounts.user_store import (
        account_in as account_in,
        locked_row as locked_row,
        present_row as present_row,
        written as written,
    )

SLICE = Slice(
    name="accounts",
    package=__name__,
    tables="tables",
    wire="wiring:wire",
    routes=("api:users",),
    commands={"user": Command("cli", "Manage accounts from this host.")},
)

__getattr__ = exports(
    __name__,
    administration="UserAdministration publish_user",
    api="USERS UserId given own_id",
    changes="PAGE_SIZE PAGE_SIZE_MAX Written",
    errors="AccountError InvalidCredentials NameInvalid",
    facts_store="raise_everybody raise_user user_copy",
    login_port="Login",
    model="Account AccountRole FIRST_ADMIN NAME_INPUT_CHARS_MAX normalise_name",
    passwords="Passwords",
    schemas="CurrentPassword",
    service="Accounts random_password",
    store="SqlAccounts",
    tables="backup_codes pending_logins users",
    user_ports="UserStore",
    user_store="account_in locked_row present_row written",
)
