"""The OpenAPI document by the rules of OpenAPI 3.1 and by our own: what a generator of clients stumbles over."""

import re
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from rppam.app.openapi import released_document

SIZED = {"maxLength", "enum", "const", "format", "pattern"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """That of the checkout; another test holds it against the routes."""
    found = released_document()
    assert found is not None
    return found


def flaws(document: dict[str, Any]) -> list[str]:
    """All that is wrong with a document."""
    found = [error.message[:300] for error in OpenAPIV31SpecValidator(document).iter_errors()]
    return found + list(style(document))


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def style(document: dict[str, Any]) -> Iterator[str]:
    """What is legal, and bad."""
    names = Counter(operation["operationId"] for _, _, operation in operations(document))
    yield from (f"{count} operations are named {name}" for name, count in names.items() if count > 1)
    known = {tag["name"] for tag in document["tags"]}
    for method, path, operation in operations(document):
        where = f"{method} {path}"
        if not operation.get("summary") or not set(operation.get("tags", ())) & known:
            yield f"{where}: without a summary or a tag"
        if not any(status.startswith(("1", "2")) for status in operation["responses"]):
            yield f"{where}: never succeeds"
        if "security" in operation and "401" not in operation["responses"]:
            yield f"{where}: asks for a token, and never says that it is wrong"
        for parameter in operation.get("parameters", ()):
            schema = parameter["schema"]
            if not bounded(schema):
                yield f"{where}: {parameter['name']} without a bound"
        named = set(re.findall(r"\{(\w+)\}", path))
        if named != {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}:
            yield f"{where}: other parameters than in its path"
    asked = {schema for _, _, operation in operations(document) for schema in references(operation.get("requestBody"))}
    while more := {one for name in asked for one in references(document["components"]["schemas"][name])} - asked:
        asked |= more
    for name in sorted(asked):
        for field, schema in document["components"]["schemas"][name].get("properties", {}).items():
            if not bounded(schema):
                yield f"{name}.{field}: a text without a bound"
    used = set(references(document["paths"]))
    while more := {one for name in used for one in references(document["components"]["schemas"][name])} - used:
        used |= more
    yield from (f"nothing needs the schema {name}" for name in document["components"]["schemas"].keys() - used)


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(place := part.get("$ref"), str):
            yield place.rsplit("/", 1)[1]
        for one in part.values():
            yield from references(one)
    elif isinstance(part, list):
        for one in part:
            yield from references(one)


def bounded(schema: dict[str, Any]) -> bool:
    """Whether a text or list in a request cannot be of any length."""
    if "anyOf" in schema:
        return all(bounded(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return ("maxItems" in schema or "maxLength" in schema) and bounded(schema.get("items", {}))
    return schema.get("type") != "string" or bool(SIZED & schema.keys())


def test_the_document_has_no_flaw(document: dict[str, Any]) -> None:
    assert flaws(document) == []


def test_flaws_are_found(document: dict[str, Any]) -> None:
    """Planted ones, each of another kind, in a document of one path: which takes half the time."""
    wrong = deepcopy(document)
    wrong["paths"] = {path: operations for path, operations in wrong["paths"].items() if path == "/api/v1/users"}
    users = wrong["paths"]["/api/v1/users"]
    users["get"]["responses"]["200"]["content"]["application/json"]["schema"] = {"type": "strnig"}
    users["post"]["operationId"] = users["get"]["operationId"]
    users["get"]["parameters"].append({"name": "x", "in": "query", "schema": {"type": "string"}})
    del users["post"]["responses"]["401"]
    wrong["components"]["schemas"]["Spare"] = {"type": "object"}
    found = "\n".join(flaws(wrong))
    for part in ("strnig", "2 operations are named", "x without a bound", "says that it is wrong", "the schema Spare"):
        assert part in found
