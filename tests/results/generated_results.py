"""Results for tests: any at all, and one of given numbers."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from keras_importance import ImportanceResult
from keras_importance.results.scores import Explained

numbers = st.floats(-1e6, 1e6) | st.just(math.nan)


@st.composite
def explained(draw, n_features):
    return Explained(
        loss=draw(st.floats(-1e6, 1e6)),
        std_error=draw(st.floats(0, 1e6)),
        reference=draw(st.sampled_from(["constant", "all features shuffled"])),
        covariance=draw(arrays(float, n_features, elements=numbers)),
        third=draw(arrays(float, (n_features, 4), elements=numbers)),
    )


@st.composite
def results(draw, n_features=None, method=None, epoch=None):
    n_features = n_features or draw(st.integers(1, 6))
    n_repeats = draw(st.integers(1, 4))
    texts = st.text(min_size=1, max_size=8)
    return ImportanceResult(
        method=method or draw(st.sampled_from(["gradient", "permutation"])),
        epoch=draw(st.integers(0, 20)) if epoch is None else epoch,
        feature_names=draw(st.lists(texts, min_size=n_features, max_size=n_features, unique=True)),
        importances=draw(arrays(float, (n_features, n_repeats), elements=numbers)),
        std_error=draw(arrays(float, n_features, elements=numbers)),
        baseline_score=draw(numbers),
        metric=draw(texts),
        n_samples=draw(st.integers(1, 10**9)),
        direction=draw(st.none() | arrays(float, n_features, elements=numbers)),
        by_step=draw(st.none() | arrays(float, (3, n_features), elements=numbers)),
        error_source=draw(st.sampled_from(["rows", "repeats"])),
        n_blocks=draw(st.none() | st.integers(1, 50)),
        notes=draw(st.dictionaries(texts, texts, max_size=2)),
        obtained=draw(
            st.lists(
                st.sampled_from(["exact", "screened", "carried"]),
                min_size=n_features,
                max_size=n_features,
            )
        ),
        exact_epoch=draw(arrays(float, n_features, elements=numbers)),
        n_rows=draw(arrays(float, n_features, elements=st.integers(1, 10**6))),
        draws=draw(st.none() | arrays(np.float32, (n_features, 3), elements=st.floats(width=32))),
        explained=draw(st.none() | explained(n_features)),
    )


def result(epoch=0, importances=((2.0, 4.0), (0.0, 0.0), (1.0, 3.0)), method="permutation", **fields):
    importances = np.array(importances, float)
    fields = {
        "feature_names": tuple(f"x{i}" for i in range(len(importances))),
        "std_error": np.full(len(importances), 0.5),
        "baseline_score": 1.0,
        "metric": "loss",
        "n_samples": 10,
        **fields,
    }
    return ImportanceResult(method=method, epoch=epoch, importances=importances, **fields)


def same(first, second):
    for field in dataclasses.fields(first):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other)
        elif isinstance(one, float) and math.isnan(one):
            assert math.isnan(other)
        elif isinstance(one, Explained):
            assert same(one, other)
        else:
            assert one == other, field.name
    return True
