"""The OpenAPI form of our own structs, which are encoded by msgspec and not by the framework.

A field's docstring is its description. Every field is required: an answer of this release always holds it.
"""

import ast
import inspect
import textwrap
from dataclasses import is_dataclass
from functools import cache
from types import NoneType
from typing import Any, Final, get_args, get_origin, get_type_hints

from msgspec import Struct
from msgspec.structs import fields
from pydantic import BaseModel, ConfigDict, Field, create_model

_CONFIG: Final = ConfigDict(extra="forbid", frozen=True)


@cache
def published(kind: type) -> type[BaseModel]:
    """The model that tells the OpenAPI document of a struct, or of a dataclass in one."""
    docs: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        if (issubclass(base, Struct) and base is not Struct) or is_dataclass(base):
            docs |= _docs(base)
    names = {one.name: one.encode_name for one in fields(kind)} if issubclass(kind, Struct) else {}
    hints = {name: hint for name, hint in get_type_hints(kind).items() if name != "schema_name"}
    shown: dict[str, Any] = {
        name: (_shown(hints[name]), Field(alias=names.get(name, name), description=docs.get(name)))
        for name in names or hints
    }
    name = getattr(kind, "schema_name", "") or kind.__name__
    return create_model(name, __config__=_CONFIG, __doc__=inspect.getdoc(kind), **shown)


def _shown(hint: Any) -> Any:
    inner = get_args(hint)
    if not inner:
        return published(hint) if issubclass(hint, Struct) or is_dataclass(hint) else hint
    if get_origin(hint) is tuple:
        return list[_shown(inner[0])]  # type: ignore[misc]
    if get_origin(hint) is dict:
        return hint
    return _shown(inner[0]) | None if NoneType in inner else _shown(inner[0])


def _docs(kind: type) -> dict[str, str]:
    """The texts below the fields of a class, by field."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for before, after in zip(tree.body, tree.body[1:], strict=False):
        match before, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = inspect.cleandoc(text)
    return found
