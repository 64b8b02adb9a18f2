"""Columns that go together become one feature: groups by hierarchical clustering of correlations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_importance.data.columns import Column
from keras_importance.data.features import FeatureSet
from keras_importance.data.padding import of_values, valid_values
from keras_importance.data.validation_data import ValidationData
from keras_importance.errors import InvalidArgumentError
from keras_importance.statistics.arrays import Floats
from keras_importance.statistics.distances import ranks

_MIN_CORRELATION = 0.7
_MAX_JOINED = 3
# The matrix of their correlations takes 800 MB.
_MAX_COLUMNS = 10_000


def correlated_groups(data: ValidationData) -> dict[str, list[Column]]:
    """Groups of two columns or more whose rank correlations average 0.7 or more in size.

    Hierarchical clustering with average linkage of the distances `1 - |Spearman correlation|`, cut at
    0.3. Time steps count like rows: the columns of a sequence are ranked over all of them. Columns with
    different numbers of time steps, or with none, are compared by their means over the steps. Padded
    steps don't count. Columns that are constant or hold categories stay features of their own. Sample
    weights count.

    Returns:
        The columns of each group, by its name: `"a + b"`, or `"a + 4 more"`.

    Raises:
        InvalidArgumentError: without SciPy, and for more than 10,000 columns.

    Source: scikit-learn's user guide, Permutation Importance with Multicollinear Features.
    """
    columns = _columns_of_numbers(data)
    if len(columns) > _MAX_COLUMNS:
        raise InvalidArgumentError(
            f"got features='correlated' for {len(columns)} columns, more than the {_MAX_COLUMNS} that "
            "can be compared with one another. Pass a dict of groups such as {'wind': [0, 1]}."
        )
    if len(columns) < 2:
        return {}
    distances = 1 - np.abs(_correlations(data, columns))
    labels = _clusters(distances, at_most=1 - _MIN_CORRELATION)
    name_of = _names(data)
    groups = [[columns[i] for i in np.flatnonzero(labels == label)] for label in np.unique(labels)]
    return _named([group for group in groups if len(group) > 1], name_of)


def _columns_of_numbers(data: ValidationData) -> list[Column]:
    """The columns that hold numbers and vary."""
    return [
        (i, c)
        for i, values in enumerate(data.filled)
        for c in np.flatnonzero(~data.are_categories[i]).tolist()
        if np.ptp(valid_values(values, data.valid[i])[c]) > 0
    ]


def _steps(values: NDArray[Any], column: int) -> NDArray[Any]:
    """`(n_rows, n_steps)` values of a column."""
    of_column = values if values.ndim == 1 else values[..., column]
    return of_column.reshape(len(values), -1)


def _correlations(data: ValidationData, columns: list[Column]) -> Floats:
    """`(n_columns, n_columns)` rank correlations of all pairs of columns."""
    weights = np.ones(data.n_rows) if data.weights is None else data.weights
    root = np.sqrt(weights / weights.sum())[:, None]
    steps = [_steps(data.filled[i], c) for i, c in columns]
    counted = [_steps(of_values(data.inputs[i], data.valid[i]), c) for i, c in columns]
    lengths = np.array([values.shape[1] for values in steps])
    means = _unit(
        [_mean_of_counted(*pair) for pair in zip(steps, counted, strict=True)],
        [np.asarray(is_counted.any(axis=1, keepdims=True)) for is_counted in counted],
        root,
    )
    correlations = means.T @ means
    for length in np.unique(lengths[lengths > 1]):
        alike = np.flatnonzero(lengths == length)
        flat = _unit([steps[index] for index in alike], [counted[index] for index in alike], root)
        correlations[np.ix_(alike, alike)] = flat.T @ flat
    return correlations


def _mean_of_counted(values: NDArray[Any], counted: NDArray[np.bool_]) -> NDArray[Any]:
    """`(n_rows, 1)` means over the steps that count; any value for a row without one."""
    if counted.all():
        return np.asarray(values.mean(axis=1, keepdims=True))
    n_counted = counted.sum(axis=1, keepdims=True)
    return np.asarray(np.where(counted, values, 0).sum(axis=1, keepdims=True) / np.maximum(n_counted, 1))


def _unit(columns: list[NDArray[Any]], counted: list[NDArray[np.bool_]], root: Floats) -> Floats:
    """`(n_rows * n_steps, n_columns)` ranks, centred, times the roots of the weights, of length 1.

    Args:
        columns: `(n_rows, n_steps)` values of each column.
        counted: the same shapes, which values count; all others become 0.
        root: `(n_rows, 1)` roots of the weights.
    """
    # Last in the order, values that don't count change no other rank.
    ranked = np.stack(
        [
            ranks(np.where(is_counted, values, np.inf).ravel())
            for values, is_counted in zip(columns, counted, strict=True)
        ],
        axis=1,
    )
    weight = np.repeat(root, columns[0].shape[1], axis=1).reshape(-1, 1)
    weight = weight * np.stack([is_counted.ravel() for is_counted in counted], axis=1)
    ranked -= np.average(ranked, axis=0, weights=weight**2)
    ranked *= weight
    length = np.sqrt(np.einsum("np,np->p", ranked, ranked))
    return np.asarray(ranked / np.where(length > 0, length, 1.0))


def _clusters(distances: Floats, at_most: float) -> NDArray[np.int32]:
    """`(n_columns,)` label of each column's cluster, in which columns are `at_most` apart on average."""
    try:
        from scipy.cluster.hierarchy import fcluster, linkage
    except ImportError as error:
        raise InvalidArgumentError(
            "got features='correlated', which needs SciPy: pip install 'keras_importance[clustering]'. "
            "Or pass a dict of groups such as {'wind': [0, 1]}."
        ) from error
    above = np.triu_indices(len(distances), 1)
    tree = linkage(np.maximum(distances[above], 0.0), method="average")
    return np.asarray(fcluster(tree, at_most, criterion="distance"))


def _names(data: ValidationData) -> dict[Column, str]:
    each = FeatureSet.from_argument(None, data.columns).features
    return {feature.columns[0]: feature.name for feature in each}


def _named(groups: Iterable[list[Column]], name_of: dict[Column, str]) -> dict[str, list[Column]]:
    """The groups by name, with `'` added to a name that is taken."""
    named: dict[str, list[Column]] = {}
    for group in groups:
        name = _joined([name_of[column] for column in group])
        while name in named or name in name_of.values():
            name += "'"
        named[name] = group
    return named


def _joined(names: list[str]) -> str:
    if len(names) <= _MAX_JOINED:
        return " + ".join(names)
    return f"{names[0]} + {len(names) - 1} more"
