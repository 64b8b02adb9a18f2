"""The file format of a history: a NumPy archive of arrays and one header in JSON, without pickles."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from keras_importance.errors import InvalidArgumentError, reason_of
from keras_importance.results.result import Explained, ImportanceResult
from keras_importance.results.verdict import Verdicts

_FORMAT = "keras_importance.history"
_VERSION = 2
_ARRAYS = (
    "importances", "std_error", "direction", "by_step", "exact_epoch", "n_rows", "degrees",
    "baseline_score", "draws",
)  # fmt: skip
_HEADER = (
    "method", "epoch", "feature_names", "metric", "n_samples", "error_source", "notes",
    "obtained", "n_blocks", "procedure",
)  # fmt: skip

_Kind = TypeVar("_Kind")

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
    headers = []
    for number, one in enumerate(results):
        headers.append({name: _plain(getattr(one, name)) for name in _HEADER})
        for name in _ARRAYS:
            if getattr(one, name) is not None:
                arrays[f"{number}/{name}"] = getattr(one, name)
        if one.explained is not None:
            headers[-1]["explained"] = _plain_parts(one.explained, f"{number}/explained", arrays)
    verdicts = [_plain_parts(one, f"verdicts/{number}", arrays) for number, one in enumerate(judged)]
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
    """The results and verdicts in a file; see `ImportanceHistory.load`."""
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


def _plain(value: Any) -> Any:
    """The value as JSON knows it."""
    return dict(value) if isinstance(value, Mapping) else value


def _plain_parts(value: Any, place: str, arrays: dict[str, Any]) -> dict[str, Any]:
    """The fields of a dataclass as JSON knows them; its arrays are put into `arrays`."""
    plain = {}
    for one in fields(value):
        part = getattr(value, one.name)
        if isinstance(part, np.ndarray):
            arrays[f"{place}/{one.name}"] = part
        else:
            plain[one.name] = _plain(part)
    return plain


def _from_parts(kind: type[_Kind], plain: dict[str, Any], place: str, archive: Any) -> _Kind:
    """The dataclass that `_plain_parts` took apart."""
    stored = {
        name.removeprefix(f"{place}/"): archive[name] for name in archive if name.startswith(f"{place}/")
    }
    return kind(**plain, **stored)


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
        results = [_result_from(archive, *numbered) for numbered in enumerate(header["results"])]
        judged = [
            _from_parts(Verdicts, parts, f"verdicts/{number}", archive)
            for number, parts in enumerate(header["verdicts"])
        ]
    return tuple(results), tuple(judged)


def _kind_of(content: bytes) -> str:
    """What a file is that could not be read."""
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


def _result_from(archive: Any, number: int, header: dict[str, Any]) -> ImportanceResult:
    arrays = {name: archive[f"{number}/{name}"] for name in _ARRAYS if f"{number}/{name}" in archive}
    score = float(arrays.pop("baseline_score"))
    explained = header.pop("explained", None)
    if explained is not None:
        explained = _from_parts(Explained, explained, f"{number}/explained", archive)
    return ImportanceResult(**header, **arrays, baseline_score=score, explained=explained)
