"""What the JSON of every request and answer has in common. Names are the product's camelCase."""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic.alias_generators import to_camel

PASSWORD_CHARS_MAX: Final = 1024


class Shape(BaseModel):
    """Base of all: the product's names, nothing unknown, nothing changed."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, use_attribute_docstrings=True
    )


Flag = Annotated[bool, Field(strict=True)]
"""In a body: true or false, and no other word for it."""
Password = Annotated[SecretStr, Field(min_length=1, max_length=PASSWORD_CHARS_MAX)]
