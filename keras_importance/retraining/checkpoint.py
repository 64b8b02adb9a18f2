"""Checkpoint: a file that keeps the outcome of each training, so that a second call can continue."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_importance.errors import InvalidArgumentError, reason_of
from keras_importance.retraining.trials import Outcome
from keras_importance.statistics.arrays import Array

_FORMAT = "keras_importance.trials"
_VERSION = 1
_ALL_FEATURES = -1  # stands in the file for the model with all features


class Checkpoint:
    """A JSON-lines file: a header, then one line for each outcome. A second call continues from it.

    A last line that a crash cut off is ignored, and that model is trained again. Failures are not kept,
    so they are tried again.

    Args:
        path: path of the file; it is made if it doesn't exist.
        fingerprint: hash of everything that the outcomes depend on. A file with another hash is refused.

    Attributes:
        outcomes: the outcomes that the file held when it was opened.

    Raises:
        InvalidArgumentError: for a file that is no checkpoint, can't be read or written, or belongs to
            another study.
    """

    def __init__(self, path: str | os.PathLike[str], fingerprint: str) -> None:
        self._path = Path(path)
        header = {"format": _FORMAT, "version": _VERSION, "fingerprint": fingerprint}
        first_line = json.dumps(header) + "\n"
        try:
            text = self._path.read_bytes().decode() if self._path.exists() else ""
            *lines, cut_off = text.split("\n")
            # Nothing is written before the file is known to be a checkpoint.
            is_new = not lines and first_line.startswith(cut_off)
            self.outcomes = [] if is_new else _outcomes(lines, header, str(path))
            if is_new:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._path.write_text(first_line)
            elif cut_off:
                os.truncate(self._path, len(text.encode()) - len(cut_off.encode()))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidArgumentError(
                f"got checkpoint={str(path)!r}, which can't be read and written ({reason_of(error)}). "
                "Pass the path of a file that can."
            ) from error

    def add(self, outcome: Outcome) -> None:
        """Appends an outcome, unless it is a failure."""
        if outcome.failure:
            return
        scores = {
            name: {"shape": list(np.shape(values)), "float64": _as_text(values)}
            for name, values in outcome.scores.items()
        }
        left_out = _ALL_FEATURES if outcome.left_out is None else outcome.left_out
        key = (outcome.fold, outcome.seed, left_out)
        line = json.dumps({"key": key, "procedure": outcome.procedure, "scores": scores})
        with self._path.open("a") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())


def _outcomes(lines: Sequence[str], expected: Mapping[str, Any], path: str) -> list[Outcome]:
    """The outcomes in the lines of a file.

    Raises:
        InvalidArgumentError: for damaged lines, or another header than the expected one.
    """
    try:
        header = json.loads(lines[0])
        outcomes = [_outcome(json.loads(line)) for line in lines[1:]]
        is_ours = header["format"] == expected["format"] and header["version"] == expected["version"]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InvalidArgumentError(
            f"got checkpoint={path!r}, which is no checkpoint of trials, or a damaged one. Pass another "
            "path, or delete the file."
        ) from error
    if not is_ours or header.get("fingerprint") != expected["fingerprint"]:
        raise InvalidArgumentError(
            f"got checkpoint={path!r}, which holds trials of other rows, features, folds, models or "
            "settings. Pass the same arguments as before, another path, or delete the file."
        )
    return outcomes


def _outcome(line: Mapping[str, Any]) -> Outcome:
    """The outcome in a parsed line."""
    fold, seed, left_out = (int(value) for value in line["key"])
    scores = {name: _as_array(values) for name, values in line["scores"].items()}
    return Outcome(
        fold,
        seed,
        None if left_out == _ALL_FEATURES else left_out,
        scores,
        procedure=str(line["procedure"]),
    )


def _as_text(values: Array) -> str:
    """Base64 of the values as little-endian doubles."""
    return base64.b64encode(np.asarray(values, "<f8").tobytes()).decode()


def _as_array(stored: Mapping[str, Any]) -> Array:
    """The array that `_as_text` wrote, in the stored shape."""
    content = base64.b64decode(stored["float64"], validate=True)
    return np.frombuffer(content, "<f8").reshape(stored["shape"])
