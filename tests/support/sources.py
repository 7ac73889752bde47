"""What tests that judge the tree ask of its modules: what each imports, and how large what it defines is.

A module is parsed once for all of them, and no syntax tree is kept: the collector of garbage would walk through a
million of its nodes again and again, which costs several times as much as to parse them.
"""

import ast
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Function(NamedTuple):
    """A function or a method, wherever it stands."""

    line: int
    lines: int


class Class(NamedTuple):
    """A class, and what it holds itself."""

    name: str
    methods: int
    assigned: frozenset[str]
    """Attributes of ``self`` that it writes."""


class Source(NamedTuple):
    """What a module says of itself."""

    imported: tuple[str, ...]
    """Modules that it imports from, also inside functions; those of its own package without their dots."""
    absolute: frozenset[str]
    """Those that are named from the top."""
    functions: tuple[Function, ...]
    classes: tuple[Class, ...]


@cache
def source(path: Path) -> Source:
    """Read a module."""
    imported: list[str] = []
    absolute: set[str] = set()
    functions: list[Function] = []
    classes: list[Class] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            imported += names
            absolute.update(names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.append(node.module)
            absolute.update(() if node.level else (node.module,))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            functions.append(Function(node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1))
        elif isinstance(node, ast.ClassDef):
            methods = sum(isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) for child in node.body)
            classes.append(Class(node.name, methods, frozenset(_assigned(node))))
    return Source(tuple(imported), frozenset(absolute), tuple(functions), tuple(classes))


def _assigned(node: ast.ClassDef) -> set[str]:
    return {
        child.attr
        for child in ast.walk(node)
        if isinstance(child, ast.Attribute)
        and isinstance(child.ctx, ast.Store)
        and isinstance(child.value, ast.Name)
        and child.value.id == "self"
    }
