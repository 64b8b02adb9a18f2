"""Losses and metrics that are no mean over rows, in every form that `fit` takes, against Keras itself."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops
from models.donors_by_hand import donors_of_columns

from keras_importance import FeatureImportance, PermutationImportance, compute_importance
from keras_importance.errors import ImportanceWarning

N_ROWS, N_REPEATS = 240, 4


def permutation(model, data, **arguments):
    method = PermutationImportance(n_repeats=N_REPEATS)
    return compute_importance(model, data, methods=[method], **arguments)["permutation"]


def by_hand(score, x, n_columns=None):
    """What a score rises by when a column takes the values of the same donors."""
    donors = donors_of_columns(x, N_REPEATS)
    rises = []
    for column in range(n_columns or x.shape[-1]):
        total = 0.0
        for donor in donors[column]:
            moved = x.copy()
            moved[..., column] = x[donor][..., column]
            total += score(moved) - score(x)
        rises.append(total / N_REPEATS)
    return np.array(rises)


def network(n_outputs=1, n_columns=3, activation=None):
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [layers.Input((n_columns,)), layers.Dense(8, "tanh"), layers.Dense(n_outputs, activation)]
    )


@pytest.fixture
def x():
    return np.random.default_rng(5).normal(size=(N_ROWS, 3)).astype("float32")


def cox(y_true, y_pred):
    """Cox' partial likelihood: a row is compared with all rows that live as long."""
    time, event, risk = y_true[:, 0], y_true[:, 1], y_pred[:, 0]
    at_risk = ops.cast(time[None] >= time[:, None], "float32")
    alone = risk - ops.log(ops.sum(at_risk * ops.exp(risk)[None], axis=1))
    return -ops.sum(event * alone) / (ops.sum(event) + 1e-7)


def weighted_in_the_target(y_true, y_pred):
    error = ops.square(y_true[:, 0] - y_pred[:, 0])
    return ops.sum(y_true[:, 1] * error) / ops.sum(y_true[:, 1])


def skips_missing(y_true, y_pred):
    is_known = ops.logical_not(ops.isnan(y_true))
    error = ops.where(is_known, y_true - y_pred, 0.0)
    return ops.sum(ops.square(error)) / ops.sum(ops.cast(is_known, "float32"))


def centred_in_the_batch(y_true, y_pred):
    """A value for each row, each of which depends on all rows."""
    return ops.square((y_true - ops.mean(y_true)) - (y_pred - ops.mean(y_pred)))[:, 0]


class OverriddenCall(keras.losses.Loss):
    """Does without Keras' reduction."""

    def __call__(self, y_true, y_pred, sample_weight=None):
        return ops.sqrt(ops.mean(ops.square(ops.cast(y_true, "float32") - y_pred)))

    def call(self, y_true, y_pred):
        raise AssertionError("Keras calls the object, not this method.")


def targets(x, loss):
    y = 2 * x[:, :1] + x[:, 1:2]
    rng = np.random.default_rng(1)
    if loss is cox:
        return np.stack([rng.exponential(np.exp(-y[:, 0])), rng.random(N_ROWS) < 0.6], 1)
    if loss is weighted_in_the_target:
        return np.concatenate([y, rng.random((N_ROWS, 1)) < 0.6], axis=1)
    if loss is skips_missing:
        y = np.concatenate([y, x[:, 2:]], axis=1)
        return np.where(rng.random(y.shape) < 0.4, np.nan, y)
    return y


@pytest.mark.parametrize(
    "loss",
    [cox, weighted_in_the_target, skips_missing, centred_in_the_batch, OverriddenCall()],
    ids=["Cox", "weights in the target", "missing targets", "centred in the batch", "own __call__"],
)
def test_a_loss_of_all_rows_is_what_evaluate_says_of_all_rows(x, loss):
    y = targets(x, loss).astype("float32")
    model = network(n_outputs=2 if loss is skips_missing else 1)
    model.compile("adam", loss)
    result = permutation(model, (x, y))
    expected = by_hand(lambda z: model.evaluate(z, y, batch_size=N_ROWS, verbose=0), x)
    assert result.importances_mean == pytest.approx(expected, rel=1e-3, abs=1e-5)
    assert result.error_source == "repeats"


def test_a_class_that_is_ignored_counts_for_nothing(x):
    """The mean goes over the steps with a label, wherever they are."""
    rng = np.random.default_rng(2)
    sequence = rng.normal(size=(N_ROWS, 5, 3)).astype("float32")
    y = (sequence[..., 0] > 0) + (sequence[..., 1] > 0.5)
    y = np.where(rng.random(y.shape) < np.linspace(0, 0.9, N_ROWS)[:, None], -1, y)
    keras.utils.set_random_seed(0)
    model = keras.Sequential([layers.Input((5, 3)), layers.Dense(3, "softmax")])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(ignore_class=-1))
    result = permutation(model, (sequence, y))
    expected = by_hand(lambda z: model.evaluate(z, y, batch_size=N_ROWS, verbose=0), sequence)
    assert result.importances_mean == pytest.approx(expected, rel=1e-3, abs=1e-5)
    assert result.error_source == "rows"


@pytest.mark.parametrize("return_sequences", [True, False])
def test_masked_rows_of_unequal_length_count_by_their_steps(return_sequences):
    """Keras divides by the steps that count in all rows together, not row by row."""
    rng = np.random.default_rng(2)
    lengths = np.repeat([2, 6], N_ROWS // 2)
    is_valid = np.arange(6) < lengths[:, None]
    sequence = np.where(is_valid[..., None], rng.normal(size=(N_ROWS, 6, 2)), 0).astype("float32")
    y = sequence[..., :1] * np.where(is_valid, 1.0, 5.0)[..., None]
    y = y if return_sequences else y.sum(axis=1)
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [layers.Input((6, 2)), layers.Masking(), layers.GRU(4, return_sequences=return_sequences)]
    )
    model.add(layers.Dense(1))
    model.compile("adam", "mse")
    result = permutation(model, (sequence, y))
    score = model.evaluate(sequence, y, batch_size=N_ROWS, verbose=0)
    assert result.baseline_score == pytest.approx(score, rel=1e-4)


def test_weights_of_steps_count_step_by_step():
    """Weights of mean 1 are what Keras divides by; others are scaled to it."""
    rng = np.random.default_rng(2)
    sequence = rng.normal(size=(N_ROWS, 4, 2)).astype("float32")
    y, weights = sequence[..., :1], rng.integers(0, 4, (N_ROWS, 4)).astype("float32")
    keras.utils.set_random_seed(0)
    model = keras.Sequential([layers.Input((4, 2)), layers.Dense(3, "tanh"), layers.Dense(1)])
    model.compile("adam", "mse", weighted_metrics=[])
    kept = weights.sum(axis=1) > 0
    result = permutation(model, (sequence[kept], y[kept], 7 * weights[kept]))
    unit = weights[kept] / weights[kept].mean()
    score = model.evaluate(sequence[kept], y[kept], sample_weight=unit, verbose=0)
    assert result.baseline_score == pytest.approx(score, rel=1e-4)
    assert result.error_source == "rows"


@pytest.mark.parametrize("as_list", [False, True])
def test_each_output_has_weights_of_its_own(x, as_list):
    y = {"a": 2 * x[:, :1], "b": x[:, 1:2]}
    rng = np.random.default_rng(0)
    weights = {"a": rng.random(N_ROWS).astype("float32"), "b": 5 * rng.random(N_ROWS).astype("float32")}
    inputs = layers.Input((3,))
    hidden = layers.Dense(8, "tanh")(inputs)
    outputs = {key: layers.Dense(1, name=key)(hidden) for key in y}
    model = keras.Model(inputs, list(outputs.values()) if as_list else outputs)
    given = [list(nest.values()) if as_list else nest for nest in (y, weights)]
    losses, scales = ["mse", "mae"], [1.0, 3.0]
    model.compile(
        "adam",
        losses if as_list else dict(zip(y, losses, strict=True)),
        loss_weights=scales if as_list else dict(zip(y, scales, strict=True)),
        weighted_metrics=[[], []] if as_list else {key: [] for key in y},
    )
    result = permutation(model, (x, *given))
    predicted = keras.tree.flatten(model.predict(x, verbose=0))
    unit = np.mean([weights["a"], weights["b"]])
    parts = [
        np.mean(value * weights[key] / unit)
        for key, value in (
            ("a", np.square(predicted[0] - y["a"])[:, 0]),
            ("b", np.abs(predicted[1] - y["b"])[:, 0]),
        )
    ]
    assert result.baseline_score == pytest.approx(parts[0] + 3 * parts[1], rel=1e-4)
    assert result.error_source == "rows"


def test_weights_count_in_weighted_metrics_and_not_in_others(x):
    """As in Keras' logs, whose weights have mean 1 here."""
    y, weights = 2 * x[:, :1], np.linspace(0.1, 1.9, N_ROWS)
    model = network()
    model.compile("adam", "mse", metrics=["mae"], weighted_metrics=["mse"])
    logs = model.evaluate(x, y, sample_weight=weights, batch_size=N_ROWS, verbose=0, return_dict=True)
    for name in ("mae", "mse"):
        result = permutation(model, (x, y, weights), metric=name)
        assert result.baseline_score == pytest.approx(logs[name], rel=1e-4), name


class Recall(keras.metrics.Metric):
    """Has an argument, and no `get_config` to say so."""

    def __init__(self, threshold=0.9, name="found", **arguments):
        super().__init__(name=name, **arguments)
        self.threshold = threshold
        self.hits = self.add_weight(name="hits", initializer="zeros")
        self.all = self.add_weight(name="all", initializer="zeros")
        self.batches = []

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.batches.append(len(y_true))
        y_true = ops.cast(y_true, "float32")
        self.hits.assign_add(ops.sum(ops.cast(y_pred > self.threshold, "float32") * y_true))
        self.all.assign_add(ops.sum(y_true))

    def result(self):
        return self.hits / self.all


def test_the_users_own_metric_object_is_used_and_its_state_kept(x):
    y = (x[:, :1] + x[:, 1:2] > 1).astype("float32")
    model, metric = network(activation="sigmoid"), Recall(threshold=0.4)
    model.compile("adam", "binary_crossentropy", metrics=[metric])
    result = permutation(model, (x, y), metric=metric)
    expected = by_hand(lambda z: -float((y * (model.predict(z, verbose=0) > 0.4)).sum() / y.sum()), x)
    assert result.importances_mean == pytest.approx(expected, abs=1e-5)
    assert metric.batches == []
    assert float(metric.all.value) == 0


def test_a_compiled_function_of_all_rows_is_not_taken_row_by_row(x):
    def r2(y_true, y_pred):
        left = ops.sum(ops.square(y_true - y_pred))
        return 1 - left / (ops.sum(ops.square(y_true - ops.mean(y_true))) + 1e-7)

    y = 2 * x[:, :1] + x[:, 1:2]
    model = network()
    model.compile("adam", "mse", metrics=[r2])
    result = permutation(model, (x, y), metric="r2")

    def score(z):
        pair = (y, model.predict(z, verbose=0))
        return -float(r2(*map(ops.convert_to_tensor, pair)))

    expected = by_hand(score, x)
    assert result.importances_mean == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_a_count_is_that_of_all_validation_rows_whatever_rows_are_scored(x):
    """On half of the rows as many false positives count twice."""
    y = (x[:, :1] > 0.3).astype("float32")
    model = network(activation="sigmoid")
    model.compile("adam", "binary_crossentropy", metrics=[keras.metrics.FalsePositives(name="fp")])
    whole = permutation(model, (x, y), metric="fp")
    assert whole.baseline_score == np.sum((model.predict(x, verbose=0) > 0.5) & (y == 0))
    part = permutation(model, (x, y), metric="fp", max_samples=N_ROWS // 2)
    assert part.baseline_score == pytest.approx(whole.baseline_score, rel=0.4)


class AddsItsLoss(layers.Layer):
    """Passes the error of a reconstruction to `add_loss`."""

    def call(self, given):
        self.add_loss(ops.mean(ops.square(given[0] - given[1])))
        return given[1]


def test_a_loss_inside_the_model_needs_no_targets(x):
    keras.utils.set_random_seed(0)
    inputs = layers.Input((3,))
    code = layers.Dense(3)(layers.Dense(2)(inputs))
    model = keras.Model(inputs, AddsItsLoss()([inputs, code]))
    model.compile("adam")
    result = permutation(model, (x,))
    expected = by_hand(lambda z: model.evaluate(z, batch_size=N_ROWS, verbose=0), x)
    assert result.importances_mean == pytest.approx(expected, rel=1e-3, abs=1e-5)
    importance = FeatureImportance(time_budget=None)
    model.fit(x, epochs=2, verbose=0, validation_data=(x, None), callbacks=[importance])
    assert np.all(np.isfinite(importance.results["permutation"].importances))


def test_a_loss_inside_the_model_is_added_to_the_compiled_one(x):
    keras.utils.set_random_seed(0)
    inputs = layers.Input((3,))
    code = AddsItsLoss()([inputs, layers.Dense(3)(inputs)])
    model = keras.Model(inputs, layers.Dense(1)(code))
    model.compile("adam", "mse")
    result = permutation(model, (x, x[:, :1]))
    expected = by_hand(lambda z: model.evaluate(z, x[:, :1], batch_size=N_ROWS, verbose=0), x)
    assert result.importances_mean == pytest.approx(expected, rel=1e-3, abs=1e-5)


class OneNumberForTheBatch(keras.Model):
    """Adds the mean of a whole batch to each row."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(1)

    def call(self, x):
        return self.dense(x) + ops.mean(x[:, :1] * x[:, 1:2])


def test_rows_that_are_mixed_are_scored_in_the_batches_of_fit(x):
    model = OneNumberForTheBatch()
    model.compile("adam", "mse")
    y = 2 * x[:, :1]
    importance = FeatureImportance(time_budget=None)
    with pytest.warns(ImportanceWarning, match="other rows of its batch.*batches of 30 rows"):
        history = model.fit(
            x, y, batch_size=30, verbose=0, validation_data=(x[:180], y[:180]), callbacks=[importance]
        )
    result = importance.results["permutation"]
    assert result.baseline_score == pytest.approx(history.history["val_loss"][0], rel=1e-4)


def test_the_nodes_of_one_graph_are_one_batch(x):
    """Nodes of weight 0 count nothing in the score, and stay in the graph."""
    n_nodes = 60
    rng = np.random.default_rng(0)
    links = (rng.random((n_nodes, n_nodes)) < 0.1) + np.eye(n_nodes)
    links = (links / links.sum(axis=1, keepdims=True)).astype("float32")
    nodes, weights = x[:n_nodes], (np.arange(n_nodes) % 2).astype("float32")
    y = 3 * links @ nodes[:, :1]

    class Convolve(layers.Layer):
        def call(self, given):
            return ops.matmul(given[0], given[1])

        def compute_output_shape(self, shapes):
            return shapes[0][0], shapes[1][1]

    inputs = layers.Input((3,), name="x"), layers.Input((n_nodes,), name="links")
    outputs = layers.Dense(1)(Convolve()([inputs[1], layers.Dense(4, "tanh")(inputs[0])]))
    model = keras.Model(inputs, outputs)
    model.compile("adam", "mse", weighted_metrics=[])
    importance = FeatureImportance(features={"links": "links"}, time_budget=None, detectors=())
    whole = {"batch_size": n_nodes, "shuffle": False, "verbose": 0}
    with pytest.warns(ImportanceWarning, match="batches of 60 rows"):
        model.fit(
            [nodes, links], y, sample_weight=1 - weights, epochs=1, callbacks=[importance],
            validation_data=([nodes, links], y, weights), validation_batch_size=n_nodes, **whole,
        )  # fmt: skip
    result = importance.results["permutation"]
    errors = np.square(model.predict([nodes, links], batch_size=n_nodes, verbose=0) - y)[:, 0]
    assert result.baseline_score == pytest.approx(np.average(errors, weights=weights), rel=1e-4)
    assert set(result.feature_names) == {"x/x0", "x/x1", "x/x2", "links"}


def test_outputs_as_wide_as_the_batch_take_the_memory_of_one_batch_at_a_time(x):
    """Two towers whose output is `(batch, batch)`; the loss is that of the right pairs."""

    class Towers(keras.Model):
        def __init__(self):
            super().__init__()
            self.query, self.item = layers.Dense(4), layers.Dense(4)

        def call(self, given):
            return ops.matmul(self.query(given["u"]), ops.transpose(self.item(given["v"])))

    def in_batch(y_true, y_pred):
        right = ops.arange(ops.shape(y_pred)[0])
        return keras.losses.sparse_categorical_crossentropy(right, y_pred, from_logits=True)

    model = Towers()
    model.compile("adam", in_batch)
    inputs, y = {"u": x, "v": x + 0.1}, np.zeros(N_ROWS)
    model.fit(inputs, y, batch_size=N_ROWS, verbose=0)
    with pytest.warns(ImportanceWarning, match="other rows of its batch"):
        result = permutation(model, (inputs, y))
    score = model.evaluate(inputs, y, batch_size=N_ROWS, verbose=0)
    assert result.baseline_score == pytest.approx(score, rel=1e-4)
    assert np.all(np.isfinite(result.importances))
