"""What is spared changes no number: the engine on a zoo of architectures."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from models.architectures import ZOO

import keras_importance.engine.scores.exact as scoring
from keras_importance import PermutationImportance, PerturbationMethod
from keras_importance.engine.cut.cut import cuts, whole_model
from keras_importance.engine.cut.graph import Graph
from keras_importance.engine.scores.sample import ScoreRequest
from keras_importance.engine.scores.scoring import EXACT
from keras_importance.methods import Replacement
from keras_importance.methods.preparation import prepared_evaluator
from keras_importance.statistics.donors import Donors


class Halved(PerturbationMethod):
    """Moves half of the way to the donor: what is kept and what is given are both in play."""

    name = "halved"

    def replacement(self, data):
        half = [leaf / 2 if leaf.dtype.kind == "f" else leaf for leaf in data.inputs]
        none = [0 * leaf for leaf in data.inputs]
        kept = [h if h.dtype.kind == "f" else n for h, n in zip(half, none, strict=True)]
        return Replacement(donated=tuple(half), kept=tuple(kept))


def targets_of(model, x, rng):
    outputs = model(x)
    return keras.tree.map_structure(
        lambda one: rng.standard_normal(one.shape).astype("float32"), outputs
    )


@pytest.fixture(params=ZOO, ids=list(ZOO))
def example(request, rng):
    return example_of(request.param, rng)


def example_of(name, rng):
    """`(is_cut, model, data)` of an architecture, its weights moved away from their start."""
    one = ZOO[name]
    x = one.rows(rng)
    model = one.make()
    y = targets_of(model, x, rng)
    model.compile(loss="mse" if not isinstance(y, dict) else dict.fromkeys(y, "mse"))
    model.set_weights([w + 0.1 * rng.random(w.shape).astype(w.dtype) for w in model.get_weights()])
    return one.is_cut, model, (x, y)


def evaluator_of(model, data, features=None, method=None):
    return prepared_evaluator(
        model,
        data,
        [method or PermutationImportance(3)],
        features=features,
        metric="loss",
        max_samples=None,
        seed=0,
    )


def whole(monkeypatch):
    monkeypatch.setattr(
        scoring, "cuts", lambda model, data, features: [whole_model(model, data, features)]
    )


def test_sparing_layers_changes_no_number(example, monkeypatch):
    """Exact up to rounding: within 1e-5 of the largest importance."""
    hold_together(PermutationImportance(3), *example[1:], monkeypatch)


@pytest.mark.parametrize("name", ["normalised", "embedded", "conv causal", "towers", "recurrent"])
def test_sparing_layers_changes_no_number_where_rows_keep_something(name, rng, monkeypatch):
    hold_together(Halved(2), *example_of(name, rng)[1:], monkeypatch)


def hold_together(method, model, data, monkeypatch):
    spared = method(evaluator_of(model, data, method=method))
    whole(monkeypatch)
    plain = method(evaluator_of(model, data, method=method))
    scale = np.abs(plain.importances).max()
    np.testing.assert_allclose(spared.importances, plain.importances, rtol=0, atol=1e-5 * scale)
    np.testing.assert_allclose(spared.std_error, plain.std_error, rtol=1e-3, atol=1e-5 * scale)
    assert spared.baseline_score == pytest.approx(plain.baseline_score, rel=1e-5)


def test_layers_are_spared_where_they_can_be(example):
    is_cut, model, data = example
    evaluator = evaluator_of(model, data)
    found = evaluator.scorer(EXACT)._sound_cuts()
    assert any(not cut.is_whole for cut in found) == is_cut
    assert sorted(number for cut in found for number in cut.features) == list(
        range(len(evaluator.features))
    )
    # Guards the rules themselves: no cut was found that the check had to throw out.
    proposed = cuts(model, evaluator.data, evaluator.features)
    assert [cut.features for cut in proposed] == [cut.features for cut in found]


def test_the_users_model_gets_no_further_calls(example):
    """A sub-model between tensors would leave a call in each layer."""
    _, model, data = example
    graph = Graph.of(model)
    if graph is None:
        return
    calls = [len(call.operation._inbound_nodes) for call in graph.calls]
    PermutationImportance(2)(evaluator_of(model, data))
    assert [len(call.operation._inbound_nodes) for call in graph.calls] == calls


def test_groups_of_many_columns_change_no_number(rng, monkeypatch):
    """Groups of 1, 2 and 9 columns are computed in three ways."""
    x = rng.standard_normal((200, 12)).astype("float32")
    model = keras.Sequential(
        [keras.Input((12,)), keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(1)]
    )
    model.compile(loss="mse")
    groups = {"two": [0, 5], "nine": [1, 2, 3, 4, 6, 7, 8, 9, 10]}
    data = (x, x[:, 0])
    spared = PermutationImportance(3)(evaluator_of(model, data, groups))
    whole(monkeypatch)
    plain = PermutationImportance(3)(evaluator_of(model, data, groups))
    np.testing.assert_allclose(spared.importances, plain.importances, rtol=1e-4, atol=1e-6)


def test_a_group_across_towers_changes_no_number(rng, monkeypatch):
    example = ZOO["towers"]
    x, model = example.rows(rng), example.make()
    model.compile(loss="mse")
    groups = {"both": [("series", 1), ("flat", 2)]}
    data = (x, rng.standard_normal((90, 1)))
    spared = PermutationImportance(3)(evaluator_of(model, data, groups))
    whole(monkeypatch)
    plain = PermutationImportance(3)(evaluator_of(model, data, groups))
    np.testing.assert_allclose(spared.importances, plain.importances, rtol=1e-4, atol=1e-7)


def test_a_feature_that_the_model_ignores_differs_by_nothing_at_all(rng):
    """Not even by rounding: an interval of width 0 round 0 beside one round 1e-9 is another claim.

    JAX multiplies matrices in another order for other places in a block: there it is rounding.
    """
    x = 100 * rng.standard_normal((500, 20)).astype("float32")
    model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(16), keras.layers.Dense(1)])
    kernel, *others = model.get_weights()
    kernel[7] = 0
    model.set_weights([kernel, *others])
    model.compile(loss="mse")
    result = PermutationImportance(3)(evaluator_of(model, (x, x[:, 0])))
    rounding = 1e-8 * result.baseline_score if keras.backend.backend() == "jax" else 0.0
    assert np.all(np.abs(result.importances[7]) <= rounding)
    assert result.std_error[7] <= rounding


@pytest.mark.parametrize("n_rows", [2, 7, 511, 513, 1025])
def test_any_number_of_rows_and_features_fits_the_blocks(n_rows, rng, monkeypatch):
    x = rng.standard_normal((n_rows, 3)).astype("float32")
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(1)]
    )
    model.compile(loss="mse")
    spared = PermutationImportance(1)(evaluator_of(model, (x, x[:, 0]), method=PermutationImportance(1)))
    whole(monkeypatch)
    plain = PermutationImportance(1)(evaluator_of(model, (x, x[:, 0]), method=PermutationImportance(1)))
    np.testing.assert_allclose(spared.importances, plain.importances, rtol=1e-4, atol=1e-7)


def test_some_features_on_some_rows_are_scored_as_among_all(rng):
    x = rng.standard_normal((600, 30)).astype("float32")
    model = keras.Sequential(
        [keras.Input((30,)), keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(1)]
    )
    model.compile(loss="mse")
    evaluator = evaluator_of(model, (x, x[:, 0]))
    method = PermutationImportance(2)
    rows = np.arange(0, 600, 2)
    donors = Donors.draw(len(rows), 2, evaluator.rng())
    replacement = method.replacement(evaluator.data)

    def scores(features):
        found = {}
        for piece in evaluator.scores(ScoreRequest(replacement, donors, rows, features)):
            found |= dict(zip(piece.indices.tolist(), piece.scores, strict=True))
        return found

    everything, some = scores(np.arange(30)), scores(np.array([4, 29]))
    assert set(some) == {4, 29}
    for number, values in some.items():
        np.testing.assert_allclose(values, everything[number], rtol=1e-5, atol=1e-7)


def test_programs_are_compiled_once(rng):
    """Other rows, repeats and features compile nothing anew, down to half of the rows.

    Fewer rows would be scored in blocks that are mostly padding.
    """
    x = rng.standard_normal((700, 10)).astype("float32")
    model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    model.compile(loss="mse")
    evaluator = evaluator_of(model, (x, x[:, 0]))
    method = PermutationImportance(3)
    for _ in range(2):  # the second call of a program corrects what its first is said to have taken
        method(evaluator)
    seconds = evaluator.compiler.seconds
    assert (seconds > 0) == (keras.backend.backend() != "torch")  # which compiles nothing
    for n_rows, n_repeats, features in ((700, 3, None), (400, 2, np.array([1])), (351, 1, np.arange(9))):
        rows = np.arange(n_rows)
        donors = Donors.draw(n_rows, n_repeats, evaluator.rng())
        replacement = method.replacement(evaluator.data)
        list(evaluator.scores(ScoreRequest(replacement, donors, rows, features)))
    assert evaluator.compiler.seconds == seconds


def test_a_layer_that_draws_random_numbers_is_run_whole(rng):
    class Noise(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.generator = keras.random.SeedGenerator(3)

        def call(self, x):
            return x + keras.random.normal(keras.ops.shape(x), seed=self.generator)

    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(1)(Noise()(keras.layers.Dense(3)(inputs))))
    model.compile(loss="mse")
    x = rng.standard_normal((50, 4)).astype("float32")
    evaluator = evaluator_of(model, (x, x[:, 0]))
    assert [cut.is_whole for cut in evaluator.scorer(EXACT)._sound_cuts()] == [True]


def test_half_precision_is_run_whole(rng):
    """Updating and recomputing round differently there, by more than 1e-5."""
    policy = keras.DTypePolicy("mixed_bfloat16")
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, dtype=policy), keras.layers.Dense(1, dtype=policy)]
    )
    model.compile(loss="mse")
    x = rng.standard_normal((50, 4)).astype("float32")
    evaluator = evaluator_of(model, (x, x[:, 0]))
    assert [cut.is_whole for cut in evaluator.scorer(EXACT)._sound_cuts()] == [True]
    assert np.all(np.isfinite(PermutationImportance(2)(evaluator).importances))
