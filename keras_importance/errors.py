"""How the package complains: an error before training, a warning while it runs."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_MAX_REASON = 300
_LOGGER = logging.getLogger("keras_importance")


class ImportanceWarning(UserWarning):
    """Something about an evaluation of importance deserves attention; the training went on."""


class InvalidArgumentError(ValueError):
    """An argument that can't be used; its message starts with what was received."""


@contextmanager
def speaking_as(who: str) -> Iterator[None]:
    """Puts the name that the user wrote in front of an `InvalidArgumentError` raised inside."""
    try:
        yield
    except InvalidArgumentError as error:
        raise ValueError(f"{who} {error}") from error


@contextmanager
def about(what: str) -> Iterator[None]:
    """Replaces "validation data" by `what` in an `InvalidArgumentError` raised while rows are read."""
    try:
        yield
    except InvalidArgumentError as error:
        told = str(error).replace("validation_data=", "them ").replace("validation_", "")
        raise InvalidArgumentError(told.replace("validation data", what)) from error


def reason_of(error: BaseException) -> str:
    """The kind and the message of an exception on one line, without colours and tracebacks."""
    try:
        text = " ".join(_COLOURS.sub("", str(error)).split())
    except Exception as failure:  # noqa: BLE001 (a message of the user's own that can't be told)
        text = f"its message fails with {type(failure).__name__}"
    if len(text) > _MAX_REASON:
        # A graph's traceback comes before its message.
        text = (
            f"...{text[-_MAX_REASON:]}"
            if text.startswith("in user code")
            else f"{text[:_MAX_REASON]}..."
        )
    return f"{type(error).__name__}: {text}"


def warn(message: str) -> None:
    """Warns, and never raises: where warnings are errors, the message is logged instead."""
    try:
        warnings.warn(message, ImportanceWarning, stacklevel=2)
    except ImportanceWarning:
        _LOGGER.warning(message)
