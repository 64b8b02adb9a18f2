"""Programs are compiled once for a model: whoever evaluates it later uses them again."""

from __future__ import annotations

import gc
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from keras_importance import FeatureImportance, compute_importance
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.backends import backend, program_keys, shared_programs

pytestmark = pytest.mark.filterwarnings("ignore:FeatureImportance has .* validation rows for")
compiles = pytest.mark.skipif(not backend.current().COMPILES, reason="the backend compiles nothing")
layers = keras.layers
N_ROWS, N_FEATURES = 64, 4


def rows(seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N_ROWS, N_FEATURES)).astype("float32")
    return x, (x[:, 0] + 0.5 * x[:, 1] ** 2).astype("float32")


def new_model(*further: Any) -> Any:
    keras.utils.set_random_seed(1)
    first = layers.Dense(6, activation="tanh")
    model = keras.Sequential([keras.Input((N_FEATURES,)), first, *further, layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def like(model: Any) -> Any:
    """A new model with the same layers and weights, for which nothing is compiled yet."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    copy.compile("sgd", model.loss)
    return copy


def importances(model: Any, data: Any = None, **arguments: Any) -> dict[str, Any]:
    results = compute_importance(model, rows() if data is None else data, **arguments)
    return {method: result.importances_mean for method, result in results.items()}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The programs compiled since the beginning of the test; not those that JAX runs as they are."""
    programs = []
    new = shared_programs._new

    def noted(*arguments: Any) -> Any:
        program, (_, _, fuse) = new(*arguments), arguments
        if fuse:
            programs.append(program)
        return program

    monkeypatch.setattr(shared_programs, "_new", noted)
    return programs


def of_calls(model: Any) -> None:
    compute_importance(model, rows())


def of_other_rows(model: Any) -> None:
    compute_importance(model, rows(seed=len(model.layers) + gc.get_count()[0]))


def of_new_callbacks(model: Any) -> None:
    callbacks = [FeatureImportance(verbose=0, time_budget=None)]
    model.fit(*rows(), validation_data=rows(1), verbose=0, callbacks=callbacks)


STEPS = [of_calls, of_other_rows, of_new_callbacks]


def n_traces(programs: list[Any]) -> int:
    return sum(program.n_traces for program in programs)


@compiles
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
@pytest.mark.parametrize("n", [3, pytest.param(30, marks=pytest.mark.long)])
def test_a_model_is_compiled_for_once_however_often_it_is_evaluated(
    made: list[Any], step: Callable[[Any], None], n: int
) -> None:
    model = new_model()
    step(model)
    of_first = len(made), n_traces(made)
    assert of_first[0] > 0
    for _ in range(n):
        step(model)
    assert (len(made), n_traces(made)) == of_first


@compiles
def test_recurrent_and_masked_models_are_compiled_for_once(made: list[Any]) -> None:
    model = keras.Sequential(
        [
            keras.Input((5, 3)),
            layers.Masking(),
            layers.LSTM(4),
            layers.BatchNormalization(),
            layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(40, 5, 3)).astype("float32")
    x[:20, 3:] = 0
    for step in range(3):
        compute_importance(model, (x, x[:, 0, 0]))
        if step == 0:
            n_first = len(made), n_traces(made)
    assert (len(made), n_traces(made)) == n_first


def other_activation(model: Any) -> None:
    model.layers[0].activation = keras.activations.relu


def other_loss(model: Any) -> None:
    model.compile("sgd", "mae")


def other_rate(model: Any) -> None:
    model.layers[1].scale = 3.0


def other_weights(model: Any) -> None:
    model.set_weights([-2 * weights for weights in model.get_weights()])


@pytest.mark.parametrize("change", [other_activation, other_loss, other_rate, other_weights])
def test_a_changed_model_has_the_importances_of_a_new_one(change: Callable[[Any], None]) -> None:
    model = new_model(layers.Rescaling(1.0))
    before = importances(model)
    change(model)
    after, expected = importances(model), importances(like(model))
    for method, values in expected.items():
        np.testing.assert_allclose(after[method], values, rtol=1e-5, atol=1e-7)
    assert any(not np.allclose(before[method], values) for method, values in expected.items())


@pytest.mark.parametrize(
    "arguments",
    [
        {"features": {"pair": [0, 1]}},
        {"features": {"pair": [1, 2]}},
        {"seed": 3},
        {"metric": "mae"},
        {"data": rows(4)},
        {"data": (rows(4)[0][:37], rows(4)[1][:37])},
        {"data": (*rows(4), np.linspace(0.5, 2, N_ROWS))},
    ],
    ids=str,
)
def test_importances_do_not_depend_on_earlier_calls(arguments: dict[str, Any]) -> None:
    used = new_model()
    used.compile("sgd", "mse", metrics=["mae"])
    fresh = like(used)
    fresh.compile("sgd", "mse", metrics=["mae"])
    importances(used)
    ours, expected = importances(used, **arguments), importances(fresh, **arguments)
    for method, values in expected.items():
        np.testing.assert_allclose(ours[method], values, rtol=1e-5, atol=1e-7)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX refuses draws without a seed")
def test_random_models_repeat_their_numbers_from_call_to_call() -> None:
    class Noisy(layers.Layer):
        def call(self, x: Any) -> Any:
            return x + 0.1 * keras.random.normal(keras.ops.shape(x))

    model = new_model(Noisy())
    keras.utils.set_random_seed(5)
    first = importances(model)
    keras.utils.set_random_seed(5)
    for method, values in importances(model).items():
        np.testing.assert_array_equal(values, first[method])


def test_programs_are_freed_with_their_model() -> None:
    model = new_model()
    of_calls(model)
    of_new_callbacks(model)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_programs_hold_none_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[Any] = []
    read = ValidationData.read.__func__  # type: ignore[attr-defined]

    def noted(cls: Any, *arguments: Any, **further: Any) -> Any:
        data = read(cls, *arguments, **further)
        alive.extend([weakref.ref(data), *map(weakref.ref, data.inputs)])
        return data

    monkeypatch.setattr(ValidationData, "read", classmethod(noted))
    model = new_model()
    methods = ("gradient", "permutation", "ablation", "conditional", "linearised")
    for method in methods[:3]:
        compute_importance(model, rows(), methods=(method,))
    gc.collect()
    assert alive
    assert not [reference for reference in alive if reference() is not None]


def test_models_show_no_sign_of_programs(tmp_path: Any) -> None:
    model = new_model()
    before = set(dir(model)), set(vars(model))
    of_calls(model)
    assert (set(dir(model)), set(vars(model))) == before
    for copy in (pickle.loads(pickle.dumps(model)), keras.models.clone_model(model)):
        assert shared_programs._NAME not in vars(copy._tracker)
    model.save(tmp_path / "model.keras")
    assert shared_programs._NAME not in vars(keras.saving.load_model(tmp_path / "model.keras")._tracker)


def test_programs_push_out_those_that_were_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_programs, "_MOST_PROGRAMS", 3)
    model = new_model()
    first = shared_programs.compiled_program(model, program_of(0), fuse=False)
    assert shared_programs.compiled_program(model, program_of(0), fuse=False) is first
    for number in range(1, 4):
        shared_programs.compiled_program(model, program_of(number), fuse=False)
    assert shared_programs.compiled_program(model, program_of(0), fuse=False) is not first


def program_of(number: int) -> Callable[..., Any]:
    """A program that is known by its identity alone, as it is neither of Keras nor of the package."""
    functions = PROGRAMS.setdefault(number, [lambda call, x: call(x)])
    return functions[0]


PROGRAMS: dict[int, list[Callable[..., Any]]] = {}


def test_keys_tell_contents_apart() -> None:
    """Arrays and numbers count by their content, unknown objects by identity."""
    key, thing = program_keys.key_of, object()
    assert key([1, np.arange(3), thing]) == key([1, np.arange(3), thing])
    assert key([float("nan")]) == key([float("nan")])
    assert key(True) != key(1) != key(1.0)
    assert key(np.arange(3)) != key(np.arange(3.0))
    assert key(np.arange(3)) != key(np.arange(1, 4))
    assert key([thing]) != key([object()])
    around: list[Any] = []
    around.append(around)
    assert key(around) == key(around)
