"""Verdicts in real trainings: joint scores, the masked-score test, the callback, confirmation, caveats."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
from zoo import ZOO

import keras_importance
from keras_importance import (
    Detector,
    ImportanceHistory,
    ImportanceWarning,
    PermutationImportance,
    UselessFeatureDetector,
    compute_importance,
)
from keras_importance.methods.preparation import prepared_evaluator
from keras_importance.results import Verdicts
from keras_importance.retraining.confirmation import confirm
from keras_importance.statistics.score_test import score_test
from keras_importance.verdicts.unused_signal import UnusedSignalTest


class FeatureImportance(keras_importance.FeatureImportance):
    """Without a time budget, which goes by the clock."""

    def __init__(self, *arguments, time_budget=None, **keywords):
        super().__init__(*arguments, time_budget=time_budget, **keywords)


def evaluator_of(model, x, y, **keywords):
    settings = {"features": None, "metric": "loss", "max_samples": None, "seed": 0, **keywords}
    return prepared_evaluator(model, (x, y), [PermutationImportance()], **settings)


# --- joint scores -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["sequential", "two outputs", "embedded", "recurrent", "nested", "towers"]
)
def test_a_set_of_one_scores_like_the_feature_itself(name, rng):
    example = ZOO[name]
    model, x = example.make(), example.rows(rng)
    model.compile("sgd", "mse")
    y = [rng.standard_normal(np.shape(one)) for one in keras.tree.flatten(model.predict(x, verbose=0))]
    method = PermutationImportance()
    evaluator = evaluator_of(model, x, y if len(y) > 1 else y[0])
    alone = method(evaluator)
    joint = method.jointly(evaluator, [[i] for i in range(len(alone.feature_names))], alone)
    np.testing.assert_allclose(joint.importances, alone.importances, atol=2e-5)
    np.testing.assert_allclose(joint.std_error, alone.std_error, atol=2e-5)


def test_a_linear_set_of_two_adds_up(linear_model, rng):
    """Independent columns and squared error: `2 (b_0² + b_1²)`, as for a group of both."""
    x = rng.standard_normal((4000, 3)).astype("float32")
    model = linear_model([1.0, 2.0, 0.5])
    y = model.predict(x, verbose=0)
    evaluator = evaluator_of(model, x, y)
    alone = PermutationImportance()(evaluator)
    joint = PermutationImportance().jointly(evaluator, [[0, 1]], alone)
    assert joint.feature_names == ("x0 + x1",)
    grouped = compute_importance(model, (x, y), methods="permutation", features={"both": [0, 1]})
    group = grouped["permutation"]
    assert joint.importances_mean[0] == pytest.approx(group.importances_mean[0], rel=1e-5)
    assert joint.std_error[0] == pytest.approx(group.std_error[0], rel=1e-5)


# --- what the model explains --------------------------------------------------------------------


def explained(model, x, y, weights=None, metric="loss"):
    data = (x, y) if weights is None else (x, y, weights)
    return compute_importance(model, data, methods="permutation", metric=metric)["permutation"].explained


@pytest.fixture
def fixed():
    """A model that returns its input's first column, with a loss and a last activation."""

    def make(loss, activation=None, units=1):
        layer = keras.layers.Dense(units, activation=activation, use_bias=False)
        model = keras.Sequential([keras.Input((2,)), layer])
        model.set_weights([np.concatenate([np.ones((1, units)), np.zeros((1, units))])])
        model.compile("sgd", loss)
        return model

    return make


def test_the_constant_of_squared_error_is_the_mean(fixed, rng):
    x = rng.standard_normal((500, 2)).astype("float32")
    y = (x[:, 0] + rng.standard_normal(500)).astype("float32")
    expected = np.var(y) - np.mean((y - x[:, 0]) ** 2)
    assert explained(fixed("mse"), x, y).loss == pytest.approx(expected, rel=1e-4)


def test_the_constant_of_absolute_error_is_the_median(fixed, rng):
    x = rng.standard_normal((501, 2)).astype("float32")
    y = (x[:, 0] + rng.exponential(size=501)).astype("float32")
    expected = np.mean(np.abs(y - np.median(y))) - np.mean(np.abs(y - x[:, 0]))
    assert explained(fixed("mae"), x, y).loss == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("from_logits", [False, True])
def test_the_constant_of_log_loss_is_the_frequency(fixed, rng, from_logits):
    """Entropy of the labels minus the model's loss, for probabilities and for logits."""
    x = rng.standard_normal((500, 2)).astype("float32")
    y = (x[:, 0] + rng.standard_normal(500) > 0.5).astype("float32")
    share = y.mean()
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    loss = np.mean(np.logaddexp(0, np.where(y > 0, -x[:, 0], x[:, 0])))
    model = fixed(
        keras.losses.BinaryCrossentropy(from_logits=from_logits), None if from_logits else "sigmoid"
    )
    assert explained(model, x, y).loss == pytest.approx(entropy - loss, rel=1e-3)


@pytest.mark.parametrize("sparse", [False, True])
def test_the_constant_of_cross_entropy_is_the_class_frequencies(fixed, rng, sparse):
    """A model that gives each of three classes the same: the entropy minus log 3."""
    x = rng.standard_normal((500, 2)).astype("float32")
    y = rng.choice(3, 500, p=[0.6, 0.3, 0.1])
    shares = np.bincount(y) / 500
    expected = -np.sum(shares * np.log(shares)) - np.log(3)
    model = fixed(
        "sparse_categorical_crossentropy" if sparse else "categorical_crossentropy", "softmax", 3
    )
    found = explained(model, x, y if sparse else np.eye(3)[y])
    assert found.loss == pytest.approx(expected, abs=1e-3)
    assert found.reference == "constant"


def test_a_loss_with_another_constant_finds_it(fixed, rng):
    """The 90% pinball loss is least for the 90% quantile, neither mean nor median."""

    def pinball(y_true, y_pred):
        error = y_true - y_pred
        return keras.ops.mean(keras.ops.maximum(0.9 * error, -0.1 * error), axis=-1)

    x = rng.standard_normal((500, 2)).astype("float32")
    y = (x[:, 0] + rng.exponential(size=500)).astype("float32")
    quantile = np.quantile(y, 0.9)
    losses = [
        np.mean(np.maximum(0.9 * (y - constant), -0.1 * (y - constant)))
        for constant in (quantile, x[:, 0])
    ]
    found = explained(fixed(pinball), x, y[:, None])
    assert found.loss == pytest.approx(losses[0] - losses[1], rel=2e-3)


def test_weights_count_in_what_is_explained(fixed, rng):
    """Weights 1 and 2 are rows that are there once and twice."""
    x = rng.standard_normal((400, 2)).astype("float32")
    y = (x[:, 0] + rng.standard_normal(400)).astype("float32")
    weights = rng.integers(1, 3, 400).astype("float32")
    rows = np.repeat(np.arange(400), weights.astype(int))
    weighted = explained(fixed("mse"), x, y, weights)
    assert weighted.loss == pytest.approx(explained(fixed("mse"), x[rows], y[rows]).loss, rel=1e-3)


def test_without_a_constant_all_features_shuffled_stand_in(fixed, rng):
    """A loss that is not finite for a constant prediction."""

    def spread(y_true, y_pred):
        constant = keras.ops.max(y_pred) == keras.ops.min(y_pred)
        rows = keras.ops.mean((y_true - y_pred) ** 2, axis=-1)
        return rows + keras.ops.where(constant, np.float32("nan"), 0.0)

    x = rng.standard_normal((400, 2)).astype("float32")
    y = x[:, :1] + rng.standard_normal((400, 1)).astype("float32")
    result = compute_importance(fixed(spread), (x, y), methods="permutation")["permutation"]
    assert result.explained.reference == "all features shuffled"
    assert result.explained.loss == pytest.approx(result.importances_mean.sum(), rel=1e-4)


# --- masked score -------------------------------------------------------------------------------


def test_independent_functions_and_gradients_have_uniform_p_values(rng):
    """400 draws: the share below .05 within three standard errors, with skewed gradients."""
    p = [
        score_test(
            rng.standard_normal((300, 6)),
            rng.exponential(size=(300, 10)) * rng.standard_normal((300, 1)),
        )
        for _ in range(400)
    ]
    assert np.mean(np.array(p) < 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    assert 0.35 < np.mean(np.array(p) < 0.5) < 0.65


def test_blocks_of_equal_rows_are_no_evidence(rng):
    """Each of 40 rows ten times: as rows they would be significant far too often."""
    blocks = np.repeat(np.arange(40), 10)
    p = [
        score_test(rng.standard_normal((40, 4))[blocks], rng.standard_normal((40, 3))[blocks], blocks)
        for _ in range(200)
    ]
    assert np.mean(np.array(p) < 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


@pytest.mark.parametrize(
    "signal",
    [lambda x: x[:, 1] * x[:, 2], lambda x: np.sin(3 * x[:, 1]), lambda x: np.abs(x[:, 1])],
    ids=["interaction", "wave", "absolute value"],
)
def test_signal_that_the_network_does_not_use_yet_is_seen(signal, rng):
    """After one epoch the network has learnt the strong line; a feature without signal stays unseen."""
    x = rng.standard_normal((3000, 6)).astype("float32")
    y = (2 * x[:, 0] + signal(x) + 0.3 * rng.standard_normal(3000)).astype("float32")
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(32, activation="relu"), keras.layers.Dense(1)]
    )
    model.compile("adam", "mse")
    model.fit(x[:2000], y[:2000], epochs=1, verbose=0)
    test = UnusedSignalTest(evaluator_of(model, x[2000:], y[2000:]))
    assert test.p_value(1) < 1e-3
    assert min(test.p_value(number) for number in (3, 4, 5)) > 1e-3


@pytest.mark.parametrize(
    ("loss", "activation", "units"),
    [
        ("sparse_categorical_crossentropy", "softmax", 3),
        (keras.losses.SparseCategoricalCrossentropy(from_logits=True), None, 3),
        ("binary_crossentropy", "sigmoid", 1),
        (keras.losses.BinaryCrossentropy(from_logits=True), None, 1),
    ],
    ids=["softmax", "logits of classes", "sigmoid", "logit"],
)
def test_signal_of_classes_is_seen_before_training(loss, activation, units, rng):
    """A feature that makes the class, one that acts through another, and one that says nothing."""
    x = rng.standard_normal((2000, 4)).astype("float32")
    score = x[:, 0] + x[:, 1] * x[:, 2]
    y = np.digitize(score, [-0.5, 0.5]) if units == 3 else (score > 0).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation=activation)])
    model.compile("sgd", loss)
    test = UnusedSignalTest(evaluator_of(model, x, y))
    assert max(test.p_value(0), test.p_value(1), test.p_value(2)) < 1e-4
    assert test.p_value(3) > 1e-3


def test_signal_of_categories_is_seen(rng):
    """Whole numbers into an embedding have no gradient, and are tested all the same."""
    codes = rng.integers(0, 5, (2000, 2))
    effect = np.array([-1.0, 0.5, 1.0, -0.5, 0.0])
    y = (effect[codes[:, 0]] + 0.5 * rng.standard_normal(2000)).astype("float32")
    inputs = [keras.Input((1,), dtype="int32", name=name) for name in "ab"]
    parts = [keras.layers.Flatten()(keras.layers.Embedding(5, 2)(one)) for one in inputs]
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Concatenate()(parts)))
    model.compile("sgd", "mse")
    test = UnusedSignalTest(evaluator_of(model, [codes[:, :1], codes[:, 1:]], y))
    assert test.p_value(0) < 1e-6
    assert test.p_value(1) > 1e-3


def test_a_copy_of_a_used_feature_holds_no_signal_of_its_own(rng):
    x = rng.standard_normal((2000, 3)).astype("float32")
    x[:, 1] = 0.9 * x[:, 0] + 0.1 * x[:, 1]
    y = (2 * x[:, 0] + 0.3 * rng.standard_normal(2000)).astype("float32")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.set_weights([np.array([[1.0], [0.0], [0.0]]), np.zeros(1)])
    model.compile("sgd", "mse")
    test = UnusedSignalTest(evaluator_of(model, x, y))
    assert test.p_value(1) > 1e-3


def test_what_there_is_no_time_for_keeps_its_p_value_and_comes_first(rng):
    x = rng.standard_normal((300, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    test = UnusedSignalTest(evaluator_of(model, x, x[:, 0]))
    first = test.p_values([0, 1, 2], lambda: False)
    assert np.isnan(first).tolist() == [False, True, True]
    second = test.p_values([0, 1, 2], lambda: False)
    assert np.isnan(second).tolist() == [False, False, True]
    assert second[0] == first[0]
    assert not np.isnan(test.p_values([0, 1, 2], lambda: True)).any()


# --- the callback -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained():
    """A training on six features, of which one is learnt late and three are noise."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4000, 6)).astype("float32")
    y = (2 * x[:, 0] + x[:, 1] * x[:, 2] + 0.5 * rng.standard_normal(4000)).astype("float32")
    heard = []
    importance = FeatureImportance(
        methods="permutation", features=list("abcdef"), on_verdict=heard.append
    )
    network().fit(x, y, validation_split=0.5, epochs=8, verbose=0, callbacks=[importance])
    return x, y, importance, heard


def network():
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(32, activation="relu"), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(5e-3), "mse")
    return model


def test_a_training_ends_with_the_noise_in_the_set_and_nothing_else(trained):
    *_, importance, _ = trained
    assert importance.useless_features == ["d", "e", "f"]
    last = dict(zip("abcdef", importance.history.judged[-1].states, strict=True))
    assert all(last[name] == "useful" for name in "abc")


def test_no_useful_feature_was_in_the_set_in_any_epoch(trained):
    *_, importance, _ = trained
    assert not any(set(one.useless) & set("abc") for one in importance.history.judged)


def test_every_change_is_told_once(trained):
    *_, importance, heard = trained
    told = {}
    for verdict in heard:
        assert told.get(verdict.feature, "undecided") != verdict.state
        told[verdict.feature] = verdict.state
    assert told == dict(zip("abcdef", importance.history.judged[-1].states, strict=True))


def test_verdicts_stand_in_the_dataframe_beside_their_method(trained):
    *_, importance, _ = trained
    frame = importance.history.to_dataframe()
    newest = frame[frame.epoch == 7].set_index("feature").verdict
    assert newest["d"] == "useless"
    assert newest["a"] == "useful"


def test_verdicts_survive_saving(trained, tmp_path):
    *_, importance, _ = trained
    importance.history.save(tmp_path / "history.npz")
    loaded = ImportanceHistory.load(tmp_path / "history.npz")
    assert [repr(one) for one in loaded.verdicts()] == [
        repr(one) for one in importance.history.verdicts()
    ]
    assert loaded.useless_features == importance.history.useless_features
    assert loaded.results[0].explained.loss == importance.history.results[0].explained.loss


def test_confirming_retrains_in_pairs_and_says_that_the_loss_holds(trained):
    x, y, importance, _ = trained
    found = importance.confirm(
        network, x, y, fit_kwargs={"epochs": 3, "batch_size": 128}, n_seeds=2, min_share=0.1
    )
    assert found.features == ("d", "e", "f")
    assert (found.n_trainings, found.losses.shape) == (4, (2, 2))
    assert found.increase < found.threshold
    assert found.holds == (found.bound < found.threshold)
    assert "4 trainings" in str(found)


def test_confirming_sees_a_feature_that_is_needed(trained):
    x, y, importance, _ = trained
    history, importance.history = importance.history, ImportanceHistory()
    with pytest.raises(ValueError, match=r"FeatureImportance.confirm got no useless features"):
        importance.confirm(network, x, y)
    importance.history = history
    found = confirm(
        network,
        x,
        y,
        ["a"],
        features=list("abcdef"),
        fit_kwargs={"epochs": 2, "batch_size": 128},
        n_seeds=2,
    )
    assert not found.holds
    assert found.increase > found.threshold


def test_confirming_leaves_python_and_numpy_random_states_alone(trained):
    x, y, importance, _ = trained
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    importance.confirm(network, x[:300], y[:300], fit_kwargs={"epochs": 1}, n_seeds=2)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


class Decided(Detector):
    """Calls every feature useful at once."""

    method = "permutation"

    def __call__(self, history, probe):
        result = history.newest[self.method]
        n = len(result.feature_names)
        return Verdicts(
            epoch=result.epoch,
            method=self.method,
            feature_names=result.feature_names,
            states=("useful",) * n,
            since=np.zeros(n),
            estimate=result.importances_mean,
            bound=np.ones(n),
            threshold=0.5,
            error_rate=0.05,
            streak=np.zeros(n),
            p_value=np.full(n, np.nan),
        )


def test_a_failing_on_verdict_does_not_stop_the_training(small_data, small_model):
    def fail(_verdict):
        raise RuntimeError("nothing to do with you")

    importance = FeatureImportance(methods="permutation", detectors=Decided(), on_verdict=fail)
    x, y = small_data
    with pytest.warns(ImportanceWarning, match="calling on_verdict.*nothing to do with you"):
        small_model().fit(x, y, validation_split=0.5, epochs=3, verbose=0, callbacks=[importance])
    assert importance.history.epochs[-1] == 2


def test_a_changed_verdict_is_a_line_at_verbose_1(small_data, small_model, capsys):
    x, y = small_data
    importance = FeatureImportance(methods="permutation", detectors=Decided(), verbose=1)
    small_model().fit(x, y, validation_split=0.5, epochs=2, verbose=0, callbacks=[importance])
    assert capsys.readouterr().out.count("x0 is now useful (importance") == 1


def test_a_failing_detector_does_not_stop_the_training(small_data, small_model):
    class Failing(Decided):
        def __call__(self, history, probe):
            raise RuntimeError("no idea")

    importance = FeatureImportance(methods="permutation", detectors=Failing())
    x, y = small_data
    with pytest.warns(ImportanceWarning, match="judging features.*no idea"):
        small_model().fit(x, y, validation_split=0.5, epochs=2, verbose=0, callbacks=[importance])
    assert len(importance.history) == 2


# --- caveats ------------------------------------------------------------------------------------


def messages(model, data, callbacks, importance):
    x, y = data
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(x, y, validation_split=0.5, epochs=2, verbose=0, callbacks=[*callbacks, importance])
    return [str(one.message) for one in caught if issubclass(one.category, ImportanceWarning)]


def test_too_few_rows_are_told_with_the_number_needed(small_data, small_model):
    detector = UselessFeatureDetector(alpha=0.01)
    found = messages(small_model(), small_data, [], FeatureImportance(detectors=[detector]))
    needed = detector.n_rows_needed(4, 2)
    assert needed > 150
    assert any("has 150 validation rows for" in one and f"about {needed}" in one for one in found)


def test_a_callback_that_chooses_the_model_on_the_same_rows_is_named(small_data, small_model, tmp_path):
    choosing = [
        keras.callbacks.EarlyStopping(patience=5),
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", save_best_only=True),
    ]
    found = messages(small_model(), small_data, choosing, FeatureImportance())
    assert any("EarlyStopping and ModelCheckpoint choose the model" in one for one in found)


def test_rows_of_its_own_are_no_reason_to_warn(small_data, small_model):
    x, y = small_data
    own = FeatureImportance((x[:100].copy(), y[:100].copy()))
    found = messages(small_model(), small_data, [keras.callbacks.EarlyStopping()], own)
    assert not any("choose the model" in one for one in found)


def test_callbacks_on_the_training_loss_choose_nothing(small_data, small_model):
    stopping = keras.callbacks.EarlyStopping(monitor="loss")
    found = messages(small_model(), small_data, [stopping], FeatureImportance())
    assert not any("choose the model" in one for one in found)


class Tracker(keras.callbacks.Callback):
    """Is MLflow's by its module."""

    __module__ = "mlflow.keras.callback"


@pytest.mark.parametrize(
    ("name", "add_to_logs", "tracker_is_last", "is_told"),
    [("wind (m/s)", True, True, True), ("wind/speed", True, True, False),
     ("wind (m/s)", False, True, False), ("wind (m/s)", True, False, False)],
)  # fmt: skip
def test_a_name_that_mlflow_drops_epochs_for_is_told(
    small_data, small_model, name, add_to_logs, tracker_is_last, is_told
):
    x, y = small_data
    importance = FeatureImportance(
        add_to_logs=add_to_logs, features=["a", name, "c", "d"], methods="gradient"
    )
    callbacks = [importance, Tracker()] if tracker_is_last else [Tracker(), importance]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        small_model().fit(x, y, validation_split=0.5, verbose=0, callbacks=callbacks)
    told = [str(one.message) for one in caught if "MLflow" in str(one.message)]
    assert len(told) == is_told
    assert all(f"adds 'importance_gradient/{name}' to the logs" in one for one in told)


def test_rows_that_are_there_five_times_are_as_sure_as_once(linear_model, rng):
    """Copies are one block: the standard error stays that of the distinct rows, to a few per cent."""
    x = rng.standard_normal((300, 3)).astype("float32")
    y = (x @ np.array([1.0, 0.5, 0.0]) + rng.standard_normal(300)).astype("float32")
    model = linear_model([1.0, 0.5, 0.2])
    method = PermutationImportance(n_repeats=20)
    once = compute_importance(model, (x, y), methods=method)["permutation"]
    copies = np.repeat(np.arange(300), 5)
    often = compute_importance(model, (x[copies], y[copies]), methods=method)["permutation"]
    assert often.n_blocks == 300
    np.testing.assert_allclose(often.std_error, once.std_error, rtol=0.15)
