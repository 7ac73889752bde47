"""What the JSON of every request and answer has in common. Names are the product's camelCase."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic.alias_generators import to_camel

PASSWORD_CHARS_MAX: Final = 1024


class Shape(BaseModel):
    """Base of all: the product's names, nothing unknown, nothing changed."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, use_attribute_docstrings=True
    )


def told(pattern: str, **further: Any) -> dict[str, Any]:
    """For ``json_schema_extra``: what the OpenAPI document says of a text that the slice itself looks at, by rules and
    with an error of its own."""
    return {"pattern": pattern, **further}


ONE_LINE: Final = told(r"^[^\x00-\x1f\x7f-\x9f]*$")
"""A text without controls."""
Flag = Annotated[bool, Field(strict=True)]
"""In a body: true or false, and no other word for it."""
Password = Annotated[SecretStr, Field(min_length=1, max_length=PASSWORD_CHARS_MAX)]
