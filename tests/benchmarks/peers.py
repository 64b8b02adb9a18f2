"""The same questions asked of scikit-learn, Captum and SHAP.

Each function gets everything ready, runs what has to be compiled once, and returns the `Job` to be
timed. A package that is not installed is a `ModuleNotFoundError`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import keras
import numpy as np
from workloads import Array, Workload

from keras_importance.statistics.arrays import Floats

_PREDICT_BATCH = 512
_FEW_FEATURES = 25
_PERTURBATIONS = 8
_SHAP_ROWS = 200
_SHAP_BACKGROUND = 100


@dataclass(frozen=True, eq=False)
class Job:
    """Work to be timed.

    Attributes:
        run: does it; returns the importances of the features that it rated, or of the first of them.
        scale: what its seconds are to be multiplied with, where it does only a part of the work.
        note: what is to be said about that.
    """

    run: Callable[[], Floats]
    scale: float = 1.0
    note: str = ""


# --- scikit-learn -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Predictor:
    """The network as scikit-learn wants it: rows of scalars in, predictions out.

    What scikit-learn shuffles are the numbers of the rows: one column for each feature, which so
    moves with its whole trajectory, whatever its shape.
    """

    workload: Workload
    model: Any
    n_features: int

    def fit(self) -> None:
        """There, as scikit-learn looks for it."""

    def table(self) -> Array:
        """What is to be shuffled."""
        return np.tile(np.arange(self.workload.n_rows)[:, None], self.n_features)

    def predict(self, rows: Array) -> Array:
        """Predictions for rows that are put together from features of several rows."""
        leaves, first = [], 0
        for leaf in self.workload.leaves:
            columns = rows[:, first : first + leaf.shape[-1]]
            first += leaf.shape[-1]
            leaves.append(_gathered(leaf, columns))
        outputs = self.model.predict(self.workload.pack(leaves), batch_size=_PREDICT_BATCH, verbose=0)
        return np.asarray(outputs)


class _TablePredictor(_Predictor):
    """A plain table needs no numbers of rows."""

    def table(self) -> Array:
        return np.asarray(self.workload.x[:, : self.n_features])

    def predict(self, rows: Array) -> Array:
        rest = self.workload.x[:, self.n_features :]
        whole = np.concatenate([rows, rest], axis=1) if rest.shape[1] else rows
        return np.asarray(self.model.predict(whole, batch_size=_PREDICT_BATCH, verbose=0))


def _gathered(leaf: Array, rows: Array) -> Array:
    """The leaf with its first columns taken from the given rows."""
    n_moved = rows.shape[1]
    index = rows.reshape(len(rows), *([1] * (leaf.ndim - 2)), n_moved)
    moved = np.take_along_axis(leaf[..., :n_moved], index, axis=0)
    return np.concatenate([moved, leaf[..., n_moved:]], axis=-1)


def sklearn_loop(
    workload: Workload, model: Any, n_repeats: int, seed: int, n_features: int | None
) -> Job:
    """scikit-learn's `permutation_importance` around `model.predict`."""
    inspection: Any = import_module("sklearn.inspection")
    total = workload.n_features
    n_features = min(n_features or (total if total <= 100 else _FEW_FEATURES), total)
    is_table = isinstance(workload.x, np.ndarray) and workload.x.ndim == 2
    predictor = (_TablePredictor if is_table else _Predictor)(workload, model, n_features)
    table = predictor.table()
    predictor.predict(table)

    def run() -> Floats:
        found = inspection.permutation_importance(
            predictor, table, workload.y, scoring=_score, n_repeats=n_repeats, random_state=seed
        )
        return np.asarray(found.importances_mean)

    if n_features == total:
        return Job(run)
    note = f"scikit-learn: measured on {n_features} of {total} features and scaled linearly"
    return Job(run, total / n_features, note)


def _score(predictor: _Predictor, rows: Array, target: Array) -> float:
    return -float(np.mean((predictor.predict(rows) - target) ** 2))


# --- the network in torch -----------------------------------------------------------------------


def _twin(workload: Workload, model: Any) -> Callable[..., Any]:
    """The network in torch: takes the leaves, returns `(n_rows,)` outputs.

    Raises:
        ValueError: where its outputs are not those of the Keras model.
    """
    torch: Any = import_module("torch")
    head = _dense_layers(model)
    body: Callable[..., Any]
    if isinstance(workload.x, dict):
        body = _embeddings(workload, model)
    elif workload.x.ndim == 3:
        body = _lstm(model)
    else:

        def body(leaf: Any) -> Any:
            return leaf

    def network(*leaves: Any) -> Any:
        return head(body(*leaves))[:, 0]

    with torch.no_grad():
        found = network(*_tensors(workload)).numpy()
    expected = model.predict(workload.x, batch_size=_PREDICT_BATCH, verbose=0)[:, 0]
    error = float(np.abs(found - expected).max())
    if not error < 1e-4:
        raise ValueError(f"the torch network is off by {error:.2g}")
    return network


def _tensors(workload: Workload) -> list[Any]:
    torch: Any = import_module("torch")
    # A copy: torch warns about arrays that it could write to but must not.
    return [torch.tensor(leaf) for leaf in workload.leaves]


def _parameter(values: Array) -> Any:
    torch: Any = import_module("torch")
    return torch.nn.Parameter(torch.tensor(np.ascontiguousarray(values)), requires_grad=False)


def _dense_layers(model: Any) -> Any:
    torch: Any = import_module("torch")
    layers: list[Any] = []
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            kernel, bias = (keras.ops.convert_to_numpy(values) for values in layer.weights)
            linear = torch.nn.Linear(*kernel.shape)
            linear.weight, linear.bias = _parameter(kernel.T), _parameter(bias)
            layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def _lstm(model: Any) -> Callable[..., Any]:
    torch: Any = import_module("torch")
    layer = next(one for one in model.layers if isinstance(one, keras.layers.LSTM))
    kernel, recurrent, bias = (keras.ops.convert_to_numpy(values) for values in layer.weights)
    # The gates stand in the same order in both; torch has a second bias.
    twin = torch.nn.LSTM(kernel.shape[0], layer.units, batch_first=True)
    twin.weight_ih_l0, twin.weight_hh_l0 = _parameter(kernel.T), _parameter(recurrent.T)
    twin.bias_ih_l0, twin.bias_hh_l0 = _parameter(bias), _parameter(np.zeros_like(bias))
    return lambda leaf: twin(leaf)[0][:, -1]


def _embeddings(workload: Workload, model: Any) -> Callable[..., Any]:
    torch: Any = import_module("torch")
    tables = [
        _parameter(keras.ops.convert_to_numpy(model.get_layer(f"of_{name}").weights[0]))
        if workload.x[name].dtype.kind == "i"
        else None
        for name in sorted(workload.x)
    ]

    def body(*leaves: Any) -> Any:
        parts = [
            leaf if table is None else torch.nn.functional.embedding(leaf[:, 0], table)
            for leaf, table in zip(leaves, tables, strict=True)
        ]
        return torch.cat(parts, dim=1)

    return body


# --- Captum -------------------------------------------------------------------------------------


def captum_permutation(workload: Workload, model: Any, n_repeats: int, seed: int) -> Job:
    """Captum's `FeaturePermutation`, with one or several permutations in a call, what is faster."""
    torch: Any = import_module("torch")
    attribution: Any = import_module("captum.attr")
    network = _twin(workload, model)
    leaves, target = tuple(_tensors(workload)), torch.tensor(workload.y[:, 0])
    masks = _feature_masks(workload)

    def row_losses(*arguments: Any) -> Any:
        return (network(*arguments[:-1]) - arguments[-1]) ** 2

    def mean_loss(*arguments: Any) -> Any:
        return row_losses(*arguments).mean()

    def once(n_at_once: int, masks: tuple[Any, ...]) -> Floats:
        # A loss per row is what several permutations in a call need; the mean alone is cheaper.
        method = attribution.FeaturePermutation(mean_loss if n_at_once == 1 else row_losses)
        with torch.no_grad():
            found = method.attribute(
                leaves,
                additional_forward_args=target,
                feature_mask=masks,
                perturbations_per_eval=n_at_once,
            )
        parts = [-leaf.numpy().mean(axis=tuple(range(leaf.ndim - 1))) for leaf in found]
        return np.concatenate(parts).astype(np.float64)

    few = _feature_masks(workload, n_features=2 * _PERTURBATIONS)
    seconds = {}
    for n_at_once in (1, _PERTURBATIONS):
        once(n_at_once, few)
        started = time.perf_counter()
        once(n_at_once, few)
        seconds[n_at_once] = time.perf_counter() - started
    faster = min(seconds, key=lambda number: seconds[number])

    def run() -> Floats:
        torch.manual_seed(seed)
        return np.asarray(np.mean([once(faster, masks) for _ in range(n_repeats)], axis=0))

    return Job(run)


def _feature_masks(workload: Workload, n_features: int | None = None) -> tuple[Any, ...]:
    """The number of the feature of each column; modulo `n_features`, for a trial with few of them."""
    torch: Any = import_module("torch")
    masks, first = [], 0
    for leaf in workload.leaves:
        numbers = torch.arange(first, first + leaf.shape[-1])
        numbers = numbers if n_features is None else numbers % n_features
        masks.append(numbers.expand(1, *leaf.shape[1:]))
        first += leaf.shape[-1]
    return tuple(masks)


def captum_saliency(workload: Workload, model: Any) -> Job:
    """Captum's `Saliency`, with respect to the inputs of type float."""
    attribution: Any = import_module("captum.attr")
    network = _twin(workload, model)
    leaves = _tensors(workload)
    moving = [number for number, leaf in enumerate(leaves) if leaf.is_floating_point()]

    def outputs(*floats: Any) -> Any:
        given = dict(zip(moving, floats, strict=True))
        return network(*(given.get(number, leaf) for number, leaf in enumerate(leaves)))

    method = attribution.Saliency(outputs)

    def run() -> Floats:
        inputs = tuple(leaves[number].detach().requires_grad_() for number in moving)
        found = [leaf.detach().numpy() for leaf in method.attribute(inputs)]
        sizes = [leaf.mean(axis=tuple(range(leaf.ndim - 1))) for leaf in found]
        return np.concatenate(sizes).astype(np.float64)

    run()
    return Job(run)


# --- SHAP ---------------------------------------------------------------------------------------


def shap_gradients(workload: Workload, model: Any) -> Job:
    """SHAP's `GradientExplainer` on a few hundred rows, at its default of 200 draws a row."""
    shap: Any = import_module("shap")
    n_rows = min(_SHAP_ROWS, workload.n_rows)
    explainer = shap.GradientExplainer(model, _shap_rows(workload, _SHAP_BACKGROUND))
    explainer.shap_values(_shap_rows(workload, 2))

    def run() -> Floats:
        found = np.asarray(explainer.shap_values(_shap_rows(workload, n_rows)))
        # (n_rows, ..., n_features, 1): the last axis holds the output.
        return np.asarray(np.abs(found[..., 0]).mean(axis=tuple(range(found.ndim - 2))), np.float64)

    if n_rows == workload.n_rows:
        return Job(run)
    note = f"SHAP: measured on {n_rows} of {workload.n_rows} rows and scaled linearly"
    return Job(run, workload.n_rows / n_rows, note)


def _shap_rows(workload: Workload, n_rows: int) -> Any:
    rows = [leaf[:n_rows] for leaf in workload.leaves]
    if keras.backend.backend() == "torch":
        rows = [keras.ops.convert_to_tensor(leaf) for leaf in rows]
    return rows if isinstance(workload.x, dict) else rows[0]
