"""One page of a large table, at the same price wherever it lies.

The order is that of an index. Its entry at the beginning of the page is looked up in the index alone, from the nearer
end, and the rows are read from there on. A search for a part of a text has to look at every row, which no index
spares: it does so once, where few are found. What is not promised: that two pages show each row once while others
change the table.
"""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement, Connection, func, literal, select, tuple_

FEW: Final = 1_000
Where: TypeAlias = Sequence[ColumnElement[bool]]
Keys: TypeAlias = Sequence[ColumnElement[Any]]


def has_text(
    connection: Connection, column: ColumnElement[str], text: str, *, is_lower: bool = False
) -> ColumnElement[bool]:
    """Whether it is a part of the column, in any case (outside ASCII as far as the database knows of cases).

    ``is_lower``: the column is in lower case already.
    """
    # SQLite's LIKE knows no case; to change it on the way takes either database longer than the search.
    if is_lower or connection.dialect.name == "sqlite":
        return column.contains(text.lower() if is_lower else text, autoescape=True)
    return column.icontains(text, autoescape=True)


def begins_with(column: ColumnElement[str], text: str) -> ColumnElement[bool]:
    """Whether the column begins with exactly this: SQLite's LIKE takes ``Team`` for ``team``."""
    return func.substr(column, 1, len(text)) == text


def page_of(
    connection: Connection, ident: ColumnElement[str], keys: Keys, where: Where, offset: int, size: int
) -> tuple[list[str], int]:
    """The ids of a page in the order of ``keys``, which are unique together, and how many there are in all."""
    total: int = connection.execute(select(func.count(ident)).where(*where)).scalar_one()
    return ids_from(connection, ident, keys, where, total, offset, size), total


def found_page(
    connection: Connection, ident: ColumnElement[str], keys: Keys, where: Where, offset: int, size: int
) -> tuple[list[str], int]:
    """As :func:`page_of`, where ``where`` looks for a part of a text."""
    few = list(connection.scalars(select(ident).where(*where).limit(FEW + 1)))
    if len(few) > FEW:
        return page_of(connection, ident, keys, where, offset, size)
    wanted = select(ident).where(ident.in_(few)).order_by(*keys).limit(size).offset(offset)
    return list(connection.scalars(wanted)), len(few)


def ids_from(
    connection: Connection,
    ident: ColumnElement[str],
    keys: Keys,
    where: Where,
    total: int,
    offset: int,
    size: int,
) -> list[str]:
    """The ids of a page of ``total`` rows."""
    take = min(size, total - offset)
    if take <= 0:
        return []
    after = total - offset - take
    is_backwards = after < offset
    order = [key.desc() if is_backwards else key for key in keys]
    wanted = select(ident).where(*where).order_by(*order).limit(take)
    if skipped := min(offset, after):
        edge = connection.execute(select(*keys).where(*where).order_by(*order).limit(1).offset(skipped)).one_or_none()
        if edge is None:  # the table has shrunk meanwhile
            return []
        here = tuple_(*keys)
        there = tuple_(*(literal(value, key.type) for key, value in zip(keys, edge, strict=True)))
        wanted = wanted.where(here <= there if is_backwards else here >= there)
    found = list(connection.scalars(wanted))
    return found[::-1] if is_backwards else found
