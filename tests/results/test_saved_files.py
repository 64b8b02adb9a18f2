"""Files that were saved before load, and what is saved now can be read by the readers before."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from saved_history import values

from keras_importance.results import Explained, ImportanceHistory, ImportanceResult, Verdicts

VERSION_2 = Path(__file__).parent / "fixtures" / "history_version_2.npz"


def expected() -> ImportanceHistory:
    """The history in the file, built by hand."""
    results, verdicts = values()
    for one in results:
        if "explained" in one:
            one["explained"] = Explained(**one["explained"])
    return ImportanceHistory(
        tuple(ImportanceResult(**one) for one in results), tuple(Verdicts(**one) for one in verdicts)
    )


def assert_same(first: Any, second: Any) -> None:
    assert type(first) is type(second)
    for field in dataclasses.fields(first):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if dataclasses.is_dataclass(one):
            assert_same(one, other)
        elif isinstance(one, (float, np.ndarray)):
            np.testing.assert_array_equal(one, other, err_msg=field.name)
        else:
            assert one == other, field.name


def content(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and the arrays of a file."""
    with np.load(path) as archive:
        arrays = dict(archive)
    return json.loads(arrays.pop("header").item()), arrays


def test_a_file_of_version_2_loads_to_the_values_that_were_saved():
    loaded, built = ImportanceHistory.load(VERSION_2), expected()
    pairs = [
        *zip(loaded.results, built.results, strict=True),
        *zip(loaded.judged, built.judged, strict=True),
    ]
    for one, other in pairs:
        assert_same(one, other)


@pytest.mark.parametrize("compressed", [True, False], ids=["compressed", "fast"])
def test_a_file_saved_now_has_the_layout_of_version_2(tmp_path, compressed):
    """The same arrays under the same names, and the same header but for fields that are None.

    Readers of version 2 pass the header's values on as keywords, and None is the default of those that
    they know as arrays.
    """
    ImportanceHistory.load(VERSION_2).save(tmp_path / "again.npz", compressed=compressed)
    (before, old), (now, new) = content(VERSION_2), content(tmp_path / "again.npz")
    assert sorted(old) == sorted(new)
    for name, array in old.items():
        np.testing.assert_array_equal(array, new[name], strict=True)
    for ours, theirs in zip(now.pop("results"), before.pop("results"), strict=True):
        added = {name: ours[name] for name in ours.keys() - theirs.keys()}
        assert ours == theirs | added
        assert set(added.values()) <= {None}
        assert added.keys() <= {"direction", "by_step", "draws", "explained"}
    assert now == before
