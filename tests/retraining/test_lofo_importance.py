"""LOFO by new trainings: what it measures, how it trains, what it does when something fails."""

from __future__ import annotations

import os
import pickle
import random
from dataclasses import replace
from pathlib import Path

import joblib
import keras
import numpy as np
import pytest
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit

from keras_importance import ImportanceWarning, compute_importance, lofo_importance
from keras_importance.data.features import FeatureSet
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.twins.twins import Twins
from keras_importance.retraining.folds import Fold
from keras_importance.retraining.study import Study
from keras_importance.retraining.trainers import trainer_of
from keras_importance.retraining.trials import Trial

layers = keras.layers
TRAININGS = []
"""What each `fit` of `LeastSquares` in this process was given: shape of the rows, arguments."""


class LeastSquares(keras.Model):
    """A linear model whose `fit` is exact: what it learns is known, and takes no time.

    Args of its `fit`, apart from Keras' own: `told`, called with the rows; `folder`, in which it leaves
    the number of its process.
    """

    def __init__(self):
        super().__init__()
        self.out = layers.Dense(1)

    def call(self, x):
        return self.out(x)

    def fit(self, x, y, sample_weight=None, told=None, folder=None, **given):
        TRAININGS.append((x.shape, given))
        if told is not None:
            told(x)
        if folder is not None:
            (Path(folder) / str(os.getpid())).touch()
        self(x[:1])
        scale = np.ones((len(x), 1)) if sample_weight is None else np.sqrt(sample_weight)[:, None]
        design = np.concatenate([x, np.ones((len(x), 1))], axis=1)
        found = np.linalg.lstsq(design * scale, y.reshape(-1, 1) * scale, rcond=1e-6)[0]
        self.out.set_weights([found[:-1], found[-1]])


def least_squares():
    model = LeastSquares()
    model.compile("sgd", "mse")
    return model


def lofo(x, y, build_model=least_squares, **keywords):
    """Without lock step, which trains by gradients."""
    return lofo_importance(build_model, x, y, **{"lock_step": False, **keywords})


@pytest.fixture(autouse=True)
def _no_trainings_yet():
    TRAININGS.clear()


@pytest.fixture
def no_training(monkeypatch):
    """Every training is an error."""

    def refuse(*arguments, **keywords):
        raise AssertionError("a model was trained")

    for kind in (keras.Model, LeastSquares):
        monkeypatch.setattr(kind, "fit", refuse)
    monkeypatch.setattr(Twins, "train", refuse)


@pytest.fixture
def data(rng):
    """60 rows of three features with slopes 2, -1 and 0."""
    x = rng.standard_normal((60, 3)).astype("float32")
    return x, (2 * x[:, 0] - x[:, 1] + 0.3 * rng.standard_normal(60)).astype("float32")


@pytest.fixture
def many(rng):
    """3000 rows of four features with slopes 1.5, 1.2, 1 and 0, the first two with correlation 0.75."""
    x = rng.standard_normal((3000, 4))
    x[:, 1] = 0.75 * x[:, 0] + np.sqrt(1 - 0.75**2) * x[:, 1]
    return x.astype("float32"), (x @ [1.5, 1.2, 1, 0] + 0.3 * rng.standard_normal(3000)).astype(
        "float32"
    )


def halves(n_rows, n_training=None):
    """One fold: the first rows are trained on, the others held out."""
    rows = np.arange(n_rows)
    middle = n_rows // 2 if n_training is None else n_training
    return [(rows[:middle], rows[middle:])]


def sgd(build, loss="mse", **keywords):
    """A function that makes the model and compiles it, with plain gradient descent."""

    def build_model():
        model = build()
        model.compile(keras.optimizers.SGD(0.05), loss, **keywords)
        return model

    return build_model


def mlp(n_columns=3):
    return keras.Sequential(
        [keras.Input((n_columns,)), layers.Dense(4, activation="tanh"), layers.Dense(1)]
    )


def assert_same(first, second, rtol=1e-4, atol=1e-5):
    for name in ("importances", "std_error", "baseline_score"):
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), rtol, atol, err_msg=name)


# --- what it measures ---------------------------------------------------------------------------


def test_of_a_linear_model_it_is_what_the_others_do_not_say(many):
    """b_j² Var(x_j | x_-j): 1.5² (1 - .75²) = .984, 1.2² (1 - .75²) = .63, 1 and 0 (METHODS, 7)."""
    result = lofo(*many)
    expected = np.array([2.25 * (1 - 0.75**2), 1.44 * (1 - 0.75**2), 1, 0])
    assert np.all(np.abs(result.importances_mean - expected) < 3 * result.std_error + 1e-3)
    assert np.all(result.std_error < 0.06)


def test_in_lock_step_it_is_that_too(many):
    """The same by gradient descent, to its end."""
    build_model = sgd(lambda: keras.Sequential([keras.Input((4,)), layers.Dense(1)]))
    result = lofo_importance(build_model, *many, cv=3, fit_kwargs={"epochs": 15, "batch_size": 50})
    expected = np.array([2.25 * (1 - 0.75**2), 1.44 * (1 - 0.75**2), 1, 0])
    assert np.all(np.abs(result.importances_mean - expected) < 3 * result.std_error + 0.01)
    assert result.procedure == "lock step"


def test_what_the_model_can_do_without_is_zero_although_it_is_used(rng):
    """A column and its copy: either says it all. The trained model uses both, and a group of both is b²."""
    x = rng.standard_normal((1000, 2)).astype("float32")[:, [0, 0, 1]]  # the second is a copy
    y = 2 * x[:, :1] + x[:, 2:]
    model = least_squares()
    model.fit(x, y)
    used = compute_importance(model, (x, y), methods="permutation")["permutation"]
    alone, together = (lofo(x, y, cv=2, features=one) for one in (None, {"both": [0, 1]}))
    assert np.all(used.importances_mean[:2] > 1)
    assert alone.importances_mean[:2] == pytest.approx([0, 0], abs=1e-6)
    assert together.importances_mean[0] == pytest.approx(4, rel=0.1)


def test_a_group_leaves_together(many):
    """The pair of correlated columns: b' Cov b = 1.5² + 1.2² + 2 · .75 · 1.5 · 1.2."""
    result = lofo(*many, features={"pair": [0, 1]})
    assert result.feature_names == ("pair", "x2", "x3")
    expected = 2.25 + 1.44 + 2 * 0.75 * 1.5 * 1.2
    assert abs(result.importances_mean[0] - expected) < 3 * result.std_error[0]


def test_null_features_are_zero_within_their_error(rng):
    """Ten of them: at 95% three lie outside in one of a hundred cases."""
    x = rng.standard_normal((400, 11)).astype("float32")
    y = x[:, 0] + rng.standard_normal(400).astype("float32")
    build_model = sgd(lambda: keras.Sequential([keras.Input((11,)), layers.Dense(1)]))
    result = lofo_importance(build_model, x, y, cv=4, fit_kwargs={"epochs": 10, "batch_size": 20})
    assert np.sum((result.ci_low > 0) | (result.ci_high < 0)) < 3
    assert result.ci_low[0] > 0


def test_a_step_of_a_sequence_that_is_noise_adds_nothing(rng):
    """A small LSTM that is to remember the first column of the last step."""
    x = rng.standard_normal((400, 5, 2)).astype("float32")
    build_model = sgd(lambda: keras.Sequential([keras.Input((5, 2)), layers.LSTM(4), layers.Dense(1)]))
    result = lofo_importance(
        build_model, x, x[:, -1, 0], cv=2, fit_kwargs={"epochs": 30, "batch_size": 20}
    )
    assert result.importances_mean[0] > 0.2
    assert abs(result.importances_mean[1]) < 0.05


def test_a_category_is_worth_what_its_means_differ(rng):
    """Three categories with effects -1, 0 and 1 in equal numbers: their variance is 2/3."""
    colour = rng.integers(0, 3, (900, 1)).astype("int32")
    size = rng.standard_normal((900, 1)).astype("float32")
    y = (colour - 1.0 + size).astype("float32")

    def build():
        inputs = {
            "size": keras.Input((1,), name="size"),
            "colour": keras.Input((1,), name="colour", dtype="int32"),
        }
        effect = layers.Flatten()(layers.Embedding(3, 1)(inputs["colour"]))
        return keras.Model(inputs, layers.Add()([effect, layers.Dense(1)(inputs["size"])]))

    result = lofo_importance(
        sgd(build),
        {"size": size, "colour": colour},
        y,
        cv=2,
        fit_kwargs={"epochs": 20, "batch_size": 10},
    )
    importance = dict(zip(result.feature_names, result.importances_mean, strict=True))
    assert importance["colour"] == pytest.approx(2 / 3, rel=0.1)
    assert importance["size"] == pytest.approx(1, rel=0.15)


# --- lock step and refit ------------------------------------------------------------------------


def of_categories():
    inputs = {
        "size": keras.Input((2,), name="size"),
        "colour": keras.Input((1,), name="colour", dtype="int32"),
    }
    joined = [layers.Flatten()(layers.Embedding(3, 2)(inputs["colour"])), inputs["size"]]
    return keras.Model(inputs, layers.Dense(1)(layers.Concatenate()(joined)))


BOTH_WAYS = {
    "table": (mlp, lambda rng: rng.standard_normal((90, 3))),
    "dict with whole numbers": (
        of_categories,
        lambda rng: {
            "size": rng.standard_normal((90, 2)),
            "colour": rng.integers(0, 3, (90, 1)).astype("int32"),
        },
    ),
    "sequence": (
        lambda: keras.Sequential([keras.Input((3, 2)), layers.LSTM(3), layers.Dense(1)]),
        lambda rng: rng.standard_normal((90, 3, 2)),
    ),
}


@pytest.mark.parametrize(("name", "weighted"), [*((name, False) for name in BOTH_WAYS), ("table", True)])
def test_lock_step_finds_what_refitting_finds(name, weighted, rng):
    """Plain gradient descent in the order of the rows draws nothing but the initial weights."""
    build, rows = BOTH_WAYS[name]
    x = keras.tree.map_structure(
        lambda leaf: leaf if leaf.dtype.kind == "i" else leaf.astype("float32"), rows(rng)
    )
    settings = {
        "cv": halves(90, 50),
        "fit_kwargs": {"epochs": 3, "batch_size": 16, "shuffle": False},
        "sample_weight": rng.random(90) + 0.5 if weighted else None,
    }
    y = rng.standard_normal((90, 1)).astype("float32")
    locked, refitted = (
        lofo_importance(sgd(build), x, y, lock_step=one, **settings) for one in (True, False)
    )
    assert (locked.procedure, refitted.procedure) == ("lock step", "refit, columns masked")
    assert_same(locked, refitted)
    assert np.all(np.abs(locked.importances_mean) > 1e-5)


def test_columns_that_are_dropped_or_centred_to_zero_are_as_good(data):
    """Where training rows have mean 0, so has a masked column, and a linear model has no use for zeros."""
    x, y = data
    x = x - x[:30].mean(axis=0)
    built = []

    def build_model(n_columns):
        built.append(n_columns)
        model = keras.Sequential(
            [keras.Input((n_columns,)), layers.Dense(1, kernel_initializer="zeros")]
        )
        model.compile(keras.optimizers.SGD(0.05), "mse")
        return model

    settings = {
        "features": {"pair": [1, 2]},
        "cv": halves(60),
        "fit_kwargs": {"epochs": 2, "batch_size": 10, "shuffle": False},
    }
    dropped = lofo_importance(build_model, x, y, **settings)
    assert set(built) == {3, 2, 1}
    masked = lofo_importance(lambda: build_model(3), x, y, **settings)
    assert (dropped.procedure, masked.procedure) == ("refit, columns dropped", "lock step")
    assert_same(dropped, masked)


def test_a_warm_start_begins_from_the_trained_weights(rng):
    """Independent columns: the other slope is right already, so four steps give b². Anew, they don't."""
    x = rng.standard_normal((400, 2)).astype("float32")
    y = 2 * x[:, :1] + x[:, 1:]
    epochs = []
    build_model = sgd(lambda: keras.Sequential([keras.Input((2,)), layers.Dense(1)]))
    count = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: epochs.append(epoch))
    result = lofo_importance(
        build_model,
        x,
        y,
        cv=halves(400),
        warm_start=1,
        fit_kwargs={"epochs": 12, "batch_size": 50, "callbacks": [count]},
    )
    assert result.procedure == "warm start, 1 epochs, columns masked"
    assert result.baseline_score < 1e-3
    assert result.importances_mean == pytest.approx([4, 1], rel=0.2)
    assert epochs == [*range(12), 0, 0]


def test_a_model_with_a_step_of_its_own_is_refitted(data):
    class Own(keras.Sequential):
        def train_step(self, *arguments):
            return super().train_step(*arguments)

    build_model = sgd(lambda: Own([keras.Input((3,)), layers.Dense(1)]))
    result = lofo_importance(build_model, *data, cv=halves(60), features={"all": [0, 1, 2]})
    assert result.procedure == "refit, columns masked"


# --- fit_kwargs and callbacks -------------------------------------------------------------------


def test_early_stopping_stops_each_training_for_itself(data):
    """Without learning the second epoch is no better than the first: each of 3 trainings has two."""
    epochs = []

    def build_model():
        model = mlp()
        model.compile(keras.optimizers.SGD(0.0), "mse")
        return model

    count = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: epochs.append(epoch))
    stop = keras.callbacks.EarlyStopping(monitor="val_loss", patience=1)
    result = lofo_importance(
        build_model,
        *data,
        cv=halves(60),
        features={"pair": [0, 1]},
        fit_kwargs={"epochs": 9, "validation_split": 0.2, "callbacks": [stop, count]},
    )
    assert epochs == [0, 1] * 3
    assert result.procedure == "refit, columns masked"


def test_callbacks_of_the_user_stay_as_they_are(data):
    class Counting(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.epochs = []

        def on_epoch_end(self, epoch, logs=None):
            self.epochs.append(epoch)

    counting = Counting()
    lofo_importance(
        sgd(mlp),
        *data,
        cv=halves(60),
        features={"all": [0, 1, 2]},
        fit_kwargs={"callbacks": [counting]},
    )
    assert counting.epochs == []


def test_validation_data_of_the_user_do_without_the_columns_too(data):
    """The rows that `fit` validates on have the mean of the training rows in the column left out."""
    x, y = data
    seen = []

    class Watching(LeastSquares):
        def fit(self, x, y, validation_data=None, **given):
            seen.append((x.mean(axis=0), validation_data[0]))
            super().fit(x, y, **given)

    def build_model():
        model = Watching()
        model.compile("sgd", "mse")
        return model

    lofo(x, y, build_model, cv=halves(60), fit_kwargs={"validation_data": (x[:5] + 1, y[:5])})
    expected = np.tile(x[:5] + 1, (4, 1, 1))
    for column in range(3):
        expected[column + 1, :, column] = x[:30, column].mean()
    np.testing.assert_allclose([rows for _, rows in seen], expected, rtol=1e-5, atol=1e-6)


def test_other_arguments_reach_fit_as_they_are(data):
    lofo(*data, cv=halves(60), fit_kwargs={"epochs": 7, "class_weight": {0: 2.0}})
    assert all(
        given["epochs"] == 7 and given["class_weight"] == {0: 2.0} and given["verbose"] == 0
        for _, given in TRAININGS
    )


# --- folds, weights, metrics --------------------------------------------------------------------


def test_there_is_a_repeat_for_each_fold_and_seed(data):
    result = lofo(*data, cv=3, n_seeds=2, features={"pair": [0, 1]})
    assert result.importances.shape == (2, 6)
    assert len(TRAININGS) == 3 * 2 * 3
    assert result.n_samples == 60


def test_a_fold_is_scored_on_the_rows_that_it_holds_out(data):
    """The mean square of what least squares on the other rows leave, by hand."""
    x, y = data
    result = lofo(x, y, cv=KFold(3))
    expected = []
    for training, held_out in KFold(3).split(x):
        design = np.column_stack([x, np.ones(60)])
        slopes = np.linalg.lstsq(design[training], y[training], rcond=None)[0]
        expected.append(np.mean((design[held_out] @ slopes - y[held_out]) ** 2))
    assert result.baseline_score == pytest.approx(np.mean(expected), rel=1e-4)


def test_groups_reach_the_splitter(data):
    groups = np.repeat(np.arange(6), 10)
    settings = {"features": {"all": [0, 1, 2]}}
    result = lofo(*data, cv=GroupKFold(3), groups=groups, **settings)
    splits = GroupKFold(3).split(data[0], groups=groups)
    assert_same(result, lofo(*data, cv=list(splits), **settings))


def test_rows_may_be_held_out_several_times(data):
    result = lofo(*data, cv=ShuffleSplit(4, test_size=0.4, random_state=0))
    assert result.importances.shape == (3, 4)
    assert 24 < result.n_samples <= 60
    assert np.all(np.isfinite(result.std_error))


def test_a_row_of_weight_two_is_two_rows(data):
    """In the training and in the metric; copies are found to be blocks, so the error agrees too."""
    x, y = data
    weights = np.tile([1.0, 2.0], 30)
    copies = np.repeat(np.arange(60), weights.astype(int))
    weighted = lofo(x, y, cv=halves(60), sample_weight=weights)
    repeated = lofo(x[copies], y[copies], cv=[(copies < 30, copies >= 30)])
    assert_same(weighted, repeated)


def test_a_row_of_weight_zero_is_as_good_as_absent(data):
    """Row numbers of the scheme count all rows, those of weight 0 included."""
    x, y = data
    weights = np.ones(60)
    weights[[0, 7, 31]] = 0
    kept = weights > 0
    weighted = lofo(x, y, cv=halves(60), sample_weight=weights)
    training = np.arange(60)[kept] < 30
    assert_same(weighted, lofo(x[kept], y[kept], cv=[(training, ~training)]))


def r2(y_true, y_pred):
    return 1 - np.mean((y_true - y_pred) ** 2) / np.var(y_true)


def absolute(y_true, y_pred):
    return np.abs(y_true - y_pred)[:, 0]


def test_copies_of_a_row_are_held_out_together(rng):
    """Each row twice: a training sees both or none, in each of two folds."""
    x = np.repeat(rng.standard_normal((40, 2)), 2, axis=0).astype("float32")
    seen = []
    told = {"told": lambda rows: seen.append(np.unique(rows[:, 0], return_counts=True)[1].tolist())}
    lofo(x, x[:, 0], cv=2, features={"all": [0, 1]}, fit_kwargs=told)
    assert seen[::2] == [[2] * 20] * 2


def test_several_metrics_are_measured_on_the_same_trainings(data):
    """Each as if it were the only one."""
    x, y = data
    metrics = ["loss", keras.metrics.MeanAbsoluteError(name="mae"), absolute, r2]
    settings = {"cv": 2, "features": {"all": [0, 1, 2]}}
    found = lofo(x, y[:, None], metric=metrics, **settings)
    assert list(found) == ["loss", "mae", "absolute", "r2"]
    assert len(TRAININGS) == 2 * 2
    for metric in metrics:
        alone = lofo(x, y[:, None], metric=metric, **settings)
        assert_same(found[alone.metric], alone, rtol=1e-6, atol=0)


def test_a_metric_of_which_more_is_better_is_turned(data):
    """1 - MSE / Var: what is lost of it without a feature is the increase of the MSE over Var(y)."""
    x, y = data
    found = lofo(x, y[:, None], metric=["loss", r2], cv=halves(60))
    expected = found["loss"].importances / np.var(y[30:])
    np.testing.assert_allclose(found["r2"].importances, expected, rtol=1e-4)


def test_a_metric_of_all_rows_has_the_error_of_its_repeats(rng):
    """AUC: standard deviation of the folds over the root of their number."""
    x = rng.standard_normal((120, 2)).astype("float32")
    y = (x[:, 0] + rng.standard_normal(120) > 0).astype("float32")
    result = lofo(x, y, metric=keras.metrics.AUC(name="auc"), cv=4)
    assert result.error_source == "repeats"
    assert result.std_error == pytest.approx(result.importances.std(axis=1, ddof=1) / 2)
    assert result.importances_mean[0] > 0.2


@pytest.mark.parametrize("first", ["rows", "all"])
def test_the_order_of_metrics_does_not_matter_to_weights(data, first):
    """One metric is a mean over rows, the other knows its weights itself."""
    x, y = data
    of_all = keras.metrics.RootMeanSquaredError(name="rmse")
    metrics = ["loss", of_all] if first == "rows" else [of_all, "loss"]
    weights = np.tile([0.5, 3.0], 30)
    found = lofo(x, y[:, None], metric=metrics, cv=halves(60), sample_weight=weights)
    assert found["loss"].baseline_score == pytest.approx(found["rmse"].baseline_score ** 2, rel=1e-4)


def test_a_dataset_brings_its_targets_along(data):
    x, y = data
    assert_same(lofo((x, y), None, cv=halves(60)), lofo(x, y, cv=halves(60)))


# --- seeds and traces ---------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_numbers(data):
    settings = {"cv": 2, "fit_kwargs": {"epochs": 2}}
    first, second = (lofo_importance(sgd(mlp), *data, **settings, seed=3) for _ in range(2))
    assert np.array_equal(first.importances, second.importances)


def test_another_seed_gives_other_numbers(data):
    """With the folds given, of the weights and the batches alone."""
    settings = {"cv": halves(60), "fit_kwargs": {"epochs": 2}}
    first, second = (lofo_importance(sgd(mlp), *data, **settings, seed=seed) for seed in (3, 4))
    assert not np.allclose(first.importances, second.importances, rtol=1e-3)


def test_models_of_a_fold_and_seed_begin_alike_and_others_do_not(data):
    """Four trainings from each of four starts: what sets twins apart is the feature alone."""
    starts = []

    class Noting(LeastSquares):
        def fit(self, x, y, **given):
            self(x[:1])
            starts.append(tuple(self.get_weights()[0].ravel().tolist()))
            super().fit(x, y, **given)

    def build_model():
        model = Noting()
        model.compile("sgd", "mse")
        return model

    lofo(*data, build_model, cv=2, n_seeds=2)
    assert sorted(starts.count(one) for one in set(starts)) == [4, 4, 4, 4]


@pytest.mark.parametrize("lock_step", [True, False], ids=["lock step", "refit"])
def test_global_random_states_stay_as_they_are(data, lock_step):
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    build_model = sgd(mlp) if lock_step else least_squares
    lofo_importance(build_model, *data, cv=halves(60), lock_step=lock_step)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002


@pytest.mark.parametrize("lock_step", [True, False], ids=["lock step", "refit"])
def test_nothing_is_printed(data, lock_step, capsys):
    lofo_importance(sgd(mlp), *data, cv=halves(60), lock_step=lock_step)
    assert capsys.readouterr() == ("", "")


def test_data_of_the_user_stay_as_they_are(data):
    x, y = (one.copy() for one in data)
    lofo(x, y, cv=2)
    assert np.array_equal(x, data[0])
    assert np.array_equal(y, data[1])


# --- failures -----------------------------------------------------------------------------------


def without_x2(x):
    """Fails where the last column is constant and the marked row, of a first column of 50, is there."""
    if np.ptp(x[:, 2]) == 0 and x[:, 0].max() > 40:
        raise RuntimeError("the third column is constant")


def test_a_training_that_fails_costs_its_feature_alone(data):
    """The marked row is in the first half, which the second of two folds trains on."""
    x, y = data
    x[0, 0] = 50
    first, second = np.arange(30), np.arange(30, 60)
    cv = [(second, first), (first, second)]
    message = (
        r"lofo_importance went on without 1 of 8 trainings, which failed: all but x2 in fold 1, seed 0 "
        r"\(RuntimeError: the third column is constant\)\. Their features have no number"
    )
    with pytest.warns(ImportanceWarning, match=message):
        result = lofo(x, y, cv=cv, fit_kwargs={"told": without_x2})
    whole = lofo(x, y, cv=cv)
    assert np.array_equal(result.importances[:2], whole.importances[:2])
    assert np.array_equal(result.std_error[:2], whole.std_error[:2])
    assert np.isnan(result.importances_mean[2])
    assert dict(result.notes) == {
        "x2": "all but x2 in fold 1, seed 0 failed: RuntimeError: the third column is constant"
    }


def test_a_failure_of_the_model_with_all_features_leaves_no_number(data):
    def with_all(x):
        if np.all(np.ptp(x, axis=0) > 0):
            raise RuntimeError("all columns vary")

    x, y = data
    metrics = ["loss", keras.metrics.RootMeanSquaredError(name="of all rows")]
    with pytest.warns(ImportanceWarning, match="1 of 4 trainings, which failed: all features in fold 0"):
        found = lofo(x, y[:, None], metric=metrics, cv=halves(60), fit_kwargs={"told": with_all})
    for result in found.values():
        assert np.isnan(result.importances_mean).all()
        assert np.isnan(result.baseline_score)
        assert set(result.notes) == set(result.feature_names)


def test_many_failures_are_counted_not_listed(data):
    def without_any(x):
        if np.any(np.ptp(x, axis=0) == 0):
            raise RuntimeError("a constant")

    with pytest.warns(ImportanceWarning, match=r"without 9 of 12 trainings.*; and 4 more\. Their"):
        lofo(*data, cv=3, fit_kwargs={"told": without_any})


def test_if_all_trainings_fail_it_is_an_error(data):
    def always(x):
        raise RuntimeError("out of order")

    message = "lofo_importance got a build_model none of whose trainings succeeded: .*out of order"
    with pytest.raises(ValueError, match=message):
        lofo(*data, cv=halves(60), fit_kwargs={"told": always})


def test_a_training_that_diverges_is_a_failure(data):
    """Steps of 1e9 leave no finite loss: of all, so it is an error that says so."""

    def build_model():
        model = mlp()
        model.compile(keras.optimizers.SGD(1e18), "mse")
        return model

    with pytest.raises(ValueError, match="the metric 'loss' is not finite: the training diverged"):
        lofo_importance(build_model, *data, cv=halves(60), fit_kwargs={"epochs": 5})


def test_an_interrupt_is_none_of_its_failures(data):
    def interrupted(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lofo(*data, cv=halves(60), fit_kwargs={"told": interrupted})
    assert len(TRAININGS) == 1


@pytest.fixture
def no_twins(monkeypatch):
    """Every training in lock step fails; gives the number of those that were tried."""
    tried = []

    def refuse(*arguments, **keywords):
        tried.append(1)
        raise TypeError("no such program")

    monkeypatch.setattr(Twins, "train", refuse)
    return tried


def test_what_has_no_program_of_twins_is_refitted_with_one_warning(data, no_twins):
    """Where the first fold fails, the second isn't tried."""
    settings = {"cv": 2, "features": {"all": [0, 1, 2]}}
    message = (
        "trains the models one by one with fit: they can't be trained in lock step.*no such program"
    )
    with pytest.warns(ImportanceWarning, match=message) as told:
        result = lofo_importance(sgd(mlp), *data, **settings)
    assert len([one for one in told if one.category is ImportanceWarning]) == len(no_twins) == 1
    assert result.procedure == "refit, columns masked"
    assert_same(result, lofo_importance(sgd(mlp), *data, **settings, lock_step=False))


def test_where_lock_step_is_asked_for_nothing_is_refitted(data, no_twins):
    message = "^lofo_importance got lock_step=True, which can't be: TypeError: no such program"
    with pytest.raises(ValueError, match=message):
        lofo_importance(sgd(mlp), *data, cv=halves(60), lock_step=True)


# --- errors before any training -----------------------------------------------------------------

STOP_ON_VALIDATION = {"callbacks": [keras.callbacks.EarlyStopping(monitor="val_loss")]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_seeds": 0}, "n_seeds=0"),
        ({"warm_start": 0}, "warm_start=0"),
        ({"seed": -1}, "seed=-1"),
        ({"n_jobs": 0}, r"n_jobs=0\. Pass a number of jobs"),
        ({"n_jobs": "all"}, r"n_jobs='all'\. Pass a number of jobs"),
        ({"cv": 1}, "cv=1"),
        ({"cv": KFold}, "the class KFold as cv"),
        ({"groups": [0, 1]}, "groups and cv=5"),
        ({"metric": []}, "an empty list of metrics"),
        ({"metric": "f1"}, "the unknown metric 'f1'"),
        ({"metric": ["loss", "loss"]}, "two metrics of one name"),
        ({"metric": lambda y_true, y_pred: np.nan}, "which is nan for right and nan for shuffled"),
        ({"features": {"none": []}}, "the empty group 'none'"),
        ({"features": ["a", "b"]}, "2 feature names for 3 input columns"),
        ({"fit_kwargs": [5]}, r"fit_kwargs=\[5\]\. Pass a dict of arguments of fit"),
        ({"fit_kwargs": {"epochs": 0}}, "epochs in fit_kwargs=0. Pass a whole number, 1 or more"),
        ({"fit_kwargs": {"batch_size": "big"}}, "batch_size in fit_kwargs='big'. Pass a whole number"),
        ({"fit_kwargs": {"x": 1}}, "'x' in fit_kwargs, which it sets itself"),
        ({"fit_kwargs": {"y": 1}}, "'y' in fit_kwargs"),
        ({"fit_kwargs": {"sample_weight": 1}}, "'sample_weight' in fit_kwargs"),
        (
            {"fit_kwargs": STOP_ON_VALIDATION},
            r"EarlyStopping\(monitor='val_loss'\).*validation_split",
        ),
        (
            {"fit_kwargs": {**STOP_ON_VALIDATION, "validation_split": 0.0}},
            "nothing to validate on: held-out rows only score",
        ),
        ({"lock_step": "yes"}, "lock_step='yes'. Pass True, False"),
        (
            {"lock_step": True, "fit_kwargs": {"callbacks": []}},
            "lock_step=True, which can't be: fit_kwargs hold 'callbacks'",
        ),
        ({"lock_step": True, "warm_start": 2}, "which can't be: warm_start is set"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_arguments_that_cannot_be_used_are_refused(data, no_training, arguments, message):
    with pytest.raises(ValueError, match=f"^lofo_importance got .*{message}"):
        lofo_importance(sgd(mlp), *data, **arguments)


def test_a_checkpoint_callback_without_validation_is_no_error(data, tmp_path):
    """Its monitor has a default, which it watches only where it saves the best."""
    saving = keras.callbacks.ModelCheckpoint(
        str(tmp_path / "{epoch}.weights.h5"), save_weights_only=True
    )
    settings = {"cv": halves(60), "features": {"all": [0, 1, 2]}}
    lofo_importance(sgd(mlp), *data, **settings, fit_kwargs={"callbacks": [saving]})
    assert list(tmp_path.glob("*.h5"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": None}, "rows without targets"),
        ({"y": None, "sample_weight": np.ones(60)}, "sample_weight without y"),
        ({"sample_weight": np.ones(59)}, "unequal numbers of rows"),
    ],
    ids=["no targets", "weights alone", "too few weights"],
)
def test_rows_that_cannot_be_used_are_refused(data, no_training, arguments, message):
    with pytest.raises(ValueError, match=f"^lofo_importance got .*{message}"):
        lofo_importance(sgd(mlp), data[0], **{"y": data[1], **arguments})


def same_model():
    model = sgd(mlp)()
    return lambda: model


def same_layer():
    shared = layers.Dense(1)
    shared.build((None, 3))
    return sgd(lambda: keras.Sequential([keras.Input((3,)), shared]))


def same_optimizer():
    optimizer = keras.optimizers.SGD()

    def build_model():
        model = mlp()
        model.compile(optimizer, "mse")
        return model

    return build_model


@pytest.mark.parametrize(
    ("build_model", "message"),
    [
        (same_model(), "returned the same model, or the same layers, twice"),
        (same_layer(), "returned the same model, or the same layers, twice"),
        (same_optimizer(), "compiled two models with the same optimizer"),
        (
            mlp,
            r"returned a Sequential that is not compiled\. Let it return a new, compiled keras\.Model",
        ),
        (lambda: None, r"returned None\. Let it return a new, compiled keras\.Model"),
        (lambda: 1 / 0, "got a build_model that fails .*ZeroDivisionError"),
        (lambda a, b: None, "got a build_model that fails .*missing 2 required positional arguments"),
        (sgd(lambda: mlp(5)), "got a build_model whose model doesn't take the rows of x"),
        (lambda: keras.Sequential, r"returned a \w+\. Let it return a new, compiled keras\.Model"),
    ],
    ids=[
        "model",
        "layer",
        "optimizer",
        "not compiled",
        "nothing",
        "failing",
        "two arguments",
        "other rows",
        "a class",
    ],
)
def test_models_that_cannot_be_used_are_refused(data, no_training, build_model, message):
    with pytest.raises(ValueError, match=f"lofo_importance .*{message}"):
        lofo_importance(build_model, *data)


def test_what_builds_no_model_is_refused(data, no_training):
    message = (
        "lofo_importance got build_model='model.keras'. Pass a function that returns a new compiled"
    )
    with pytest.raises(ValueError, match=message):
        lofo_importance("model.keras", *data)


def test_columns_of_several_inputs_cannot_be_dropped(data, no_training):
    x = {"a": data[0], "b": data[0]}
    with pytest.raises(ValueError, match="the number of columns, and 2 inputs"):
        lofo_importance(lambda n_columns: None, x, data[1])


def test_a_model_of_no_columns_is_not_asked_for(data, no_training):
    """Where columns are dropped, a feature of all of them leaves none."""
    message = "the number of columns, and a feature of all 3 columns, without which none are left"
    with pytest.raises(ValueError, match=message):
        lofo_importance(lambda n_columns: sgd(mlp)(), *data, features={"all": [0, 1, 2]})


# --- checkpoint ---------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    return tmp_path / "trials.jsonl"


class Interrupt:
    """Interrupts the training after so many."""

    def __init__(self, n_trainings):
        self.n_left = n_trainings

    def __call__(self, x):
        self.n_left -= 1
        if self.n_left < 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("n_done", [0, 3, 7])
def test_a_second_call_goes_on_where_the_first_was_interrupted(data, path, n_done, monkeypatch):
    """Of eight trainings those that were done are not repeated, and the numbers are the same."""
    whole = lofo(*data, cv=2)
    with monkeypatch.context() as patch:
        interrupt = Interrupt(n_done)
        fit = LeastSquares.fit
        patch.setattr(
            LeastSquares,
            "fit",
            lambda self, x, *rest, **more: interrupt(x) or fit(self, x, *rest, **more),
        )
        with pytest.raises(KeyboardInterrupt):
            lofo(*data, cv=2, checkpoint=path)
    TRAININGS.clear()
    result = lofo(*data, cv=2, checkpoint=path)
    assert len(TRAININGS) == 8 - n_done
    assert_same(result, whole, rtol=0, atol=0)


def test_in_lock_step_a_second_call_goes_on_with_the_next_fold(data, path, monkeypatch):
    settings = {"cv": 3, "fit_kwargs": {"epochs": 2}}
    whole = lofo_importance(sgd(mlp), *data, **settings)
    train, epochs = Twins.train, []

    def interrupted(twins, orders):
        epochs.append(1)
        if len(epochs) == 4:  # in the second fold
            raise KeyboardInterrupt
        return train(twins, orders)

    monkeypatch.setattr(Twins, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lofo_importance(sgd(mlp), *data, **settings, checkpoint=path)
    result = lofo_importance(sgd(mlp), *data, **settings, checkpoint=path)
    assert len(epochs) == 4 + 4
    assert_same(result, whole, rtol=1e-6, atol=0)


def test_in_a_warm_start_missing_models_start_from_one_made_anew(data, path):
    """The weights are in no file: for one of two missing models of a fold, the one with all is trained."""
    settings = {"cv": 2, "warm_start": 1}
    whole = lofo(*data, **settings, checkpoint=path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    TRAININGS.clear()
    assert_same(lofo(*data, **settings, checkpoint=path), whole, rtol=0, atol=0)
    assert len(TRAININGS) == 2


def test_a_finished_call_is_read_without_training(data, path):
    whole = lofo(*data, cv=2, checkpoint=path)
    TRAININGS.clear()
    assert_same(lofo(*data, cv=2, checkpoint=path), whole, rtol=0, atol=0)
    assert TRAININGS == []


def test_what_keras_numbers_anew_is_the_same_for_a_checkpoint(data, path):
    """A loss made inside of `build_model`, and a metric without a name: auc, auc_1, ..."""
    x, y = data

    def build_model():
        def squares(y_true, y_pred):
            return keras.ops.mean((y_true - y_pred) ** 2, axis=-1)

        model = LeastSquares()
        model.compile(keras.optimizers.SGD(0.1), squares)
        return model

    def call():
        metrics = ["loss", keras.metrics.RootMeanSquaredError(name=None)]
        return list(lofo(x, y[:, None], build_model, metric=metrics, cv=2, checkpoint=path).values())

    whole = call()
    TRAININGS.clear()
    for first, second in zip(whole, call(), strict=True):
        assert_same(first, second, rtol=0, atol=0)
    assert TRAININGS == []


def test_failures_are_tried_again(data, path):
    failing = [True]

    def told(x):
        if failing and np.ptp(x[:, 1]) == 0:
            raise RuntimeError("not now")

    settings = {"cv": 2, "fit_kwargs": {"told": told}, "checkpoint": path}
    with pytest.warns(ImportanceWarning, match=r"without 2 of 8 trainings.*a second call tries them"):
        assert np.isnan(lofo(*data, **settings).importances_mean[1])
    failing.clear()
    TRAININGS.clear()
    assert_same(lofo(*data, **settings), lofo(*data, cv=2), rtol=0, atol=0)
    assert len(TRAININGS) == 2 + 8


def compiled(learning_rate=0.05, loss="mse", activation="tanh", units=4, kind=keras.optimizers.SGD):
    def build_model():
        hidden = layers.Dense(units, activation=activation)
        model = keras.Sequential([keras.Input((3,)), hidden, layers.Dense(1)])
        model.compile(kind(learning_rate), loss)
        return model

    return build_model


def patient(patience):
    return {"callbacks": [keras.callbacks.EarlyStopping(monitor="loss", patience=patience)]}


OTHER = {
    "targets": {"y": lambda y: y + 1e-3},
    "rows": {"x": lambda x: x[::-1].copy()},
    "folds": {"cv": 3},
    "fold seeds": {"seed": 1},
    "number of seeds": {"n_seeds": 2},
    "features": {"features": {"pair": [0, 1]}},
    "metric": {"metric": "mae"},
    "epochs": {"fit_kwargs": {**patient(2), "epochs": 2}},
    "patience": {"fit_kwargs": patient(3)},
    "class weights": {"fit_kwargs": {**patient(2), "class_weight": {0: 1.0}}},
    "warm start": {"warm_start": 1},
    "learning rate": {"build_model": compiled(learning_rate=0.06)},
    "optimizer": {"build_model": compiled(kind=keras.optimizers.Adam)},
    "loss": {"build_model": compiled(loss="mae")},
    "units": {"build_model": compiled(units=5)},
    "activation": {"build_model": compiled(activation="relu")},
}


@pytest.fixture
def stopped(data, path):
    """A file of a call that was interrupted in its first training; the arguments of the call."""
    arguments = {
        "build_model": compiled(),
        "x": data[0],
        "y": data[1],
        "cv": 2,
        "fit_kwargs": patient(2),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.Model, "fit", lambda *rest, **more: Interrupt(0)(None))
        with pytest.raises(KeyboardInterrupt):
            lofo_importance(**arguments, checkpoint=path)
    return arguments


@pytest.mark.parametrize("changes", OTHER.values(), ids=OTHER)
def test_a_checkpoint_of_other_arguments_is_refused_and_stays_as_it_is(
    path, stopped, changes, no_training
):
    before = path.read_bytes()
    changed = {name: one(stopped[name]) if name in "xy" else one for name, one in changes.items()}
    if changes.get("metric") == "mae":
        changed["metric"] = keras.metrics.MeanAbsoluteError(name="mae")
    with pytest.raises(ValueError, match=r"lofo_importance got checkpoint=.*trials of other rows"):
        lofo_importance(**{**stopped, **changed}, checkpoint=path)
    assert path.read_bytes() == before


def test_a_checkpoint_that_is_none_is_refused_before_any_training(data, path, no_training):
    path.write_text("importances")
    with pytest.raises(ValueError, match=r"lofo_importance got checkpoint=.*no checkpoint of"):
        lofo_importance(sgd(mlp), *data, checkpoint=path)
    assert path.read_text() == "importances"


# --- many at once -------------------------------------------------------------------------------


def test_threads_find_what_one_finds(data):
    """Initial weights come from generators that all threads of a process share."""
    with joblib.parallel_config("threading", n_jobs=4):
        threaded = lofo_importance(sgd(mlp), *data, cv=4)
    assert_same(threaded, lofo_importance(sgd(mlp), *data, cv=4), rtol=1e-6, atol=0)


def test_two_processes_find_what_one_finds(data, tmp_path):
    """With a metric object, which must be sent to them."""
    settings = {"cv": 2, "metric": ["loss", keras.metrics.MeanAbsoluteError(name="mae")]}
    settings["fit_kwargs"] = {"folder": str(tmp_path)}
    found = [lofo(data[0], data[1][:, None], **settings, n_jobs=n_jobs) for n_jobs in (2, 1)]
    for name in ("loss", "mae"):
        assert_same(*(one[name] for one in found), rtol=1e-6, atol=0)
    pids = {int(one.name) for one in tmp_path.iterdir()}
    assert os.getpid() in pids
    assert len(pids) > 1


def test_a_dask_cluster_finds_what_one_process_finds(data, tmp_path):
    """Both of its workers take part."""
    distributed = pytest.importorskip("distributed")
    settings = {"cv": 4, "fit_kwargs": {"folder": str(tmp_path)}}
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        workers = set(client.run(os.getpid).values())
        with joblib.parallel_config("dask"):
            spread = lofo(*data, **settings)
    assert {int(one.name) for one in tmp_path.iterdir()} == workers
    assert_same(spread, lofo(*data, **settings), rtol=1e-6, atol=0)


def trained_by_steps():
    return sgd(mlp)()


@pytest.mark.parametrize("lock_step", [True, False], ids=["lock step", "refit"])
def test_a_trainer_that_has_trained_can_be_sent_to_another_process(data, lock_step):
    """Compiled programs stay behind, and the copy finds the same scores."""
    rows = ValidationData.read(data)
    features = FeatureSet.from_argument({"x0": [0], "others": [1, 2]}, rows.columns)
    study = Study(trained_by_steps, rows, (Fold(*halves(60)[0]),), features, ("loss",), {}, 0)
    trainer = trainer_of(replace(study, lock_step=lock_step, insists=lock_step), {})
    trial = Trial(0, 0, (None, 0))
    outcomes = trainer.run(trial)
    copy = pickle.loads(pickle.dumps(trainer))
    for first, second in zip(outcomes, copy.run(trial), strict=True):
        assert first.key == second.key
        assert first.procedure == second.procedure
        np.testing.assert_allclose(first.scores["loss"], second.scores["loss"], rtol=1e-6)
