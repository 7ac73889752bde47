"""What a request's body may hold: yes and no are JSON's own, whatever else the library would take for them."""

from collections.abc import Iterator
from typing import Any, get_type_hints

import pytest
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError

from rppam.app.slices import routers

BODIES = sorted(
    {
        param.field_info.annotation
        for router in routers()
        for route in router.routes
        if isinstance(route, APIRoute)
        for param in route.dependant.body_params
        if isinstance(param.field_info.annotation, type) and issubclass(param.field_info.annotation, BaseModel)
    },
    key=lambda model: model.__name__,
)


def flags() -> Iterator[tuple[type[BaseModel], str]]:
    for model in BODIES:
        for name, kind in get_type_hints(model).items():
            if kind in {bool, bool | None}:
                yield model, name


def taken(model: type[BaseModel], name: str, value: Any) -> bool:
    """Whether that field takes it, whatever is missing besides."""
    field = model.model_fields[name]
    try:
        model.model_validate({field.alias: value})
    except ValidationError as error:
        return all(flaw["loc"][0] != field.alias for flaw in error.errors())
    return True


@pytest.mark.parametrize(("model", "name"), list(flags()))
def test_yes_and_no_in_a_body_are_true_and_false_and_nothing_else(model: type[BaseModel], name: str) -> None:
    assert taken(model, name, True)
    assert taken(model, name, False)
    for other in ("yes", "true", "on", "1", 1, 0, 1.0, "", "perhaps"):
        assert not taken(model, name, other), other


def test_the_flags_of_all_bodies_are_found() -> None:
    found = {(model.__name__, name) for model, name in flags()}
    assert {("MaintenanceRequest", "maintenance"), ("PauseRequest", "paused"), ("UserPatch", "disabled")} <= found
    assert {("LoginRequest", "cookie"), ("ForgetRequest", "is_off"), ("ForgetRequest", "force")} <= found
    assert TypeAdapter(bool).validate_python("yes") is True, "a query parameter's is read as it always was"
