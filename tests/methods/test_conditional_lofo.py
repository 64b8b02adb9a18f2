"""Conditional LOFO: what a model loses that has to do without a feature, known on paper."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import keras
import numpy as np
import pytest
from sklearn.metrics import r2_score, roc_auc_score

import keras_importance.methods.conditional_lofo as conditional_lofo
from keras_importance import ConditionalLOFO, ConditionalPermutation, compute_importance
from keras_importance.data.features import FeatureSet
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.effort import Effort
from keras_importance.engine.evaluator import Evaluator
from keras_importance.engine.scores.averaged import pseudo_values
from keras_importance.engine.scores.sample import ScoreRequest
from keras_importance.engine.scores.scoring import AVERAGED
from keras_importance.methods.affordable_work import Work
from keras_importance.methods.partial_scores import PartialScores
from keras_importance.methods.preparation import prepared_evaluator
from keras_importance.methods.redrawing import conditional_replacement
from keras_importance.statistics.donors import Donors
from keras_importance.statistics.influence import Influence

NAME = "conditional_lofo"
BACKEND = keras.backend.backend()
layers = keras.layers


def importance(model, data, n_repeats=5, **arguments):
    return compute_importance(model, data, methods=[ConditionalLOFO(n_repeats)], **arguments)[NAME]


def evaluator_of(model, data, *methods, **arguments):
    return prepared_evaluator(
        model,
        data,
        methods or [ConditionalLOFO()],
        **{"features": None, "metric": "loss", "max_samples": None, "seed": 0, **arguments},
    )


def within_errors(result, expected, errors=3):
    return np.abs(result.importances_mean - expected) <= errors * result.std_error + 1e-6


def correlated(rng, n_rows, n_columns, rho):
    """Standard normals, the first two of them correlated by rho."""
    x = rng.standard_normal((n_rows, n_columns))
    x[:, 1] = rho * x[:, 0] + math.sqrt(1 - rho**2) * x[:, 1]
    return x


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def normal_mean(function, *others):
    """E of a function of one normal value; further arguments stay as they are."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(61)
    return sum(w * function(node, *others) for node, w in zip(nodes, weights, strict=True)) / math.sqrt(
        2 * math.pi
    )


# --- values known on paper ----------------------------------------------------------------------


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.75])
def test_of_a_linear_model_it_is_the_effect_of_what_the_others_do_not_say(linear_model, rng, rho):
    """b_j² Var(x_j | the others), the designs of Lazy-VI: 2.25 (1 - rho²) for x1, 1.44 (1 - rho²), 1."""
    weights = np.array([1.5, 1.2, 1.0, 0.0, 0.0, 0.0])
    x = correlated(rng, 5000, 6, rho)
    result = importance(linear_model(weights), (x, x @ weights + 0.1 * rng.standard_normal(5000)))
    expected = weights**2 * np.array([1 - rho**2, 1 - rho**2, 1, 1, 1, 1])
    assert np.all(within_errors(result, expected))
    assert np.all(result.importances[3:] == 0)
    assert np.all(result.std_error[:3] < 0.07)


def test_of_a_linear_model_with_wrong_slopes_it_is_what_the_right_ones_say(linear_model, rng):
    """E (b m + .. - y)² - E (b x + .. - y)² = b (2 c - b) Var(x | the others): .5 · 1.5 and 3 · (2 - 3)."""
    x = correlated(rng, 5000, 2, 0.5)
    result = importance(linear_model([0.5, 3.0]), (x, x.sum(axis=1)))
    assert np.all(within_errors(result, 0.75 * np.array([0.75, -3.0])))


@pytest.mark.parametrize("n_repeats", [2, 3, 20])
def test_no_number_of_draws_is_too_small(linear_model, rng, n_repeats):
    """The mean of K draws alone would lose a² / K more: here 1.8, 1.2 and 0.18 more than the -1.2."""
    x = rng.standard_normal((5000, 2))
    result = importance(linear_model([1.9, 0.7]), (x, 0.633 * x[:, 0]), n_repeats)
    assert np.all(within_errors(result, [1.9 * (2 * 0.633 - 1.9), -(0.7**2)]))
    assert result.n_repeats == n_repeats


class Friedman(keras.Model):
    """10 sin(pi x1 x2) + 20 (x3 - 1/2)² + 10 x4 + 5 x5."""

    def call(self, x):
        product = keras.ops.sin(math.pi * x[:, 0] * x[:, 1])
        return 10 * product[:, None] + 20 * (x[:, 2:3] - 0.5) ** 2 + 10 * x[:, 3:4] + 5 * x[:, 4:5]


def test_friedmans_function_loses_the_variance_of_each_input(rng):
    """E Var(f | the others): 400/180, 100/12, 25/12 and, for the product, 6.486 by quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    u, w = (nodes + 1) / 2, weights / 2
    f = 10 * np.sin(math.pi * np.outer(u, u))
    product = float(w @ (f**2 @ w - (f @ w) ** 2))
    assert product == pytest.approx(6.486, abs=1e-3)
    x = rng.random((5000, 10)).astype("float32")
    model = Friedman()
    y = keras.ops.convert_to_numpy(model(x))
    model.compile(loss="mse")
    result = importance(model, (x, y + rng.standard_normal((5000, 1))), 10)
    expected = [product, product, 400 / 180, 100 / 12, 25 / 12, 0, 0, 0, 0, 0]
    assert np.all(within_errors(result, expected))
    assert np.all(result.std_error < 0.03 * np.maximum(expected, 1))


def test_a_copy_loses_nothing_and_the_pair_all(linear_model, rng):
    """X0 twice: each redrawn given the other stays as it is; the pair is worth (b + b')² Var = 4."""
    x = rng.standard_normal((3000, 3))
    x[:, 1] = x[:, 0]
    model, data = linear_model([1.0, 1.0, 1.0]), (x, x.sum(axis=1))
    methods = ["permutation", ConditionalLOFO()]
    apart = compute_importance(model, data, methods=methods)
    pair = importance(model, data, features={"pair": [0, 1]})
    assert np.all(apart["permutation"].importances_mean > 1)
    assert apart[NAME].importances_mean[:2] == pytest.approx([0, 0], abs=1e-3)
    assert pair.feature_names[0] == "pair"
    assert np.all(within_errors(pair, [4, 1]))


def test_the_log_loss_of_a_right_classifier_is_that_of_its_mean_probability(rng):
    """P = sigmoid(x0 + 2 x1): the cross-entropy of E[p | the other] less the entropy of p, by quadrature."""
    x = rng.standard_normal((5000, 2))
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1, activation="sigmoid")])
    model.set_weights([np.array([[1.0], [2.0]]), np.zeros(1)])
    model.compile(loss="binary_crossentropy")
    y = (rng.random(5000) < sigmoid(x @ [1.0, 2.0])).astype("float32")

    def entropy(p):
        p = np.clip(p, 1e-12, 1 - 1e-12)
        return -p * np.log(p) - (1 - p) * np.log(1 - p)

    def expected(own, other):
        mean = lambda a: normal_mean(lambda b: sigmoid(own * b + other * a))  # noqa: E731
        both = normal_mean(lambda a: normal_mean(lambda b: entropy(sigmoid(own * b + other * a))))
        return normal_mean(lambda a: entropy(mean(a))) - both

    result = importance(model, (x, y))
    assert np.all(within_errors(result, [expected(1, 2), expected(2, 1)]))
    assert np.all(result.importances_mean > 6 * result.std_error)
    two = keras.Sequential([keras.Input((2,)), layers.Dense(2, activation="softmax")])
    two.set_weights([np.array([[0, 1.0], [0, 2.0]]), np.zeros(2)])
    two.compile(loss="sparse_categorical_crossentropy")
    softmax = importance(two, (x, y.astype(int)))
    assert softmax.importances == pytest.approx(result.importances, rel=1e-3, abs=1e-4)


def test_accuracy_falls_to_that_of_the_sign_of_the_other(rng):
    """E[p | x1] > 1/2 where x1 > 0: right with sigmoid(x0 + 2 x1) then, before with max(p, 1 - p)."""
    x = rng.standard_normal((5000, 2))
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1, activation="sigmoid")])
    model.set_weights([np.array([[1.0], [2.0]]), np.zeros(1)])
    model.compile(loss="binary_crossentropy", metrics=["accuracy"])
    y = (rng.random(5000) < sigmoid(x @ [1.0, 2.0])).astype("float32")
    result = importance(model, (x, y), 20, metric="accuracy")
    best = np.mean(np.maximum(sigmoid(x @ [1.0, 2.0]), sigmoid(-x @ [1.0, 2.0])))
    by_sign = [np.mean(sigmoid(np.sign(x[:, other]) * (x @ [1.0, 2.0]))) for other in (1, 0)]
    assert np.all(within_errors(result, best - np.array(by_sign)))
    assert result.error_source == "rows"
    assert np.all(result.importances_mean > 4 * result.std_error)


def test_a_metric_of_all_rows_is_that_of_the_mean_predictions(rng, linear_model):
    """The mean prediction without x0 rises with x1 alone: its AUC is that of x1. R²: 1 - Var(f) / Var(y)."""
    x = rng.standard_normal((2000, 2))
    y = (rng.random(2000) < sigmoid(x @ [1.0, 2.0])).astype(int)
    result = importance(linear_model([1.0, 2.0]), (x, y), 30, metric=roc_auc_score)
    alone = [roc_auc_score(y, x[:, other]) for other in (1, 0)]
    expected = roc_auc_score(y, x @ [1.0, 2.0]) - np.array(alone)
    assert result.error_source == "repeats"
    assert result.importances_mean == pytest.approx(expected, abs=0.01)
    assert np.all((result.std_error > 0) & (result.std_error < 0.01))
    r2 = importance(linear_model([1.0, 2.0]), (x, x @ [1.0, 2.0]), metric=r2_score)
    assert r2.importances_mean == pytest.approx([1 / 5, 4 / 5], abs=0.05)


def test_a_loss_of_all_rows_at_once_equals_that_of_rows(linear_model, small_data):
    """The mean of squares by a callable of one number: the same values, with another error."""

    def one_number(y_true, y_pred):
        return float(np.mean((y_true - y_pred[:, 0]) ** 2))

    def per_row(y_true, y_pred):
        return (y_true - y_pred[:, 0]) ** 2

    model = linear_model([1.0, -1.0, 0.0, 0.5])
    loss = importance(model, small_data)
    together, rows = (importance(model, small_data, metric=metric) for metric in (one_number, per_row))
    assert together.importances_mean == pytest.approx(loss.importances_mean, rel=1e-4, abs=1e-5)
    assert rows.importances_mean == pytest.approx(loss.importances_mean, rel=1e-4, abs=1e-5)
    assert (together.error_source, rows.error_source) == ("repeats", "rows")


# --- what goes in and out -----------------------------------------------------------------------


def test_weights_decide_whose_losses_count(linear_model, rng):
    """B² Var(x) among the heavy rows, 1 and 4, though the weightless ones lend values three times as far."""
    x = rng.standard_normal((5000, 2)) * np.repeat([[1.0], [3.0]], 2500, axis=0)
    weights = np.repeat([1.0, 1e-6], 2500)
    result = importance(linear_model([1.0, 2.0]), (x, x @ [1.0, 2.0], weights))
    assert np.all(within_errors(result, [1, 4]))


def test_a_sequence_loses_whole_trajectories(rng):
    """F = sum_t w_t x_t0 with independent steps: sum_t w_t² = 5 for the first feature, 0 for the second."""
    x = rng.standard_normal((4000, 3, 2))
    model = keras.Sequential([keras.Input((3, 2)), layers.Flatten(), layers.Dense(1)])
    model.set_weights([np.array([[0.0], [0], [1], [0], [-2], [0]]), np.zeros(1)])
    model.compile(loss="mse")
    result = importance(model, (x, x[:, 1, 0] - 2 * x[:, 2, 0]))
    assert np.all(within_errors(result, [5, 0]))
    assert result.importances_mean[1] == 0


def test_categories_lose_the_variance_of_their_effect(rng):
    """E[c] = (0, 1, 4) for a colour that nothing else tells: Var = 26/9; half of x² for the number."""
    inputs = {
        "colour": keras.Input((1,), name="colour", dtype="int32"),
        "x": keras.Input((1,), name="x"),
    }
    embedding, dense = layers.Embedding(3, 1), layers.Dense(1)
    joined = layers.Concatenate()([layers.Flatten()(embedding(inputs["colour"])), inputs["x"]])
    model = keras.Model(inputs, dense(joined))
    embedding.set_weights([np.array([[0.0], [1.0], [4.0]])])
    dense.set_weights([np.array([[1.0], [0.5]]), np.zeros(1)])
    model.compile(loss="mse")
    colour = rng.integers(3, size=(3000, 1)).astype("int32")
    x = rng.standard_normal((3000, 1)).astype("float32")
    y = np.array([0.0, 1.0, 4.0])[colour] + 0.5 * x
    result = importance(model, ({"colour": colour, "x": x}, y))
    assert np.all(within_errors(result, [26 / 9, 1 / 4]))


def test_each_of_several_outputs_is_averaged_by_itself(rng):
    """Losses of the outputs add up with their weights: (2² + 3 · 1²) for x0, 3 · 2² for x1."""
    inputs = keras.Input((2,))
    heads = {"a": layers.Dense(1, name="a"), "b": layers.Dense(1, name="b")}
    model = keras.Model(inputs, {name: head(inputs) for name, head in heads.items()})
    for name, slopes in {"a": [2.0, 0.0], "b": [1.0, 2.0]}.items():
        heads[name].set_weights([np.array(slopes)[:, None], np.zeros(1)])
    model.compile(loss={"a": "mse", "b": "mse"}, loss_weights={"a": 1.0, "b": 3.0})
    x = rng.standard_normal((4000, 2))
    y = {"a": x @ [2.0, 0.0], "b": x @ [1.0, 2.0]}
    assert np.all(within_errors(importance(model, (x, y)), [7, 12]))


class Written(keras.Model):
    """A model in Python, of which nothing is known but its outputs."""

    def __init__(self):
        super().__init__()
        self.parts = [layers.Dense(8, activation="tanh"), layers.Dense(1)]

    def call(self, x):
        for part in self.parts:
            x = part(x)
        return x


def test_what_is_spared_changes_no_number(rng):
    x = rng.standard_normal((700, 5)).astype("float32")
    written = Written()
    written(x)
    model = keras.Sequential([keras.Input((5,)), *[layers.Dense(8, activation="tanh"), layers.Dense(1)]])
    model.set_weights([3 * weights for weights in written.get_weights()])
    written.set_weights(model.get_weights())
    for one in (model, written):
        one.compile(loss="mse")
    spared, whole = (importance(one, (x, x[:, 0])) for one in (model, written))
    scale = np.abs(whole.importances).max()
    np.testing.assert_allclose(spared.importances, whole.importances, rtol=0, atol=1e-5 * scale)
    np.testing.assert_allclose(spared.std_error, whole.std_error, rtol=1e-4)


def squares(f, y):
    """`(n_repeats, n_rows)` pseudo-values of squared error: (mean - y)² - s² / K and what each draw adds."""
    n_repeats, mean = len(f), f.mean(axis=0)
    loss = (mean - y) ** 2
    effects = (n_repeats - 1) * (loss - ((n_repeats * mean - f) / (n_repeats - 1) - y) ** 2)
    return loss - f.var(axis=0, ddof=1) / n_repeats + effects - effects.mean(axis=0)


@pytest.mark.parametrize("n_rows", [9, 501, 1301])
def test_the_numbers_are_those_of_the_formula(rng, n_rows):
    """The outputs of the model called on redrawn rows, one feature and draw after another."""
    x = correlated(rng, n_rows, 4, 0.6).astype("float32")
    y = (x[:, 0] * x[:, 1]).astype("float32")
    model = keras.Sequential([keras.Input((4,)), layers.Dense(8, activation="tanh"), layers.Dense(1)])
    model.compile(loss="mse")
    method = ConditionalLOFO(4)
    evaluator = evaluator_of(model, (x, y), method)
    result, replacement = method(evaluator), method.replacement_for(evaluator)
    donors = Donors.draw(n_rows, 4, evaluator.rng())
    for j in range(4):
        outputs = []
        for donor in donors.rows:
            moved = x.copy()
            moved[:, j] = replacement.kept[0][:, j] + replacement.donated[0][donor, j]
            outputs.append(keras.ops.convert_to_numpy(model(moved))[:, 0])
        own = (keras.ops.convert_to_numpy(model(x))[:, 0] - y) ** 2
        values = squares(np.array(outputs, np.float64), y) - own
        assert result.importances[j] == pytest.approx(values.mean(axis=1), rel=1e-3, abs=1e-5)
        error = Influence.of(values, donors).standard_error()
        assert result.std_error[j] == pytest.approx(float(error), rel=1e-3)


def test_steps_that_are_masked_in_the_untouched_rows_do_not_count(rng):
    """Slopes 1 and 2 at each of three steps, of which two are the mean's: Var(x) = 1 and 4 a step."""
    x = rng.standard_normal((3000, 5, 2)).astype("float32")
    x[:, 3:] = 0
    inputs = keras.Input((5, 2))
    outputs = layers.TimeDistributed(layers.Dense(1))(layers.Masking()(inputs))
    model = keras.Model(inputs, outputs)
    model.set_weights([np.array([[1.0], [2.0]]), np.zeros(1)])
    model.compile(loss="mse")
    y = np.where(np.arange(5)[:, None] < 3, x @ np.array([[1.0], [2.0]]), 1000.0)
    result = importance(model, (x, y))
    assert result.baseline_score == pytest.approx(0, abs=1e-6)
    assert np.all(within_errors(result, [1, 4]))


# --- the statistics -----------------------------------------------------------------------------


def test_pseudo_values_of_squares_are_those_of_pairs_of_draws(rng):
    """(m - y)² - s² / K is the mean over pairs of draws of (f_k - y)(f_l - y), each of mean (mu - y)²."""
    f, n_repeats = rng.standard_normal((6, 5)), 5
    mean, share = f.mean(axis=1, keepdims=True), np.full(n_repeats, 1 / n_repeats)
    towards = (mean + (f - mean) / math.sqrt(n_repeats) - 1) ** 2
    given = map(keras.ops.convert_to_tensor, ((mean - 1) ** 2, towards, f, share))
    found = keras.ops.convert_to_numpy(pseudo_values(*given))
    pairs = [(f[:, k] - 1) * (f[:, m] - 1) for k, m in combinations(range(n_repeats), 2)]
    assert found.mean(axis=1) == pytest.approx(np.mean(pairs, axis=0), rel=1e-5)
    np.testing.assert_allclose(found - found.mean(axis=1, keepdims=True), f - mean, rtol=1e-5)


@pytest.mark.parametrize("bias", [0.0, 1.0], ids=["right", "off by one"])
@pytest.mark.parametrize("n_repeats", [pytest.param(2, marks=pytest.mark.long), 5])
def test_intervals_cover(n_repeats, bias):
    """95% intervals round b² Var(x2 | x0, x1) = .75 in 600 samples of 400 rows: coverage .90 to .99.

    The bias is one that every donor shares: rows alone would give an error half as large again.
    """
    rng, hits, means, errors = np.random.default_rng(8), 0, [], []
    for _ in range(600):
        x = correlated(rng, 400, 3, 0.5)[:, [2, 0, 1]]
        donors = Donors.draw(400, n_repeats, rng)
        y = x.sum(axis=1) + 0.5 * rng.standard_normal(400) - bias
        data = ValidationData.read((x, y))
        columns = FeatureSet.from_argument(None, data.columns)
        redrawn = conditional_replacement(data, columns, n_repeats)
        moved = redrawn.kept[0][:, 2] + redrawn.donated[0][donors.rows, 2]
        values = squares(x[:, 0] + x[:, 1] + moved, y) - (x.sum(axis=1) - y) ** 2
        means.append(values.mean())
        errors.append(float(Influence.of(values, donors).standard_error()))
        hits += abs(means[-1] - 0.75) <= 1.96 * errors[-1]
    assert 0.93 <= hits / 600 <= 0.99
    assert np.mean(means) == pytest.approx(0.75, abs=3 * np.std(means) / math.sqrt(600))
    assert 0.95 <= math.sqrt(np.mean(np.square(errors))) / np.std(means) <= 1.25


# --- the engine and the budget ------------------------------------------------------------------


@pytest.fixture
def wide(linear_model, rng):
    """600 rows of 40 features of a linear model that is right, as its first-order approximation is."""
    x, weights = rng.standard_normal((600, 40)).astype("float32"), np.linspace(0.1, 2, 40)
    return linear_model(weights), (x, x @ weights), weights


def test_until_it_is_calibrated_the_screen_counts_half(wide):
    """Permuting costs 2 b² Var(x), leaving out b² Var(x)."""
    model, data, weights = wide
    method = ConditionalLOFO()
    evaluator = evaluator_of(model, data, method)
    table = PartialScores(evaluator, method.replacement_for(evaluator), Work(600, 5, 40), 40)
    table.screen(method.screen_scale, 600)
    assert table.screened == pytest.approx(weights**2, rel=0.25)
    scores = table.scores("none")
    assert set(scores.obtained) == {"screened"}
    assert np.mean(scores.importances, axis=1) == pytest.approx(table.screened)


def test_without_time_the_others_are_on_the_scale_of_the_exact_ones(wide, monkeypatch):
    model, data, weights = wide
    method = ConditionalLOFO()
    evaluator = evaluator_of(model, data, method)
    monkeypatch.setattr(ConditionalLOFO, "affordable_work", lambda *_: Work(500, 2, 32))
    found = method(evaluator, 3, Effort(seconds=1.0))
    is_screened = np.array(found.obtained) == "screened"
    assert is_screened.sum() == 8
    assert found.n_repeats == 2
    assert found.importances_mean[is_screened] == pytest.approx(
        weights[is_screened] ** 2, rel=0.3, abs=0.02
    )


@pytest.mark.skipif(BACKEND == "torch", reason="nothing is compiled there")
def test_other_numbers_of_rows_repeats_and_features_compile_nothing_anew(small_model, rng):
    x = rng.standard_normal((700, 4)).astype("float32")
    method = ConditionalLOFO(4)
    evaluator = evaluator_of(small_model(), (x, x[:, 0]), method)
    for _ in range(2):  # the second call of a program corrects what its first is said to have taken
        method(evaluator)
    seconds, replacement = evaluator.compiler.seconds, method.replacement_for(evaluator)
    assert seconds > 0
    for n_rows, n_repeats, features in ((700, 4, None), (400, 2, np.array([1])), (351, 3, np.arange(3))):
        donors = Donors.draw(n_rows, n_repeats, evaluator.rng())
        request = ScoreRequest(replacement, donors, np.arange(n_rows), features)
        found = list(evaluator.scores(request, AVERAGED))
        assert found[0].scores.shape[1:] == (n_repeats, n_rows)
    assert evaluator.compiler.seconds == seconds


def test_ctrl_c_leaves_finished_features(small_model, small_data, monkeypatch):
    real = Evaluator.scores

    def scores(self, request, scoring):
        yield from real(self, replace(request, features=request.features[:2]), scoring)
        raise KeyboardInterrupt

    monkeypatch.setattr(Evaluator, "scores", scores)
    method = ConditionalLOFO()
    with pytest.raises(KeyboardInterrupt) as interruption:
        method(evaluator_of(small_model(), small_data, method))
    assert np.isfinite(interruption.value.finished.std_error).tolist() == [True, True, False, False]


def test_it_shares_the_regressions_of_conditional_permutation(linear_model, small_data):
    methods = [ConditionalPermutation(5), ConditionalLOFO(5)]
    evaluator = evaluator_of(linear_model([1.0] * 4), small_data, *methods)
    first, second = (method.replacement_for(evaluator) for method in methods)
    assert first is second


# --- arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n_repeats", [1, 0, 2.0, True], ids=str)
def test_fewer_than_two_draws_are_no_mean(n_repeats):
    with pytest.raises(ValueError, match=f"ConditionalLOFO got n_repeats={n_repeats}. Pass"):
        ConditionalLOFO(n_repeats)


def test_sets_of_features_are_groups(linear_model, small_data):
    method = ConditionalLOFO()
    evaluator = evaluator_of(linear_model([1.0] * 4), small_data, method)
    assert not method.replaces_sets
    with pytest.raises(ValueError, match=r"got sets of features for 'conditional_lofo'.*as a group"):
        method.jointly(evaluator, [[0, 1]], method(evaluator))


def test_more_outputs_than_memory_holds_are_refused(linear_model, small_data, monkeypatch):
    monkeypatch.setattr(conditional_lofo, "MAX_HELD_VALUES", 1000)
    with pytest.raises(
        ValueError, match=r"got 300 validation rows of 1 output .*Pass max_samples=200 or"
    ):
        importance(linear_model([1.0] * 4), small_data)
