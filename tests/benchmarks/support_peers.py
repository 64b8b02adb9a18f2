"""What the nearest peers make of the models that they claim, for the table of `support.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Cell = dict[str, Any]

_BACKGROUND = 20
_EXPLAINED = 2


def cells(model: Any, data: tuple[Any, Any], kind: Any) -> dict[str, Cell]:
    """`{peer: cell}` for the peers that claim the model, on this backend."""
    found: dict[str, Cell] = {}
    for name, peer in _claiming(data[0]):
        if kind.not_on:
            continue
        try:
            peer(model, *data)
            found[name] = {"values": {}}
        except ModuleNotFoundError as error:
            raise SystemExit(f"{name}: {error}; make support-table installs it") from error
        except Exception as error:  # noqa: BLE001 (what fails is what the table is about)
            found[name] = {"error": f"{type(error).__name__}: {str(error)[:200]}"}
    return found


def _claiming(x: Any) -> Iterator[tuple[str, Callable[[Any, Any, Any], None]]]:
    """The peers, by what their documentation says they take."""
    is_array, is_table = isinstance(x, np.ndarray), isinstance(x, np.ndarray) and x.ndim == 2
    if is_table:
        yield "scikit-learn permutation", _scikit_learn
        yield "SHAP Permutation", _shap_permutation
    if keras.backend.backend() == "tensorflow":
        if is_array or isinstance(x, list):
            yield "SHAP Gradient", _shap_gradient
        if is_array:
            yield "tf-explain", _tf_explain
    if keras.backend.backend() == "torch" and (is_array or isinstance(x, list)):
        yield "Captum permutation", _captum


def _must_fit(found: Any, x: Array) -> None:
    values = np.asarray(found)
    if not np.all(np.isfinite(values)):
        raise ArithmeticError("values that are not finite")
    if x.shape[-1] not in values.shape:
        raise ArithmeticError(f"a result of shape {values.shape} for {x.shape[-1]} columns")


def _scikit_learn(model: Any, x: Any, y: Any) -> None:
    from sklearn.inspection import permutation_importance

    class Predictor:
        def fit(self) -> None:
            """There, as scikit-learn looks for it."""

        def score(self, rows: Any, targets: Any) -> float:
            found = model.evaluate(rows, targets, verbose=0, return_dict=True)
            return -float(found["loss"])

    _must_fit(permutation_importance(Predictor(), x, y, n_repeats=2).importances_mean, x)


def _shap_gradient(model: Any, x: Any, y: Any) -> None:
    del y
    shap = import_module("shap")

    def of(rows: slice) -> Any:
        return keras.tree.map_structure(lambda leaf: leaf[rows], x)

    explainer = shap.GradientExplainer(model, of(slice(_BACKGROUND)))
    found = explainer.shap_values(of(slice(_EXPLAINED)))
    first = x[0] if isinstance(x, list) else x
    _must_fit(found[0] if isinstance(x, list) else found, first)


def _shap_permutation(model: Any, x: Any, y: Any) -> None:
    del y
    shap = import_module("shap")
    explainer = shap.explainers.Permutation(lambda rows: model.predict(rows, verbose=0), x[:_BACKGROUND])
    _must_fit(explainer(x[:_EXPLAINED]).values, x)


def _tf_explain(model: Any, x: Any, y: Any) -> None:
    del y
    tf_explain = import_module("tf_explain.core.vanilla_gradients")
    grid = tf_explain.VanillaGradients().explain((x[:_EXPLAINED], None), model, class_index=0)
    if np.asarray(grid).size < x[0].size:
        raise ArithmeticError(f"a picture of shape {np.shape(grid)}")


def _captum(model: Any, x: Any, y: Any) -> None:
    torch, captum = import_module("torch"), import_module("captum.attr")

    leaves = tuple(torch.as_tensor(leaf) for leaf in keras.tree.flatten(x))
    target = keras.ops.convert_to_tensor(keras.tree.flatten(y)[0])

    def loss(*rows: Any) -> Any:
        nest = keras.tree.pack_sequence_as(x, list(rows))
        found = keras.tree.flatten(model(nest, training=False))[0]
        return torch.mean((found - target.to(found.dtype).reshape(len(target), -1)) ** 2).reshape(1)

    masks = tuple(torch.arange(leaf.shape[-1]).expand(1, *leaf.shape[1:]) for leaf in leaves)
    with torch.no_grad():
        found = captum.FeaturePermutation(loss).attribute(leaves, feature_mask=masks)
    _must_fit(found[0], leaves[0].numpy())
