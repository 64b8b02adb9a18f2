"""Every way to name a metric, and which way it points."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss, mean_squared_error, r2_score, roc_auc_score

from keras_importance import GradientImportance, compute_importance


def permutation(model, data, **arguments):
    return compute_importance(model, data, methods="permutation", **arguments)["permutation"]


def per_row(y_true, y_pred):
    return np.square(np.ravel(y_true) - y_pred[:, 0])


def one_number(y_true, y_pred):
    return float(np.mean(per_row(y_true, y_pred)))


REGRESSION = {
    "loss": "loss",
    "compiled name": "mae",
    "compiled object": "rmse",
    "metric object": keras.metrics.MeanAbsoluteError(),
    "stateful metric": keras.metrics.RootMeanSquaredError(),
    "stateful metric that is better when larger": keras.metrics.R2Score(),
    "loss function": keras.losses.mean_squared_error,
    "scikit-learn error": mean_squared_error,
    "scikit-learn score": r2_score,
    "callable a row": per_row,
    "callable for all rows": one_number,
}


@pytest.mark.parametrize("metric", REGRESSION.values(), ids=REGRESSION)
@pytest.mark.parametrize("column", [False, True], ids=["y (n,)", "y (n, 1)"])
def test_useful_features_are_positive_in_any_regression_metric(metric, column, linear_model, small_data):
    x, y = small_data
    model = linear_model(
        [2.0, -1.0, 0.0, 0.0], metrics=["mae", keras.metrics.RootMeanSquaredError(name="rmse")]
    )
    result = permutation(model, (x, y[:, None] if column else y), metric=metric)
    assert np.all(result.importances_mean[:2] > 3 * result.std_error[:2])
    assert result.importances_mean[0] > result.importances_mean[1]
    assert result.importances_mean[2:] == pytest.approx(0, abs=1e-6)


CLASSIFICATION = {
    "loss": "loss",
    "accuracy": "accuracy",
    "compiled auc": "auc",
    "auc": keras.metrics.AUC(),
    "precision": keras.metrics.Precision(),
    "hinge": keras.metrics.Hinge(),
    "scikit-learn auc": roc_auc_score,
    "scikit-learn log loss": log_loss,
    "callable": lambda y, p: accuracy_score(y, p[:, 0] > 0.5),
}


@pytest.mark.parametrize("metric", CLASSIFICATION.values(), ids=CLASSIFICATION)
def test_useful_features_are_positive_in_any_binary_metric(metric, rng):
    x = rng.standard_normal((400, 3))
    y = (2 * x[:, 0] - x[:, 1] + 0.3 * rng.standard_normal(400) > 0).astype(int)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, activation="sigmoid")])
    model.set_weights([np.array([[4.0], [-2.0], [0.0]]), np.zeros(1)])
    model.compile(loss="binary_crossentropy", metrics=["accuracy", keras.metrics.AUC(name="auc")])
    result = permutation(model, (x, y), metric=metric)
    assert result.importances_mean[0] > result.importances_mean[1] > 0
    assert result.importances_mean[2] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("one_hot", [False, True], ids=["sparse", "one-hot"])
@pytest.mark.parametrize("metric", ["loss", "accuracy", "acc", "top"], ids=str)
def test_useful_features_are_positive_for_several_classes(metric, one_hot, rng):
    x = rng.standard_normal((400, 2))
    classes = np.digitize(x[:, 0], [-0.5, 0.5])
    kind = "Categorical" if one_hot else "SparseCategorical"
    top = getattr(keras.metrics, f"{'' if one_hot else 'Sparse'}TopKCategoricalAccuracy")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, activation="softmax")])
    model.set_weights([np.array([[-4.0, 0, 4], [0, 0, 0]]), np.array([-1.0, 1, -1])])
    model.compile(
        loss=getattr(keras.losses, f"{kind}Crossentropy")(),
        metrics=["accuracy", "acc", top(1, name="top")],
    )
    result = permutation(model, (x, np.eye(3)[classes] if one_hot else classes), metric=metric)
    assert result.importances_mean[0] > 3 * result.std_error[0]
    assert result.importances_mean[1] == pytest.approx(0, abs=1e-6)


def test_the_baseline_is_what_evaluate_says(small_model, small_data):
    model = small_model()
    model.fit(*small_data, epochs=1, verbose=0)
    scores = model.evaluate(*small_data, verbose=0, return_dict=True)
    for metric in ("loss", "mae"):
        result = permutation(model, small_data, metric=metric)
        assert result.baseline_score == pytest.approx(scores[metric], rel=1e-5)


def test_the_weighted_baseline_is_what_evaluate_says(small_model, small_data, rng):
    """Keras divides by the number of rows; the weighted mean divides by the weights' sum."""
    model, weights = small_model(), rng.uniform(0.5, 2, 300)
    model.fit(*small_data, epochs=1, verbose=0)
    score = model.evaluate(*small_data, sample_weight=weights, verbose=0, return_dict=True)["loss"]
    result = permutation(model, (*small_data, weights))
    assert result.baseline_score == pytest.approx(score / weights.mean(), rel=1e-5)


def loss_without_rows(y_true, y_pred):
    return keras.ops.mean(keras.ops.square(y_true - y_pred))


class LossObject(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)


@pytest.mark.parametrize(
    "loss",
    [
        "mse",
        "MeanSquaredError",
        keras.losses.mean_squared_error,
        keras.losses.MeanSquaredError(),
        keras.losses.MeanSquaredError(reduction="sum"),
        LossObject(),
        loss_without_rows,
        ["mse"],
    ],
    ids=["name", "class name", "function", "object", "sum", "subclass", "one number", "list"],
)
def test_every_form_of_the_same_loss_gives_the_same_importance(loss, linear_model, small_data):
    weights = [2.0, -1.0, 0.0, 0.5]
    expected = permutation(linear_model(weights), small_data)
    x, y = small_data
    result = permutation(linear_model(weights, loss=loss), (x, y[:, None]))
    assert result.importances == pytest.approx(expected.importances, rel=1e-4, abs=1e-6)


def test_losses_of_several_outputs_add_up_with_their_weights(rng):
    """Outputs 2x and y with weights 1 and 10: 2 · 2² Var(x) and 10 · 2 Var(y)."""
    x = rng.standard_normal((3000, 2))
    inputs = keras.Input((2,))
    first = keras.layers.Dense(1, use_bias=False, name="first")
    second = keras.layers.Dense(1, use_bias=False, name="second")
    model = keras.Model(inputs, {"first": first(inputs), "second": second(inputs)})
    first.set_weights([np.array([[2.0], [0.0]])])
    second.set_weights([np.array([[0.0], [1.0]])])
    y = {"first": 2 * x[:, :1], "second": x[:, 1:]}
    model.compile(loss={"first": "mse", "second": "mse"}, loss_weights={"first": 1.0, "second": 10.0})
    result = permutation(model, (x, y))
    assert result.importances_mean == pytest.approx([8, 20], rel=0.15)


def test_a_sequence_of_outputs_counts_its_steps_equally(rng):
    x = rng.standard_normal((200, 5, 2))
    model = keras.Sequential([keras.Input((5, 2)), keras.layers.Dense(1)])
    model.set_weights([np.array([[1.0], [0.0]]), np.zeros(1)])
    model.compile(loss="mse")
    result = permutation(model, (x, x[:, :, :1]))
    assert result.importances_mean == pytest.approx([2, 0], rel=0.2, abs=1e-6)


def test_masked_steps_do_not_count(rng):
    """Rows of five steps of which two are padding: the mean goes over the other three."""
    x = rng.standard_normal((300, 5, 1))
    x[:, 3:] = 0
    inputs = keras.Input((5, 1))
    outputs = keras.layers.TimeDistributed(keras.layers.Dense(1))(keras.layers.Masking()(inputs))
    model = keras.Model(inputs, outputs)
    model.set_weights([np.array([[1.0]]), np.zeros(1)])
    model.compile(loss="mse")
    y = np.where(np.arange(5)[:, None] < 3, x + 1, 1000.0)
    result = permutation(model, (x, y))
    assert result.baseline_score == pytest.approx(1, rel=1e-4)


def test_a_metric_of_all_rows_is_labelled_by_its_error(linear_model, small_data):
    model = linear_model([2.0, -1.0, 0.0, 0.5])
    by_rows, by_repeats = (
        permutation(model, small_data, metric=metric) for metric in (per_row, one_number)
    )
    assert (by_rows.error_source, by_repeats.error_source) == ("rows", "repeats")
    assert by_rows.importances == pytest.approx(by_repeats.importances, rel=1e-5, abs=1e-9)
    # Student's t with two degrees of freedom widens the interval from repeats.
    width = by_repeats.ci_high - by_repeats.importances_mean
    assert width == pytest.approx(4.30265 * by_repeats.std_error, rel=1e-4)


def test_weights_reach_a_metric_that_takes_them(linear_model, small_data):
    weights = np.repeat([1.0, 0.0], 150)
    result = permutation(
        linear_model([2.0, -1.0, 0, 1]), (*small_data, weights), metric=mean_squared_error
    )
    expected = permutation(linear_model([2.0, -1.0, 0, 1]), (*small_data, weights))
    assert result.importances == pytest.approx(expected.importances, rel=1e-4, abs=1e-6)


def test_weights_count_once_for_values_per_row(linear_model, small_data):
    """A metric that would weigh its values per row itself is asked for them without weights."""

    def weighted_rows(y_true, y_pred, sample_weight=None):
        values = np.square(y_true - y_pred[:, 0])
        return values if sample_weight is None else values * sample_weight

    weights = np.linspace(0.1, 3, 300)
    model = linear_model([2.0, -1.0, 0, 1])
    expected = permutation(model, (*small_data, weights))
    result = permutation(model, (*small_data, weights), metric=weighted_rows)
    assert result.importances == pytest.approx(expected.importances, rel=1e-4, abs=1e-6)


def test_a_metric_without_weights_is_no_answer_for_weighted_rows(linear_model, small_data):
    with pytest.raises(
        ValueError, match=r"metric 'one_number', which returns one number.*sample_weight"
    ):
        permutation(linear_model([1.0] * 4), (*small_data, np.ones(300)), metric=one_number)


def correlation_loss(y_true, y_pred):
    """One minus Pearson's correlation of the batch: no mean over rows."""
    y_true, y_pred = y_true - keras.ops.mean(y_true), y_pred - keras.ops.mean(y_pred)
    size = keras.ops.sqrt(keras.ops.sum(y_true**2) * keras.ops.sum(y_pred**2))
    return 1 - keras.ops.sum(y_true * y_pred) / (size + 1e-7)


def rmse_loss(y_true, y_pred):
    return keras.ops.sqrt(keras.ops.mean(keras.ops.square(y_true - y_pred)))


@pytest.mark.parametrize("loss", [correlation_loss, rmse_loss])
def test_a_loss_that_is_no_mean_over_rows_is_scored_on_all_rows(loss, linear_model, small_data):
    x, y = small_data
    model = linear_model([2.0, -0.5, 0.0, 0.0], loss=loss)
    result = permutation(model, small_data)
    both = (keras.ops.convert_to_tensor(one) for one in (y[:, None], model.predict(x, verbose=0)))
    expected = float(loss(*both))
    assert result.baseline_score == pytest.approx(expected, rel=1e-4)
    assert result.error_source == "repeats"
    assert np.all(result.importances_mean[:2] > 3 * result.std_error[:2])
    assert result.importances_mean[2:] == pytest.approx(0, abs=1e-6)
    weighted = permutation(model, (*small_data, np.linspace(0, 2, 300)))
    score = model.evaluate(x, y, sample_weight=np.linspace(0, 2, 300), batch_size=300, verbose=0)
    assert weighted.baseline_score == pytest.approx(score, rel=1e-2)
    with pytest.raises(ValueError, match="no mean over rows"):
        compute_importance(model, small_data, methods=[GradientImportance("loss")])


def test_a_function_loss_meets_sequences_as_in_fit(rng):
    """Targets (n, T) beside outputs (n, T, 1): Keras drops the last axis for a function."""
    x = rng.standard_normal((60, 5, 2))
    model = keras.Sequential([keras.Input((5, 2)), keras.layers.Dense(1)])
    model.compile(loss=lambda y, p: keras.ops.square(y - p))
    result = permutation(model, (x, x[:, :, 0]))
    expected = model.evaluate(x, x[:, :, 0], verbose=0)
    assert result.baseline_score == pytest.approx(expected, rel=1e-5)


def test_a_callable_may_say_which_way_it_points(rng):
    """Three quantiles for one target: the targets can't stand in for the outputs."""

    def coverage(y_true, y_pred):
        return ((y_pred[:, 0] < y_true) & (y_true < y_pred[:, 2])).astype(float)

    x = rng.standard_normal((200, 2))
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model.set_weights([np.array([[1.0, 1, 1], [0, 0, 0]]), np.array([-0.5, 0, 0.5])])
    model.compile(loss=lambda y, p: keras.ops.mean(keras.ops.square(y - p), axis=-1))
    data = (x, x[:, 0] + 0.1 * rng.standard_normal(200))
    with pytest.raises(ValueError, match="an attribute direction='up' or 'down'"):
        permutation(model, data, metric=coverage)
    coverage.direction = "up"
    assert permutation(model, data, metric=coverage).importances_mean[0] > 0.2


def test_keras_metrics_say_themselves_which_way_they_point(linear_model, small_data):
    """Known also where the targets don't differ."""
    x, y = small_data
    model = linear_model([2.0, -1.0, 0, 0], metrics=["mae"])
    assert permutation(model, (x, 0 * y), metric="mae").importances_mean[0] == pytest.approx(0, abs=0.3)


def test_gradients_need_no_loss_and_no_metric(linear_model, small_data):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    result = compute_importance(model, small_data[0], methods="gradient")["gradient"]
    assert np.all(result.importances_mean > 0)


def test_a_fixed_batch_is_respected(small_data):
    x, y = small_data
    model = keras.Sequential(
        [keras.Input(batch_shape=(32, 4, 1)), keras.layers.LSTM(3, stateful=True), keras.layers.Dense(1)]
    )
    model.compile(loss="mse")
    for result in compute_importance(model, (x[:, :, None], y)).values():
        assert np.all(np.isfinite(result.importances_mean))


def test_a_metric_that_tells_nothing_is_refused(linear_model, small_data):
    with pytest.raises(ValueError, match="can't be told which way it points"):
        permutation(linear_model([1.0] * 4), small_data, metric=lambda y, p: float(p.mean() * 0))


def test_a_metric_of_the_wrong_length_is_refused(linear_model, small_data):
    with pytest.raises(ValueError, match=r"returned values of shape \(7,\) for 300 rows"):
        permutation(linear_model([1.0] * 4), small_data, metric=lambda y, p: np.square(y - p[:, 0])[:7])


def test_the_models_own_metric_keeps_its_state(rng):
    auc = keras.metrics.AUC(name="auc")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile(loss="binary_crossentropy", metrics=[auc])
    x = rng.standard_normal((50, 2))
    y = (x[:, 0] > 0).astype(int)
    model.evaluate(x, y, verbose=0)
    before = [keras.ops.convert_to_numpy(value) for value in auc.variables]
    for metric in ("auc", auc):
        permutation(model, (x, y), metric=metric)
    for old, new in zip(before, auc.variables, strict=True):
        np.testing.assert_array_equal(old, keras.ops.convert_to_numpy(new))


class OwnLoss(keras.Model):
    """Computes its loss by itself, whatever it is compiled with."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(keras.ops.abs(y - y_pred) ** 1.5)


class LossOfInputs(keras.Model):
    """Computes a loss that takes the inputs, in the old form without `training`."""

    def compute_loss(self, x, y, y_pred, sample_weight=None):
        return keras.ops.mean(keras.ops.square(y - y_pred) * keras.ops.abs(x[:, :1]))


def of_class(cls):
    inputs = keras.Input((4,))
    model = cls(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    return model


def test_the_loss_is_the_models_own_where_its_class_computes_it(small_data):
    x, y = small_data[0], small_data[1][:, None]
    model = of_class(OwnLoss)
    result = permutation(model, (x, y))
    errors = np.abs(y - model.predict(x, verbose=0)) ** 1.5
    assert result.baseline_score == pytest.approx(errors.mean(), rel=1e-5)
    assert result.error_source == "rows"
    centre = np.abs(y - np.median(y)) ** 1.5
    assert result.explained.reference == "constant"
    assert result.explained.loss <= centre.mean() - errors.mean() + 1e-3


def test_a_loss_of_the_models_own_may_take_the_inputs(small_data):
    x, y = small_data[0], small_data[1][:, None]
    model = of_class(LossOfInputs)
    result = permutation(model, (x, y))
    errors = np.square(y - model.predict(x, verbose=0)) * np.abs(x[:, :1])
    assert result.baseline_score == pytest.approx(errors.mean(), rel=1e-4)
    assert result.error_source == "repeats"
