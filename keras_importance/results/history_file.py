"""The file format of a history: a NumPy archive of arrays and one header in JSON, without pickles."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from keras_importance.errors import InvalidArgumentError, reason_of
from keras_importance.results.result import ImportanceResult
from keras_importance.results.scores import Explained
from keras_importance.results.verdict import Verdicts

_FORMAT = "keras_importance.history"
_VERSION = 2
# Numbers that version 2 of the format keeps among the arrays, and not in the header.
# Fields that readers of version 2 don't know: written only where they differ from their default.
_UNUSUAL = ("is_finite",)
_NUMBERS_AMONG_ARRAYS = ("baseline_score",)
# Fields that are dataclasses themselves.
_PARTS = {"explained": Explained}

_Kind = TypeVar("_Kind")
_Stored = Callable[[str], Any]
"""The array of a name; None where the file has none."""

Content = tuple[tuple[ImportanceResult, ...], tuple[Verdicts, ...]]


def write(
    file: IO[bytes],
    results: Sequence[ImportanceResult],
    judged: Sequence[Verdicts],
    *,
    compressed: bool,
) -> None:
    """Writes results and verdicts into an open file."""
    arrays: dict[str, Any] = {}
    headers = [_taken_apart(result, f"{index}", arrays) for index, result in enumerate(results)]
    verdicts = [_taken_apart(each, f"verdicts/{index}", arrays) for index, each in enumerate(judged)]
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "results": headers,
        "verdicts": verdicts,
        "arrays": sorted(arrays),
    }
    arrays["header"] = np.array(json.dumps(header).encode())
    (np.savez_compressed if compressed else np.savez)(file, **arrays)


def read(path: str | os.PathLike[str]) -> Content:
    """The results and verdicts in a file; see `ImportanceHistory.load`.

    Raises:
        FileNotFoundError: if the file doesn't exist.
        InvalidArgumentError: for a file that is damaged, of a later version, or no history.
    """
    content = Path(path).read_bytes()
    try:
        return _read(content)
    except _LaterVersionError as error:
        raise InvalidArgumentError(
            f"got {os.fspath(path)!r}, which a later version of keras_importance wrote "
            f"({error}). Update keras_importance."
        ) from error
    except Exception as error:
        # NumPy and zipfile raise about everything at bytes that aren't theirs.
        raise InvalidArgumentError(
            f"got {os.fspath(path)!r}, which is {_kind_of(content)} ({reason_of(error)}). Pass "
            "a file that ImportanceHistory.save wrote."
        ) from error


def _taken_apart(value: Any, prefix: str, arrays: dict[str, Any]) -> dict[str, Any]:
    """The fields of a dataclass as values for JSON; its arrays are put into `arrays` instead.

    Args:
        value: a dataclass.
        prefix: what the names of its arrays begin with.
        arrays: the arrays of the file by name.
    """
    plain = {}
    for field in fields(value):
        part, name = getattr(value, field.name), f"{prefix}/{field.name}"
        if field.name in _UNUSUAL and part == field.default:
            continue
        if isinstance(part, np.ndarray) or field.name in _NUMBERS_AMONG_ARRAYS:
            arrays[name] = part
        elif is_dataclass(part):
            plain[field.name] = _taken_apart(part, name, arrays)
        else:
            plain[field.name] = dict(part) if isinstance(part, Mapping) else part
    return plain


def _put_together(kind: type[_Kind], plain: dict[str, Any], prefix: str, stored: _Stored) -> _Kind:
    """The dataclass that `_taken_apart` took apart; fields that the file lacks get their defaults."""
    given = dict(plain)
    for field in fields(kind):  # type: ignore[arg-type]  # mypy knows no bound for "a dataclass"
        name = f"{prefix}/{field.name}"
        if (array := stored(name)) is not None:
            given[field.name] = array if array.ndim else array.item()
        elif field.name in _PARTS and plain.get(field.name) is not None:
            given[field.name] = _put_together(_PARTS[field.name], plain[field.name], name, stored)
    return kind(**given)


class _LaterVersionError(Exception):
    """A file of a version that this one doesn't know."""


def _read(content: bytes) -> Content:
    """The results and verdicts in the bytes of a file."""
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        header = json.loads(archive["header"].item())
        if header["format"] != _FORMAT:
            raise ValueError(f"it says {header['format']!r}")
        if header["version"] > _VERSION:
            raise _LaterVersionError(f"file version {header['version']}, and this one reads {_VERSION}")
        if header["version"] != _VERSION:
            raise ValueError(f"it has file version {header['version']}, and {_VERSION} is read")
        # A few changed bytes can hide an array from an archive that is otherwise sound.
        if "arrays" in header and set(header["arrays"]) != set(archive) - {"header"}:
            raise ValueError("arrays are missing")
        names = set(archive)

        def stored(name: str) -> Any:
            return archive[name] if name in names else None

        results = [
            _put_together(ImportanceResult, plain, f"{index}", stored)
            for index, plain in enumerate(header["results"])
        ]
        judged = [
            _put_together(Verdicts, plain, f"verdicts/{index}", stored)
            for index, plain in enumerate(header["verdicts"])
        ]
    return tuple(results), tuple(judged)


def _kind_of(content: bytes) -> str:
    """What kind of file could not be read, as the error says it."""
    if not content:
        return "empty"
    if content.startswith(b"\x80"):
        return "a pickle, which could hold code and is not loaded"
    if content.startswith(b"\x93NUMPY"):
        return "a single NumPy array"
    if not content.startswith(b"PK"):
        return f"no NumPy archive: it begins with {content[:12]!r}"
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
    except Exception:  # noqa: BLE001 (it is damaged, which is what there is to say)
        return "a damaged archive"
    if "header.npy" in names:
        return "a damaged history"
    return f"an archive of something else: {', '.join(map(repr, names[:3])) or 'nothing'}"
