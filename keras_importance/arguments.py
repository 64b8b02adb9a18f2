"""Checks of plain arguments: whole numbers, fractions, paths, lists of instances.

Each check returns the value in its plain type. If the value can't be used, it raises an
`InvalidArgumentError` with the argument's `name`, the value, and what to pass.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from keras_importance.errors import InvalidArgumentError


def whole_number(name: str, value: Any, *, at_least: int) -> int:
    """The value, if it is a whole number and large enough."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < at_least:
        raise InvalidArgumentError(f"got {name}={value!r}. Pass a whole number, {at_least} or more.")
    return int(value)


def whole_number_or_none(name: str, value: Any, *, at_least: int) -> int | None:
    """None, or the value if it is a whole number and large enough."""
    return None if value is None else whole_number(name, value, at_least=at_least)


def verbosity(value: Any) -> int:
    """The value of `verbose` as a number; True and False count as 1 and 0."""
    value = int(value) if isinstance(value, bool) else value
    return whole_number("verbose", value, at_least=0)


def flag(name: str, value: Any) -> bool:
    """The value, if it is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise InvalidArgumentError(f"got {name}={value!r}. Pass True or False.")
    return bool(value)


def fraction(name: str, value: Any, *, example: str, below: float = math.inf) -> float:
    """The value, if it is a number above 0 and below a bound.

    Args:
        name: name of the argument.
        value: what was passed.
        example: what the error says to pass.
        below: the bound.
    """
    is_number = isinstance(value, (int, float, np.floating)) and not isinstance(value, bool)
    if not is_number or not 0 < value < below:
        meant = _meant_as_per_cent(value) if is_number and below < math.inf else ""
        raise InvalidArgumentError(f"got {name}={value!r}.{meant} Pass {example}.")
    return float(value)


def _meant_as_per_cent(value: float) -> str:
    """`" Did you mean 0.1 (10%)?"` for a number of per cent, else an empty text."""
    return f" Did you mean {value / 100:g} ({value:g}%)?" if 1 < value < 100 else ""


def number_or_numbers(name: str, value: Any) -> float | dict[str, float] | None:
    """None, the value if it is a number, or a dict of numbers by the name of an input."""
    if value is None or _is_number(value):
        return None if value is None else float(value)
    if isinstance(value, Mapping) and value and all(map(_is_number, value.values())):
        return dict(value)
    raise InvalidArgumentError(
        f"got {name}={value!r}. Pass a number such as -999, a dict of numbers by the name of the input, "
        "or None."
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def path(name: str, value: Any) -> str:
    """The value as text, if it is a path; absolute, so that it stays where it was."""
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
        raise InvalidArgumentError(f"got {name}={value!r}. Pass the path of a directory, or None.")
    text = str(os.fspath(value))
    return text if "://" in text else os.path.abspath(text)


def instances(name: str, value: Any, kind: type[Any], example: str) -> tuple[Any, ...]:
    """The instances that were passed, as a tuple.

    Args:
        name: name of the argument.
        value: one instance, or several in an iterable.
        kind: the class that they must be instances of.
        example: what the error says to pass.
    """
    value = value.tolist() if isinstance(value, np.ndarray) else value
    if isinstance(value, (type, str, bytes, Mapping)) or not isinstance(value, (kind, Iterable)):
        raise InvalidArgumentError(f"got {name}={value!r}. Pass {example}.")
    given = [value] if isinstance(value, kind) else list(value)
    for element in given:
        if not isinstance(element, kind):
            raise InvalidArgumentError(f"got {element!r} in {name}. Pass {example}.")
    return tuple(given)


def function(name: str, value: Any) -> Any:
    """The value, if it is None or can be called."""
    if value is not None and not callable(value):
        raise InvalidArgumentError(f"got {name}={value!r}. Pass a function, or None.")
    return value
