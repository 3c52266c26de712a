"""How a spec dataclass describes one of its keys.

A spec file is a tree of frozen dataclasses whose fields carry the file's own key names. ``setting``
gives a field its default, its meaning and its limits; the reader checks them, the documentation
prints them.
"""

import dataclasses
from collections.abc import Callable
from typing import Any


def setting(
    doc: str,
    *,
    default: Any = dataclasses.MISSING,
    factory: Callable[[], Any] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[Any, ...] | None = None,
    length: int | None = None,
    secret: bool = False,
    no_effect: str | None = None,
) -> Any:
    """A dataclass field for one key of a spec file.

    Args:
        doc: What the key means, with its unit.
        default: Its value when the file is silent; without it (and ``factory``) it is required.
        factory: Makes the default where it is not a plain value.
        minimum: Least number allowed, also for each number of a list.
        maximum: Greatest number allowed, also for each number of a list.
        choices: The only values allowed.
        length: How many values a list holds.
        secret: The value is never written out again.
        no_effect: Why the key does nothing here; the reader warns with it when a file sets the key.
    """
    metadata = {
        "doc": doc,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
        "length": length,
        "secret": secret,
        "no_effect": no_effect,
    }
    if factory is not None:
        return dataclasses.field(default_factory=factory, metadata=metadata, kw_only=True)
    return dataclasses.field(default=default, metadata=metadata, kw_only=True)
