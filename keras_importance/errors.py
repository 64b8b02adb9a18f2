"""Errors before training and warnings while it runs."""

from __future__ import annotations

import difflib
import logging
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_MAX_REASON = 300
_LOGGER = logging.getLogger("keras_importance")


class ImportanceWarning(UserWarning):
    """A problem with an evaluation of importance; the training goes on."""


class InvalidArgumentError(ValueError):
    """An argument that can't be used; its message starts with what was received."""


class NotEvaluableError(InvalidArgumentError):
    """What the model, its data or its loss don't allow to be evaluated; a warning during training."""


@dataclass(frozen=True)
class Naming:
    """What a user calls rows, and the arguments that hold or mend them.

    Attributes:
        rows: what the rows are, such as "training data".
        argument: the argument that holds the inputs, such as "x=".
        arrays: how that argument takes arrays.
        or_steps: a further remedy for endless datasets, beginning with ", or "; empty for none.
        or_beside: a further remedy for what can be read only once, beginning with ", or "; empty for
            none.
    """

    rows: str = "validation data"
    argument: str = "validation_data="
    arrays: str = "(x, y) or (x, y, sample_weight) arrays"
    or_steps: str = ""
    or_beside: str = ""


_PLACEHOLDER = re.compile("{(" + "|".join(field.name for field in fields(Naming)) + ")}")


class RowsError(InvalidArgumentError):
    """Rows that can't be read.

    Attributes:
        template: the message with `{rows}`, `{argument}`, ... for the attributes of a `Naming`. All else
            in braces stays as it is.

    Args:
        template: see the attribute.
        naming: whose words take their place; see `about`.
    """

    def __init__(self, template: str, naming: Naming = Naming()) -> None:
        self.template = template
        words = asdict(naming)
        super().__init__(_PLACEHOLDER.sub(lambda found: words[found[1]], template))


class NotEvaluableRowsError(RowsError, NotEvaluableError):
    """Rows that `fit` may take, but that can't be evaluated."""


def is_wrong_argument(error: Exception) -> bool:
    """Whether an argument is wrong, so that it must be mended before a training."""
    return isinstance(error, InvalidArgumentError) and not isinstance(error, NotEvaluableError)


@contextmanager
def speaking_as(who: str) -> Iterator[None]:
    """Turns an `InvalidArgumentError` raised inside into a `ValueError` that begins with a name.

    Args:
        who: what the user called, such as "FeatureImportance".

    Raises:
        ValueError: for an `InvalidArgumentError` inside.
    """
    try:
        yield
    except InvalidArgumentError as error:
        raise ValueError(f"{who} {error}") from error


@contextmanager
def about(naming: Naming) -> Iterator[None]:
    """Tells a `RowsError` raised inside with the words of those who passed the rows.

    Args:
        naming: what they call the rows, and the arguments that mend them.

    Raises:
        RowsError: with these words, for a `RowsError` inside; of its type.
    """
    try:
        yield
    except RowsError as error:
        raise type(error)(error.template, naming) from error


def reason_of(error: BaseException) -> str:
    """The type and the message of an exception on one line, without colours and tracebacks.

    A message of more than 300 letters is cut.
    """
    try:
        text = " ".join(_COLOURS.sub("", str(error)).split())
    except Exception as failure:  # noqa: BLE001 (the message of a user's own exception may fail)
        text = f"its message fails with {type(failure).__name__}"
    if len(text) > _MAX_REASON:
        # A graph's traceback comes before its message.
        text = (
            f"...{text[-_MAX_REASON:]}"
            if text.startswith("in user code")
            else f"{text[:_MAX_REASON]}..."
        )
    return f"{type(error).__name__}: {text}"


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """`" Did you mean 'loss'?"` for a text that is close to a known name, else an empty text.

    It begins with a space, so that it can follow any sentence. Capitals don't count.

    Args:
        name: what was received.
        known: the names that would have been understood.
    """
    if not isinstance(name, str):
        return ""
    by_small_letters = {str(other).casefold(): str(other) for other in known}
    closest = difflib.get_close_matches(name.casefold(), by_small_letters, n=1)
    return f" Did you mean {by_small_letters[closest[0]]!r}?" if closest else ""


def warn(message: str) -> None:
    """Warns, and never raises: if warnings are turned into errors, it logs the message instead."""
    try:
        warnings.warn(message, ImportanceWarning, stacklevel=2)
    except ImportanceWarning:
        _LOGGER.warning(message)
