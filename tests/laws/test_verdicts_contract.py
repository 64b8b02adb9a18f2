"""Judging works wherever scoring works: every structure of inputs, targets and data."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from benchmarks.kinds import (
    DATA,
    MODELS,
    N_ROWS,
    OF_EACH_STRUCTURE,
    ModelKind,
    as_dataset,
    holds_texts,
    with_fixed_weights,
)

from keras_importance import FeatureImportance, ImportanceWarning, UselessFeatureDetector

N_TRAINING, N_VALIDATION = 1000, 1000
N_EPOCHS = 8
layers = keras.layers
only_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="texts are no tensors on JAX and torch"
)


@dataclass(frozen=True)
class Structure:
    """An input `noise` without information, beside the number that makes the targets.

    Attributes:
        shape: the shape of a row of `noise`.
        draw: `(rng, shape) -> rows of noise`.
        encode: what the model makes of the input before it is flattened.
        dtype: the type of the input.
        features: the argument of the callback.
    """

    shape: tuple[int, ...]
    draw: Callable[[Any, tuple[int, ...]], Any]
    encode: Callable[[Any], Any] = lambda x: x
    dtype: str = "float32"
    features: Any = None


def normal(rng, shape):
    return rng.standard_normal(shape).astype("float32")


def colours(rng, shape):
    return rng.choice(["red", "green", "blue"], shape)


def objects(rng, shape):
    return colours(rng, shape).astype(object)


def tokens(rng, shape):
    return rng.integers(0, 6, shape).astype("int32")


def one_hot(rng, shape):
    return np.eye(shape[1], dtype="float32")[rng.integers(0, shape[1], shape[0])]


def looked_up(x):
    return layers.StringLookup(vocabulary=["red", "green", "blue"], output_mode="multi_hot")(x)


def embedded(x):
    return layers.Embedding(6, 2)(x)


def as_column(x):
    return layers.Reshape((1,))(x)


GROUP = {"both": [("noise", 0), ("noise", 1)]}
SEQUENCE = {"words": [("noise", step) for step in range(4)]}
STRUCTURES = {
    "a number": Structure((1,), normal),
    "a number of shape (n,)": Structure((), normal, as_column),
    "whole numbers into an Embedding": Structure((1,), tokens, embedded, "int32"),
    "whole numbers of shape (n,)": Structure((), tokens, lambda x: embedded(as_column(x)), "int32"),
    "bools": Structure((1,), lambda rng, shape: rng.random(shape) < 0.5, lambda x: keras.ops.cast(x, "float32"), "bool"),
    "a one-hot group": Structure((3,), one_hot, features={"block": [("noise", c) for c in range(3)]}),
    "a constant column": Structure((2,), lambda rng, shape: normal(rng, shape) * [1, 0]),
    "a sequence": Structure((5, 2), normal, lambda x: layers.GlobalAveragePooling1D()(x)),
    "an image": Structure((4, 4, 2), normal, lambda x: layers.GlobalAveragePooling2D()(x)),
    "a sequence of tokens": Structure((4,), tokens, embedded, "int32", SEQUENCE),
    "texts": Structure((1,), colours, looked_up, "string"),
    "texts of type object": Structure((1,), objects, looked_up, "string"),
    "texts of shape (n,)": Structure((), colours, lambda x: looked_up(as_column(x)), "string"),
    "texts in a group": Structure((2,), colours, looked_up, "string", GROUP),
    "texts in a group with a number": Structure((2,), colours, looked_up, "string", {"mixed": ["noise", "other"]}),
    "a sequence of texts": Structure((4,), colours, looked_up, "string", SEQUENCE),
}  # fmt: skip
FAST = ("a number of shape (n,)", "texts", "texts in a group with a number")


def trained(structure: Structure, loss="mse", targets=lambda signal: signal, outputs=None, seed=0):
    """A callback after eight epochs in which `signal` alone makes the targets, and the warnings."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(seed)
    n_rows = N_TRAINING + N_VALIDATION
    signal = normal(rng, (n_rows, 1))
    x = {
        "noise": structure.draw(rng, (n_rows, *structure.shape)),
        "other": normal(rng, (n_rows, 1)),
        "signal": signal,
    }
    y = targets(2 * signal[:, 0] + 0.05 * normal(rng, n_rows))
    inputs = {
        "noise": keras.Input(structure.shape, name="noise", dtype=structure.dtype),
        "other": keras.Input((1,), name="other"),
        "signal": keras.Input((1,), name="signal"),
    }
    parts = [layers.Flatten()(structure.encode(inputs["noise"])), inputs["other"], inputs["signal"]]
    parts = [keras.ops.cast(part, "float32") for part in parts]
    hidden = layers.Concatenate()(parts)
    model = keras.Model(inputs, layers.Dense(1)(hidden) if outputs is None else outputs(hidden))
    model.compile(keras.optimizers.Adam(0.03), loss)

    def rows(part):
        return tf.data.Dataset.from_tensor_slices(
            keras.tree.map_structure(lambda leaf: leaf[part], (x, y))
        ).batch(50)

    importance = FeatureImportance(features=structure.features, time_budget=None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(
            rows(slice(N_TRAINING)),
            validation_data=rows(slice(N_TRAINING, None)),
            epochs=N_EPOCHS,
            verbose=0,
            callbacks=[importance],
        )
    return importance, _ours(caught)


def _ours(caught):
    return [str(one.message) for one in caught if issubclass(one.category, ImportanceWarning)]


def check_was_judged(importance, messages):
    """What has no information is useless, and what makes the targets useful, in the last epoch."""
    assert not [message for message in messages if "failed" in message]
    verdicts = [one for one in importance.history.verdicts() if one.epoch == N_EPOCHS - 1]
    states = {verdict.feature: verdict.state for verdict in verdicts}
    assert states.pop("signal") == "useful"
    assert states, importance.results["permutation"].feature_names
    assert set(states.values()) <= {"useless", "harmful"}, states


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=[
                *([] if name in FAST else [pytest.mark.sweep]),
                *([only_tensorflow] if structure.dtype == "string" else []),
            ],
        )
        for name, structure in STRUCTURES.items()
    ],
)
def test_noise_of_every_structure_is_found_useless(name):
    """By construction the targets depend on `signal` alone, and the noise is drawn independently."""
    check_was_judged(*trained(STRUCTURES[name]))


# --- targets ------------------------------------------------------------------------------------


def in_classes(signal):
    return np.digitize(signal, [-1.0, 1.0])


TARGETS = {
    "whole numbers of classes": (
        "sparse_categorical_crossentropy",
        in_classes,
        lambda hidden: layers.Dense(3, "softmax")(layers.Dense(16, "relu")(hidden)),
    ),
    "one-hot classes": (
        "categorical_crossentropy",
        lambda signal: np.eye(3, dtype="float32")[in_classes(signal)],
        lambda hidden: layers.Dense(3, "softmax")(layers.Dense(16, "relu")(hidden)),
    ),
    "a bool": (
        "binary_crossentropy",
        lambda signal: signal > 0,
        lambda hidden: layers.Dense(1, "sigmoid")(hidden),
    ),
    "outputs in a dict": (
        {"p": "mse", "q": "sparse_categorical_crossentropy"},
        lambda signal: {"p": signal, "q": in_classes(signal)},
        lambda hidden: {
            "p": layers.Dense(1, name="p")(hidden),
            "q": layers.Dense(3, "softmax", name="q")(hidden),
        },
    ),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.sweep) for name in TARGETS])
def test_noise_is_found_useless_whatever_the_targets_are(name):
    loss, targets, outputs = TARGETS[name]
    check_was_judged(*trained(STRUCTURES["a number"], loss, targets, outputs, seed=1))


# --- every model and every form of data of the support table --------------------------------------


class AsksOfAll(UselessFeatureDetector):
    """Asks of every feature what is usually asked of those below the threshold alone."""

    def __call__(self, history, probe):
        result = history.newest[self.method]
        if result.explained is not None:
            every = list(range(len(result.feature_names)))
            self.p_values = probe.unused_signal(every)
            self.joint = probe.jointly([every, [0]])
        return super().__call__(history, probe)


def fitted(kind: ModelKind, given: Callable[[Any, Any], Any]) -> tuple[FeatureImportance, list[str]]:
    """A callback after two epochs of a model that explains its targets, and the warnings."""
    rng = np.random.default_rng(0)
    model, x = kind.make(), kind.rows(rng)
    if not model.built:
        model(x[:2])
    kind.compile(with_fixed_weights(model))
    rows = as_dataset(x, np.zeros(N_ROWS)) if holds_texts(x) else x
    predictions = model.predict(rows, verbose=0)
    loss = kind.compiled.get("loss")
    if loss == "sparse_categorical_crossentropy":
        y = predictions.argmax(-1)
    elif loss == "binary_crossentropy":
        y = (predictions > np.median(predictions)).astype("float32")
    else:
        y = keras.tree.map_structure(lambda part: np.asarray(part, "float32"), predictions)
    form = given(x, y)
    if isinstance(form, str):
        pytest.skip(form)
    importance = FeatureImportance(
        form.of_callback, metric=kind.metric, time_budget=None, detectors=AsksOfAll()
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(*form.training, epochs=2, verbose=0, callbacks=[importance], **form.of_fit)
    return importance, _ours(caught)


def check_all_was_answered(importance, messages):
    """Verdicts of the newest epoch, and an answer on every feature where one can be judged."""
    assert not [message for message in messages if "failed" in message]
    result = importance.results["permutation"]
    verdicts = importance.history.verdicts()[-len(result.feature_names) :]
    assert {verdict.epoch for verdict in verdicts} == {1}
    assert not [verdict.reason for verdict in verdicts if "failed" in verdict.reason]
    (detector,) = importance.detectors
    if result.explained is not None:
        assert np.isfinite(detector.joint.importances_mean).all()
        assert np.isfinite(detector.p_values).all()


FAST_MODELS = ("inputs in a nest", "texts, StringLookup")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in FAST_MODELS else pytest.mark.sweep) for name in MODELS],
)
def test_every_kind_of_model_is_judged(name):
    kind = MODELS[name]
    if keras.backend.backend() in kind.not_on:
        pytest.skip(kind.not_on[keras.backend.backend()])
    check_all_was_answered(*fitted(kind, DATA["tf.data, batched"].of))


@pytest.mark.sweep
@pytest.mark.parametrize("form", [form for form in DATA if form != "Python generator"])
@pytest.mark.parametrize("name", OF_EACH_STRUCTURE)
def test_rows_of_every_form_are_judged(name, form):
    kind = MODELS[name]
    if keras.backend.backend() in kind.not_on:
        pytest.skip(kind.not_on[keras.backend.backend()])
    check_all_was_answered(*fitted(kind, DATA[form].of))
