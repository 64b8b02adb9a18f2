"""A file that keeps the outcome of each training, so that a second call goes on from there."""

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


class Checkpoint:
    """A file to which outcomes are appended, one line each, and from which a second run goes on.

    A line that was cut off by a crash is left out when the file is read, and its trial is run again.
    Failures are not kept: they are tried again.

    Args:
        path: the file.
        fingerprint: what the outcomes depend on; a file of another one is refused.

    Attributes:
        found: the outcomes that the file held.

    Raises:
        InvalidArgumentError: for a file that isn't one, can't be written, or is about something else.
    """

    def __init__(self, path: str | os.PathLike[str], fingerprint: str) -> None:
        self._path = Path(path)
        header = {"format": _FORMAT, "version": _VERSION, "fingerprint": fingerprint}
        first = json.dumps(header) + "\n"
        try:
            text = self._path.read_bytes().decode() if self._path.exists() else ""
            *lines, cut_off = text.split("\n")
            # Nothing is written before it is clear that the file is one of these.
            is_new = not lines and first.startswith(cut_off)
            self.found = [] if is_new else _outcomes(lines, header, str(path))
            if is_new:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._path.write_text(first)
            elif cut_off:
                os.truncate(self._path, len(text.encode()) - len(cut_off.encode()))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidArgumentError(
                f"got checkpoint={str(path)!r}, which can't be read and written ({reason_of(error)}). "
                "Pass the path of a file that can."
            ) from error

    def add(self, outcome: Outcome) -> None:
        """Appends an outcome; a failure is passed over."""
        if outcome.failure:
            return
        scores = {
            name: {"shape": list(np.shape(one)), "float64": _as_text(one)}
            for name, one in outcome.scores.items()
        }
        line = json.dumps({"key": outcome.key, "procedure": outcome.procedure, "scores": scores})
        with self._path.open("a") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())


def _outcomes(lines: Sequence[str], expected: Mapping[str, Any], path: str) -> list[Outcome]:
    try:
        header = json.loads(lines[0])
        found = [_outcome(json.loads(line)) for line in lines[1:]]
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
    return found


def _outcome(line: Mapping[str, Any]) -> Outcome:
    fold, seed, left_out = (int(number) for number in line["key"])
    scores = {
        name: np.frombuffer(base64.b64decode(one["float64"], validate=True), "<f8").reshape(one["shape"])
        for name, one in line["scores"].items()
    }
    return Outcome(fold, seed, left_out, scores, procedure=str(line["procedure"]))


def _as_text(values: Array) -> str:
    return base64.b64encode(np.asarray(values, "<f8").tobytes()).decode()
