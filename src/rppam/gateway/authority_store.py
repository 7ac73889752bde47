"""The keys of the authority that signs certificates of SSH users, in SQL. A change is recorded in its transaction."""

from typing import Any, Final

from sqlalchemy import Connection, Row, func, select, update

from rppam.db.engine import insert_into, now_ms
from rppam.db.store import SqlStore, reads, writes
from rppam.gateway.certificates import AuthorityKey, State
from rppam.gateway.errors import AuthorityState, AuthorityUnknown
from rppam.gateway.tables import ssh_authorities
from rppam.ledger.model import Entity
from rppam.ledger.record import record

_K: Final = ssh_authorities.c


class SqlAuthority(SqlStore):
    """See the module."""

    @reads
    def keys(self, connection: Connection) -> list[AuthorityKey]:
        """All, the oldest first."""
        return [_key(row) for row in connection.execute(select(ssh_authorities).order_by(_K.number))]

    @writes
    def make(self, connection: Connection, public: str, fingerprint: str, sealed: str) -> AuthorityKey:
        """Keep a new key: the active one where there is none, else the next one. Raises :class:`AuthorityState`."""
        known = _states(connection)
        if State.NEXT in known.values():
            raise AuthorityState("there is a next key already; it is shown by `rppam ca show`")
        state = State.NEXT if State.ACTIVE in known.values() else State.ACTIVE
        number = 1 + (connection.execute(select(func.max(_K.number))).scalar_one() or 0)
        values = {
            "number": number, "public": public, "fingerprint": fingerprint, "sealed": sealed, "state": state.value,
            "made_at": now_ms(connection),
        }  # fmt: skip
        made = connection.execute(insert_into(connection, ssh_authorities).values(**values).on_conflict_do_nothing())
        if not made.rowcount:
            raise AuthorityState("somebody else has just made a key")
        _tell(connection, "authority.make", number, fingerprint, state)
        return _get(connection, number)

    @writes
    def activate(self, connection: Connection, number: int) -> AuthorityKey:
        """Have the next key sign from now on. Raises :class:`AuthorityUnknown`, :class:`AuthorityState`."""
        found = _get(connection, number)
        if found.state is not State.NEXT:
            raise AuthorityState(f"the key {number} is {found.state.value}, and not the next one")
        active = _K.state == State.ACTIVE.value
        connection.execute(update(ssh_authorities).where(active).values(state=State.PREVIOUS.value))
        _set(connection, number, State.ACTIVE)
        _tell(connection, "authority.activate", number, found.fingerprint, State.ACTIVE)
        return _get(connection, number)

    @writes
    def retire(self, connection: Connection, number: int) -> AuthorityKey:
        """Have nothing count that a key has signed, and forget its private half.

        Raises :class:`AuthorityUnknown`, :class:`AuthorityState` for the active one.
        """
        found = _get(connection, number)
        if found.state in {State.ACTIVE, State.RETIRED}:
            raise AuthorityState(f"the key {number} is {found.state.value}; another has to be activated first")
        _set(connection, number, State.RETIRED, sealed="")
        _tell(connection, "authority.retire", number, found.fingerprint, State.RETIRED)
        return _get(connection, number)


def _states(connection: Connection) -> dict[int, State]:
    rows = connection.execute(select(_K.number, _K.state).with_for_update())
    return {row.number: State(row.state) for row in rows}


def _get(connection: Connection, number: int) -> AuthorityKey:
    row = connection.execute(select(ssh_authorities).where(_K.number == number)).one_or_none()
    if row is None:
        raise AuthorityUnknown("the authority has no key of this number")
    return _key(row)


def _set(connection: Connection, number: int, state: State, **more: Any) -> None:
    connection.execute(update(ssh_authorities).where(_K.number == number).values(state=state.value, **more))


def _tell(connection: Connection, action: str, number: int, fingerprint: str, state: State) -> None:
    facts = {"number": number, "fingerprint": fingerprint, "state": state.value}
    record(connection, action, Entity("ssh-authority", str(number)), details=facts)


def _key(row: Row[Any]) -> AuthorityKey:
    return AuthorityKey(row.number, row.public, row.fingerprint, State(row.state), row.made_at, row.sealed)
