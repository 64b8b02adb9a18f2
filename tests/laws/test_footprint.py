"""Zero footprint: a training leaves the same state behind with and without the callback."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib import import_module
from itertools import product
from typing import Any

import keras
import numpy as np
import pytest

from keras_importance import FeatureImportance, UselessFeatureDetector, compute_importance
from keras_importance.errors import ImportanceWarning
from keras_importance.methods import METHODS

# Imported, whichever is the backend: their global generators are to be left alone as well.
for library in ("tensorflow", "torch"):
    with suppress(ImportError):
        import_module(library)

layers = keras.layers
N_ROWS = 48
N_EPOCHS = 2

# What the callback says of so few rows is no fault here.
pytestmark = pytest.mark.filterwarnings("ignore:FeatureImportance has .* validation rows for")


class SeededNoise(layers.Layer):
    """Draws in inference, too, from a generator of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = keras.random.SeedGenerator(5)

    def call(self, x: Any) -> Any:
        return x + 0.1 * keras.random.normal(keras.ops.shape(x), dtype=x.dtype, seed=self.generator)


def of_table() -> tuple[Any, Any]:
    parts = [
        layers.Dense(6, activation="relu"),
        layers.BatchNormalization(),
        layers.Dropout(0.3),
        layers.Dropout(0.2, seed=3),
        layers.Dense(1),
    ]
    return keras.Sequential([keras.Input((3,)), *parts]), (3,)


def of_images() -> tuple[Any, Any]:
    parts = [
        layers.RandomFlip("horizontal", seed=1),
        layers.RandomRotation(0.1, seed=2),
        layers.RandomContrast(0.2, seed=3),
        layers.Conv2D(2, 3, activation="relu"),
        layers.BatchNormalization(),
        layers.GlobalAveragePooling2D(),
        layers.Dropout(0.3),
        layers.Dense(1),
    ]
    return keras.Sequential([keras.Input((6, 6, 2)), *parts]), (6, 6, 2)


def of_noise() -> tuple[Any, Any]:
    parts = [
        layers.GaussianNoise(0.2, seed=4),
        SeededNoise(),
        layers.Dense(5, activation="tanh"),
        layers.GaussianDropout(0.2, seed=5),
        layers.AlphaDropout(0.1),
        layers.Dense(1),
    ]
    return keras.Sequential([keras.Input((3,)), *parts]), (3,)


MODELS = {"table": of_table, "images": of_images, "noise": of_noise}

COMPILED: dict[str, Callable[[], dict[str, Any]]] = {
    "adam": lambda: {"optimizer": "adam"},
    "ema": lambda: {"optimizer": keras.optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=3)},
    "loss scaling": lambda: {
        "optimizer": keras.optimizers.LossScaleOptimizer(
            keras.optimizers.SGD(0.01), initial_scale=1024.0, dynamic_growth_steps=2
        )
    },
    "accumulation": lambda: {"optimizer": keras.optimizers.Adam(0.01, gradient_accumulation_steps=2)},
    "schedule": lambda: {
        "optimizer": keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 6), momentum=0.9)
    },
    "eager": lambda: {"optimizer": "adam", "run_eagerly": True},
}
# Those that twins can't be trained with, as the error says before the training.
NO_TWINS = {"ema", "loss scaling", "accumulation"}

CALLBACKS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "no budget": {"time_budget": None},
    "no detectors": {"time_budget": None, "detectors": ()},
    "patient": {"time_budget": None, "detectors": [UselessFeatureDetector(0.9, 0.9, patience=1)]},
}


def random_states() -> dict[str, Any]:
    """All global random states there are, also of libraries that are merely imported."""
    generator = keras.src.backend.common.global_state.get_global_attribute("global_seed_generator")
    states = {
        "python": random.getstate(),
        "numpy": np.random.get_state()[1:3],  # noqa: NPY002
        "keras": None if generator is None else keras.ops.convert_to_numpy(generator.state.value),
    }
    if "torch" in sys.modules:
        states["torch"] = sys.modules["torch"].get_rng_state().numpy()
    if "tensorflow" in sys.modules:
        tf = sys.modules["tensorflow"]
        states["tensorflow"] = tf.random.get_global_generator().state.numpy()
        states["eager tensorflow"] = float(tf.random.normal(()))
    return states


def trained(model: str, compiled: str, callbacks: list[Any]) -> dict[str, Any]:
    """What a training from a fixed start leaves behind."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    if "tensorflow" in sys.modules:
        tf = sys.modules["tensorflow"]
        tf.random.set_global_generator(tf.random.Generator.from_seed(1))
    mixed = compiled == "loss scaling"
    keras.config.set_dtype_policy("mixed_float16" if mixed else "float32")
    try:
        network, shape = MODELS[model]()
        network.compile(loss="mse", metrics=["mae"], **COMPILED[compiled]())
    finally:
        keras.config.set_dtype_policy("float32")
    keras.random.normal(())  # from the global generator, which exists from here on
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N_ROWS, *shape)).astype("float32")
    y = x.reshape(N_ROWS, -1)[:, :1] ** 2
    history = network.fit(
        x, y, validation_split=1 / 3, batch_size=8, epochs=N_EPOCHS, verbose=0, callbacks=callbacks
    ).history
    variables = {
        "weights": network.weights,
        "optimizer": network.optimizer.variables,
        "metrics": network.metrics_variables,
        "seeds": network.non_trainable_variables,
    }
    return {
        "history": history,
        **{name: [keras.ops.convert_to_numpy(v) for v in found] for name, found in variables.items()},
        **random_states(),
    }


without = cache(lambda model, compiled: trained(model, compiled, []))


def assert_same(model: str, compiled: str, importance: FeatureImportance) -> None:
    expected, found = without(model, compiled), trained(model, compiled, [importance])
    assert importance.results, "nothing was evaluated"
    np.testing.assert_equal(found, expected)


@pytest.mark.parametrize("method", METHODS)
def test_each_method_leaves_the_training_as_it_is(method, tmp_path):
    importance = FeatureImportance(methods=method, log_dir=tmp_path, time_budget=None)
    assert_same("table", "adam", importance)
    assert importance.history.epochs == tuple(range(N_EPOCHS))


@pytest.mark.parametrize("model", ["images", "noise"])
def test_seeded_augmentation_and_noise_are_left_as_they_are(model):
    methods = [name for name in METHODS if not METHODS[name].trains]
    importance = FeatureImportance(methods=methods, time_budget=None)
    assert_same(model, "adam", importance)
    assert set(importance.results) == set(methods)


@pytest.mark.parametrize("compiled", [name for name in COMPILED if name != "adam"])
def test_every_optimizer_keeps_its_state(compiled):
    assert_same("table", compiled, FeatureImportance(time_budget=None))


@pytest.mark.parametrize("arguments", CALLBACKS.values(), ids=CALLBACKS)
def test_what_the_callback_is_asked_for_changes_no_training(arguments):
    assert_same("table", "adam", FeatureImportance(**arguments))


# Every method beside every model, optimizer and setting takes an hour: one in 37 cases, which has no
# factor in common with their numbers and so meets all of them, or FOOTPRINT=all.
MATRIX = list(product(METHODS, MODELS, COMPILED, CALLBACKS, [False, True]))
CASES = MATRIX if os.environ.get("FOOTPRINT") == "all" else MATRIX[::37]


@pytest.mark.long
@pytest.mark.parametrize(
    ("method", "model", "compiled", "arguments", "logs"), CASES, ids=lambda one: str(one)
)
def test_any_cell_of_the_matrix_leaves_the_training_as_it_is(
    method, model, compiled, arguments, logs, tmp_path
):
    log_dir = tmp_path if logs else None
    # Detectors judge permutation importance.
    methods = list(
        dict.fromkeys([method, "permutation"] if CALLBACKS[arguments].get("detectors") else [method])
    )
    importance = FeatureImportance(methods=methods, log_dir=log_dir, **CALLBACKS[arguments])
    if METHODS[method].trains and compiled in NO_TWINS:
        with pytest.warns(ImportanceWarning, match=r"it got a model whose twins .* can't train"):
            found = trained(model, compiled, [importance])
        np.testing.assert_equal(found, without(model, compiled))
        return
    assert_same(model, compiled, importance)


# --- what a user's metric draws --------------------------------------------------------------------


def draws_python(y_true: Any, y_pred: Any) -> Any:
    random.random()  # noqa: S311
    return np.square(y_true - y_pred)


def draws_numpy(y_true: Any, y_pred: Any) -> Any:
    np.random.shuffle(np.arange(9))  # noqa: NPY002
    return np.square(y_true - y_pred)


def draws_keras(y_true: Any, y_pred: Any) -> Any:
    keras.random.normal(())
    return np.square(y_true - y_pred)


def draws_torch(y_true: Any, y_pred: Any) -> Any:
    sys.modules["torch"].rand(2)
    return np.square(y_true - y_pred)


def draws_tensorflow(y_true: Any, y_pred: Any) -> Any:
    sys.modules["tensorflow"].random.get_global_generator().normal(())
    return np.square(y_true - y_pred)


@pytest.mark.parametrize(
    "metric", [draws_python, draws_numpy, draws_keras, draws_torch, draws_tensorflow]
)
def test_what_a_metric_draws_from_global_generators_is_put_back(metric):
    """Of all libraries that are imported, whichever is the backend."""
    if metric in (draws_torch, draws_tensorflow):
        pytest.importorskip(metric.__name__.removeprefix("draws_"))
    keras.utils.set_random_seed(1)
    keras.random.normal(())
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    model.compile(loss="mse")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, 2)), rng.standard_normal((20, 1))

    def states_after(evaluate: Callable[[], Any]) -> dict[str, Any]:
        keras.utils.set_random_seed(2)
        keras.random.normal(())
        if "tensorflow" in sys.modules:
            tf = sys.modules["tensorflow"]
            tf.random.set_global_generator(tf.random.Generator.from_seed(1))
        if "torch" in sys.modules:
            sys.modules["torch"].manual_seed(2)
        evaluate()
        return random_states()

    expected = states_after(lambda: None)
    found = states_after(lambda: compute_importance(model, (x, y), methods="permutation", metric=metric))
    np.testing.assert_equal(found, expected)
