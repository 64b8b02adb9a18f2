"""Verdicts in real trainings: the callback and confirmation."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

import keras_importance
from keras_importance import (
    Detector,
    ImportanceHistory,
    ImportanceWarning,
    PermutationImportance,
)
from keras_importance.results import Verdicts
from keras_importance.retraining.confirmation import confirm


class FeatureImportance(keras_importance.FeatureImportance):
    """Without a time budget, which goes by the clock."""

    def __init__(self, *arguments, time_budget=None, **keywords):
        super().__init__(*arguments, time_budget=time_budget, **keywords)


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


def test_a_changed_verdict_is_told_once_at_verbose_1(small_data, small_model, capsys):
    x, y = small_data
    importance = FeatureImportance(methods="permutation", detectors=Decided(), verbose=1)
    small_model().fit(x, y, validation_split=0.5, epochs=2, verbose=0, callbacks=[importance])
    assert capsys.readouterr().out.count("now useful: x0") == 1


def test_a_failing_detector_does_not_stop_the_training(small_data, small_model):
    class Failing(Decided):
        def __call__(self, history, probe):
            raise RuntimeError("no idea")

    importance = FeatureImportance(methods="permutation", detectors=Failing())
    x, y = small_data
    with pytest.warns(ImportanceWarning, match="judging features.*no idea"):
        small_model().fit(x, y, validation_split=0.5, epochs=2, verbose=0, callbacks=[importance])
    assert len(importance.history) == 2


class FailsOnce(Decided):
    """Calls every feature useless at once, and fails in epoch 1."""

    def __call__(self, history, probe):
        verdicts = super().__call__(history, probe)
        if verdicts.epoch == 1:
            raise RuntimeError("no idea")
        return replace(verdicts, states=("useless",) * len(verdicts.states), streak=np.full(4, 5))


def test_verdicts_of_an_epoch_that_could_not_be_judged_are_undecided(small_data, small_model, tmp_path):
    """What an earlier epoch said doesn't stand for it; the next epoch begins a new streak."""
    told, epochs = [], []
    importance = FeatureImportance(
        methods="permutation",
        detectors=FailsOnce(),
        log_dir=tmp_path,
        on_verdict=lambda verdict: told.append((verdict.epoch, verdict.state)),
    )

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            epochs.append(importance.useless_features)

    x, y = small_data
    with pytest.warns(ImportanceWarning, match=r"failed judging features in epoch 1.*no idea") as caught:
        small_model().fit(
            x, y, validation_split=0.5, epochs=3, verbose=0, callbacks=[importance, Watch()]
        )
    assert len([one for one in caught if "judging" in str(one.message)]) == 1
    names = ["x0", "x1", "x2", "x3"]
    assert epochs == [names, [], names]
    assert told == [
        (epoch, state)
        for epoch, state in ((0, "useless"), (1, "undecided"), (2, "useless"))
        for _ in names
    ]
    failed = importance.history.judged[1]
    assert failed.states == ("undecided",) * 4
    assert set(failed.reasons.values()) == {"judging failed: RuntimeError: no idea"}
    assert failed.streak.tolist() == [0] * 4
    np.testing.assert_array_equal(failed.estimate, importance.history.results[1].importances_mean)
    kept = ImportanceHistory.load(tmp_path / "importance" / "history" / "epoch_000001.npz")
    assert [verdict.reason for verdict in kept.verdicts()] == [
        "judging failed: RuntimeError: no idea"
    ] * 4


def test_verdicts_of_an_epoch_without_importances_are_undecided(small_data, small_model):
    class Failing(PermutationImportance):
        def compute(self, evaluator, effort):
            if importance.history.epochs[-1:] == (0,):
                raise RuntimeError("no luck")
            return super().compute(evaluator, effort)

    class Useless(FailsOnce):
        def __call__(self, history, probe):
            verdicts = Decided.__call__(self, history, probe)
            return replace(verdicts, states=("useless",) * 4)

    for methods in ([Failing()], [Failing(), "gradient"]):
        importance = FeatureImportance(methods=methods, detectors=Useless(), verbose=1)
        x, y = small_data
        with pytest.warns(ImportanceWarning, match="no luck"):
            small_model().fit(x, y, validation_split=0.5, epochs=2, verbose=0, callbacks=[importance])
        assert importance.useless_features == []
        newest = importance.history.verdicts()[-1]
        assert (newest.epoch, newest.state) == (1, "undecided")
        assert "could not be computed in this epoch: RuntimeError: no luck" in newest.reason
