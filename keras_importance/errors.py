"""Errors before training and warnings while it runs."""

from __future__ import annotations

import difflib
import logging
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_MAX_REASON = 300
_LOGGER = logging.getLogger("keras_importance")


class ImportanceWarning(UserWarning):
    """A problem with an evaluation of importance; the training goes on."""


class InvalidArgumentError(ValueError):
    """An argument that can't be used; its message starts with what was received."""


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
def about(what: str) -> Iterator[None]:
    """Replaces "validation data" by `what` in an `InvalidArgumentError` raised while rows are read.

    Args:
        what: what the user calls the rows, such as "training data".

    Raises:
        InvalidArgumentError: with the other words, for an `InvalidArgumentError` inside.
    """
    try:
        yield
    except InvalidArgumentError as error:
        message = str(error).replace("validation_data=", "them ").replace("validation_", "")
        raise InvalidArgumentError(message.replace("validation data", what)) from error


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
