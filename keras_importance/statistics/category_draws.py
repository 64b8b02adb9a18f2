"""Random draws of a category given other values: multinomial logistic regression."""

from __future__ import annotations

import numpy as np

from keras_importance.statistics.arrays import Floats, Integers, unit_weights

_RIDGE = 1.0
_MAX_STEPS = 300
_SMALL_STEP = 1e-4


def classes(codes: Integers, at_most: int) -> Integers:
    """`(n_rows,)` class of each row; rows with equal codes have the same class.

    If more than `at_most` combinations of codes occur, neighbours in sorted order are merged into
    classes of about equally many rows.

    Args:
        codes: `(n_rows, n_columns)` whole numbers.
        at_most: how many classes there may be.
    """
    _, label, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    label = label.ravel()
    if len(counts) <= at_most:
        return label
    middle = (np.cumsum(counts) - counts / 2) / len(codes)
    _, merged = np.unique(np.floor(middle * at_most), return_inverse=True)
    return np.asarray(merged[label])


def class_probabilities(scores: Floats, label: Integers, weights: Floats | None = None) -> Floats:
    """`(n_rows, n_classes)` probabilities of the classes given the scores.

    Multinomial logistic regression with a ridge of 1 on the slopes of the standardised scores. It is
    fitted by Newton steps in which an upper bound replaces the Hessian: no step increases the loss,
    and one inverse serves all steps.

    Args:
        scores: `(n_rows, n_scores)`.
        label: `(n_rows,)` classes, 0, 1, ... without gaps.
        weights: `(n_rows,)` weights of the rows; None for equal ones.

    Source: Böhning (1992), Annals of the Institute of Statistical Mathematics 44.
    """
    n_rows, n_classes = len(label), int(label.max()) + 1
    w = unit_weights(weights, n_rows)
    centred = scores - np.average(scores, axis=0, weights=w)
    unit = np.sqrt(np.average(centred**2, axis=0, weights=w))
    z = np.column_stack([np.ones(n_rows), centred / np.where(unit > 0, unit, 1.0)])
    is_class = np.eye(n_classes)[label]
    penalty = np.full((z.shape[1], 1), _RIDGE)
    penalty[0] = 0.0
    weighted = z.T * w
    step_of = np.linalg.inv(weighted @ z / 2 + np.diagflat(penalty + _SMALL_STEP))
    slopes = np.zeros((z.shape[1], n_classes))
    slopes[0] = np.log(w @ is_class / n_rows)
    for _ in range(_MAX_STEPS):
        step = step_of @ (weighted @ (is_class - _softmax(z @ slopes)) - penalty * slopes)
        slopes += step
        if np.max(np.abs(step)) < _SMALL_STEP:
            break
    return _softmax(z @ slopes)


def _softmax(logits: Floats) -> Floats:
    """Probabilities of `(n_rows, n_classes)` logits."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def drawn_rows(
    probabilities: Floats,
    label: Integers,
    n_repeats: int,
    rng: np.random.Generator,
    weights: Floats | None = None,
    *,
    spread: bool = False,
) -> Integers:
    """`(n_repeats, n_rows)` index of the row that is drawn at random for each row.

    First a class is drawn with the row's probabilities, then a row of that class in proportion to the
    weights. A row may draw itself.

    Args:
        probabilities: `(n_rows, n_classes)` of the classes.
        label: `(n_rows,)` class of each row.
        n_repeats: draws for each row.
        rng: source of randomness.
        weights: `(n_rows,)` weights of the rows; None for equal ones.
        spread: whether the classes of a row's draws are spread evenly over its probabilities, from a
            random start, as in a systematic sample; else all draws are independent.
    """
    n_rows = len(label)
    u = rng.random((2, n_repeats, n_rows))
    if spread:
        u[0] = (u[0, 0] + np.arange(n_repeats)[:, None] / n_repeats) % 1
    ends = np.cumsum(probabilities, axis=1)[:, :-1]
    drawn = np.sum(u[0][..., None] > ends, axis=-1)
    order = np.argsort(label, kind="stable")
    heights = np.cumsum((np.ones(n_rows) if weights is None else weights)[order])
    last = np.cumsum(np.bincount(label)) - 1
    first = np.concatenate([[0], last[:-1] + 1])
    low = np.concatenate([[0.0], heights[last[:-1]]])
    aim = low[drawn] + u[1] * (heights[last] - low)[drawn]
    position = np.searchsorted(heights, aim, side="right")
    return np.asarray(order[np.clip(position, first[drawn], last[drawn])])
