"""Wrong arguments: an error before training that says who, what was received, why and what to do."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_importance import (
    FeatureImportance,
    GradientImportance,
    ImportanceMethod,
    ImportanceWarning,
    IntegratedGradients,
    PermutationImportance,
    TensorBoardWriter,
    UselessFeatureDetector,
    compute_importance,
    lofo_importance,
)
from keras_importance.retraining.folds import folds

AT_ONCE = {
    "per cent": ({"time_budget": 10}, r"got time_budget=10. Did you mean 0.1 \(10%\)\?"),
    "1.5 per cent": ({"time_budget": 1.5}, r"got time_budget=1.5. Did you mean 0.015 \(1.5%\)\?"),
    "misspelt method": ({"methods": "permutations"}, "unknown method 'permutations'. Did you mean 'permutation'"),
    "methods with settings": ({"methods": {"permutation": 10}}, r"got methods=.*instances with settings such as PermutationImportance\(n_repeats=10\)"),
    "a text as detectors": ({"detectors": "useless"}, "got detectors='useless'. Pass instances such as UselessFeatureDetector"),
    "a text as writers": ({"writers": "logs"}, "got writers='logs'. Pass a list of instances"),
    "misspelt method of a detector": ({"detectors": UselessFeatureDetector(method="permutatoin")}, "Did you mean 'permutation'"),
    "every=0": ({"every": 0}, "FeatureImportance got every=0. Pass a whole number, 1 or more"),
    "every=1.5": ({"every": 1.5}, "got every=1.5"),
    "every=True": ({"every": True}, "got every=True"),
    "max_samples": ({"max_samples": 1}, "got max_samples=1. Pass a whole number, 2 or more"),
    "seed": ({"seed": -1}, "got seed=-1"),
    "unknown method": ({"methods": ["gradiant"]}, r"got the unknown method 'gradiant'. Did you mean 'gradient'\? Pass some of 'gradient', .*'permutation'"),
    "method class": ({"methods": [PermutationImportance]}, r"Pass an instance: PermutationImportance\(\)"),
    "no method": ({"methods": []}, "got no methods"),
    "method twice": ({"methods": ["gradient", "gradient"]}, "two methods of the same name"),
    "method number": ({"methods": 3}, "got the unknown method 3"),
    "log_dir": ({"log_dir": 7}, "got log_dir=7. Pass the path of a directory, or None"),
    "verbose": ({"verbose": "auto"}, "got verbose='auto'"),
    "writers": ({"writers": None}, "got writers=None. Pass a list of instances"),
    "writer class": ({"writers": TensorBoardWriter}, "got writers=<class .*Pass a list of instances"),
    "writer": ({"writers": ["logs"]}, "got 'logs' in writers. Pass a list of instances of keras_importance.Writer"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), AT_ONCE.values(), ids=AT_ONCE)
def test_wrong_settings_are_refused_by_the_constructor(arguments, message):
    with pytest.raises(ValueError, match=message):
        FeatureImportance(**arguments)


def test_only_methods_that_replace_sets_are_judged():
    """A set of useless features is judged by replacing its features together."""

    class Single(ImportanceMethod):
        name = "single"
        replaces_sets = True  # says so, and has no `jointly`

        def compute(self, evaluator):
            raise NotImplementedError

    with pytest.raises(ValueError, match=r"got Useless.*which judges the method 'single'"):
        FeatureImportance(methods=Single(), detectors=UselessFeatureDetector(method="single"))

    class Joint(Single):
        def jointly(self, evaluator, sets, like):
            raise NotImplementedError

    detector = UselessFeatureDetector(method="single")
    assert FeatureImportance(methods=Joint(), detectors=detector).detectors == (detector,)


def test_verbosity_is_checked_alike_everywhere(linear_model, small_data):
    assert [FeatureImportance(verbose=given).verbose for given in (False, True, 2)] == [0, 1, 2]
    message = "got verbose='auto'. Pass a whole number, 0 or more"
    with pytest.raises(ValueError, match=f"compute_importance {message}"):
        compute_importance(linear_model([1.0] * 4), small_data, verbose="auto")
    with pytest.raises(ValueError, match=f"lofo_importance {message}"):
        lofo_importance(lambda: None, *small_data, verbose="auto")


BEFORE_TRAINING = {
    "too few names": ({"features": ["a"]}, r"FeatureImportance got 1 feature names for 4 input columns. Pass one name per column, or a dict"),
    "empty group": ({"features": {"a": []}}, "FeatureImportance got the empty group 'a'"),
    "overlap": ({"features": {"a": [0], "b": [0, 1]}}, "FeatureImportance got column 'x0' in two groups"),
    "unknown column": ({"features": {"a": ["x9"]}}, "FeatureImportance got 'x9' in the group 'a', which is no column"),
    "a set": ({"features": set("abcd")}, "FeatureImportance got features={"),
    "a mask": ({"features": {"a": [True, False, True, False]}}, "FeatureImportance got True in the group 'a'"),
    "a number as group": ({"features": {"a": 1.5}}, "FeatureImportance got 1.5 in the group 'a'"),
    "failing metric": ({"metric": lambda y, p: 1 / 0}, "FeatureImportance got metric '<lambda>', which fails.*ZeroDivisionError"),
    "metric of one argument": ({"metric": lambda y: 1.0}, "FeatureImportance got metric '<lambda>', which fails.*TypeError"),
    "metric that says nothing": ({"metric": lambda y, p: 0.0}, "is 0 for right and 0 for shuffled predictions.*can't be told which way"),
    "metric of None": ({"metric": lambda y, p: None}, "which returned array.None"),
    "metric of the wrong length": ({"metric": lambda y, p: (y - p[:, 0])[:7]}, r"returned values of shape \(7,\) for 90 rows"),
    "metric that broadcasts": ({"metric": lambda y, p: (y - p) ** 2}, r"broadcasts y_true of shape \(90,\) against y_pred of shape \(90, 1\) to \(90, 90\). Use y_pred\[:, 0\]"),
    "metric that broadcasts and averages": ({"metric": lambda y, p: float(np.mean((y - p) ** 2))}, r"broadcasts y_true"),
    "metric class": ({"metric": keras.metrics.MeanSquaredError}, r"got the class MeanSquaredError as metric. Pass an instance: MeanSquaredError\(\)"),
    "unknown metric": ({"metric": "rmse"}, "FeatureImportance got the unknown metric 'rmse'. The model is compiled with 'loss', 'mae'"),
    "metric in the words of the logs": ({"metric": "val_loss"}, "got the unknown metric 'val_loss'. Did you mean 'loss'"),
    "compiled metric in the words of the logs": ({"metric": "val_mae"}, "got the unknown metric 'val_mae'. Did you mean 'mae'"),
    "metric that isn't compiled": ({"metric": "mse"}, r"or compile the model with it: metrics=\['mse'\]"),
    "metric of no kind": ({"metric": 3}, "FeatureImportance got metric=3"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), BEFORE_TRAINING.values(), ids=BEFORE_TRAINING)
def test_arguments_that_do_not_fit_are_refused_before_training(
    arguments, message, small_model, small_data
):
    model = small_model()
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        model.fit(
            *small_data, validation_split=0.3, verbose=0, callbacks=[FeatureImportance(**arguments)]
        )
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("source", ["fit", "callback"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x, y: (x, y[:10]), "unequal numbers of rows"),
        (lambda x, y: (x[:, :3], y), "validation data that the model can't take.*Pass rows like those of the training"),
        (lambda x, y: (x.tolist(), y), "a single number or element as validation data"),
    ],
    ids=["unequal", "columns", "lists"],
)  # fmt: skip
def test_unusable_validation_data_are_refused_before_training(
    source, spoil, message, small_model, small_data
):
    data, model = spoil(*small_data), small_model()
    importance = FeatureImportance(data if source == "callback" else None)
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        model.fit(
            *small_data,
            validation_data=data if source == "fit" else None,
            verbose=0,
            callbacks=[importance],
        )
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_single_rows_that_fit_cannot_take_are_refused_before_training(small_model, small_data):
    """`fit` itself fails on them only in its first validation, after an epoch of training."""
    rows = tf.data.Dataset.from_tensor_slices(small_data)
    with pytest.raises(
        ValueError, match=r"FeatureImportance got a .* of single rows.*needs .batch\(n\)"
    ):
        small_model().fit(*small_data, validation_data=rows, verbose=0, callbacks=[FeatureImportance()])


def _read_once():
    """Iterators that would be used up by reading, and what the error calls them."""
    rows = [(np.zeros((2, 4)), np.zeros(2))]
    return {
        "generator": ((one for one in rows), "a Python generator"),
        "iterator": (iter(rows), r"an iterator \(list_iterator\)"),
        "map": (map(tuple, rows), r"an iterator \(map\)"),
        "zip": (zip(rows, rows, strict=True), r"an iterator \(zip\)"),
        "dataset": (iter(tf.data.Dataset.from_tensors(rows[0])), r"an iterator \(OwnedIterator\)"),
    }


@pytest.mark.parametrize("source", ["fit", "callback"])
@pytest.mark.parametrize("kind", list(_read_once()))
def test_what_can_be_read_only_once_is_refused_and_not_consumed(kind, source, small_model, small_data):
    iterator, what = _read_once()[kind]
    with pytest.raises(
        ValueError, match=f"FeatureImportance got {what} as validation data.*Pass validation"
    ):
        small_model().fit(
            *small_data,
            validation_data=iterator if source == "fit" else None,
            verbose=0,
            callbacks=[FeatureImportance(iterator if source == "callback" else None)],
        )
    assert next(iterator) is not None


def test_validation_data_of_too_many_parts_are_refused(linear_model, small_data):
    x, y = small_data
    with pytest.raises(
        ValueError, match=r"validation data of 4 parts. Pass validation_data= as \(x, y\)"
    ):
        compute_importance(linear_model([1.0] * 4), (x, y, y, y))


def test_an_unwritable_log_directory_is_refused_before_training(small_model, small_data, tmp_path):
    (tmp_path / "file").write_text("in the way")
    importance = FeatureImportance(log_dir=tmp_path / "file" / "logs")
    with pytest.raises(
        ValueError, match=r"FeatureImportance got log_dir=.*can't be written to.*Pass a directory"
    ):
        small_model().fit(*small_data, validation_split=0.3, verbose=0, callbacks=[importance])


def test_names_that_would_be_swapped_are_refused(small_data):
    x, y = small_data
    inputs = {"b": keras.Input((1,), name="b"), "a": keras.Input((3,), name="a")}
    joined = keras.layers.concatenate(list(inputs.values()))
    model = keras.Model(inputs, keras.layers.Dense(1)(joined))
    model.compile(loss="mse")
    parts = {"b": x[:, :1], "a": x[:, 1:]}
    with pytest.raises(ValueError, match=r"a dict of inputs, whose keys Keras sorts: a, b"):
        compute_importance(model, (parts, y), features=["b", "a0", "a1", "a2"])
    in_order = dict(sorted(parts.items()))
    assert compute_importance(model, (in_order, y), features=["a0", "a1", "a2", "b"])


@pytest.mark.parametrize("model", [None, "model", keras.layers.Dense(1)], ids=["None", "text", "layer"])
def test_only_models_are_models(model, small_data):
    with pytest.raises(
        ValueError, match=r"compute_importance got a \w+ for a model. Pass a keras.Model"
    ):
        compute_importance(model, small_data)


def test_metrics_of_two_outputs_are_refused_before_training(small_data):
    inputs = keras.Input((4,))
    outputs = [keras.layers.Dense(1, name="a")(inputs), keras.layers.Dense(1, name="b")(inputs)]
    model = keras.Model(inputs, outputs)
    model.compile("adam", "mse", metrics=[["mae"], ["mae"]])
    x, y = small_data
    for metric in (lambda y, p: 0.0, keras.metrics.MeanAbsoluteError()):
        with pytest.raises(
            ValueError, match=r"targets don't match. Pass metric='loss'.*'<output>_loss'"
        ):
            compute_importance(model, (x, [y, y]), metric=metric)
    with pytest.raises(ValueError, match=r"unknown metric 'mae'. Did you mean 'a_mae' or 'b_mae'\?"):
        compute_importance(model, (x, [y, y]), metric="mae")


def test_a_model_without_a_loss_is_refused(small_data):
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("adam")
    with pytest.raises(
        ValueError, match=r"compute_importance got metric='loss' and a model.*without a loss"
    ):
        compute_importance(model, small_data)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: PermutationImportance(0), ValueError, "PermutationImportance got n_repeats=0"),
        (lambda: PermutationImportance(2.5), ValueError, "PermutationImportance got n_repeats=2.5"),
        (lambda: PermutationImportance(True), ValueError, "PermutationImportance got n_repeats=True. Pass a whole number, 1 or more"),
        (lambda: IntegratedGradients(0), ValueError, "IntegratedGradients got n_steps=0. Pass a whole number, 1 or more"),
        (lambda: GradientImportance("input"), ValueError, "GradientImportance got of='input'. Pass one of 'auto', 'output', 'loss'"),
        (lambda: GradientImportance(aggregation="max"), ValueError, "got aggregation='max'"),
    ],
)  # fmt: skip
def test_wrong_settings_of_methods_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_errors_of_the_standalone_function_name_it(linear_model, small_data):
    with pytest.raises(ValueError, match="compute_importance got 2 feature names for 4 input columns"):
        compute_importance(linear_model([1.0] * 4), small_data, features=["a", "b"])


def test_a_model_that_is_not_compiled_is_told_so(small_data):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match=r"a model that is not compiled. Call model.compile\(loss="):
        compute_importance(model, small_data)
    with pytest.raises(ValueError, match="returned a Sequential that is not compiled"):
        lofo_importance(lambda: keras.models.clone_model(model), *small_data)


def test_a_model_in_place_of_a_function_is_told_so(small_model, small_data):
    with pytest.raises(
        ValueError, match=r"a Sequential as build_model.*Pass a function without arguments"
    ):
        lofo_importance(small_model(), *small_data)


def test_an_unknown_argument_of_fit_is_refused_before_any_training(small_model, small_data):
    with pytest.raises(ValueError, match=r"got 'epoch' in fit_kwargs.*Did you mean 'epochs'"):
        lofo_importance(small_model, *small_data, fit_kwargs={"epoch": 2})


class StratifiedFolds:
    """As scikit-learn's splitters that stratify: takes classes of shape (n_rows,) alone."""

    def split(self, x, y, groups=None):
        if np.ndim(y) != 1 or np.any(np.asarray(y) != np.round(y)):
            raise ValueError("Supported target types are: ('binary', 'multiclass').")
        rows = np.arange(len(x))
        first = np.concatenate([rows[y == label][::2] for label in np.unique(y)])
        return [(np.setdiff1d(rows, first), first)]


def test_a_splitter_of_classes_splits_one_hot_targets_as_their_classes():
    x, classes = np.zeros((12, 1)), np.arange(12) % 3
    (of_classes,) = folds(StratifiedFolds(), 12, x=x, y=classes, seed=0)
    (of_one_hot,) = folds(StratifiedFolds(), 12, x=x, y=np.eye(3)[classes], seed=0)
    np.testing.assert_array_equal(of_one_hot.held_out, of_classes.held_out)


def test_a_splitter_of_classes_says_that_it_needs_them(small_model, small_data):
    with pytest.raises(
        ValueError, match=r"It needs one class per row: .*cv=list\(splitter.split\(x, classes\)\)"
    ):
        lofo_importance(small_model, *small_data, cv=StratifiedFolds())


def test_a_missing_result_says_what_to_do(small_model, small_data):
    importance = FeatureImportance()
    with pytest.raises(KeyError, match=r"no result of 'permutation' yet. Attach it to a training"):
        importance.results["permutation"]
    with pytest.raises(KeyError, match=r"no method 'permuation'. Did you mean 'permutation'"):
        importance.results["permuation"]
    assert importance.results.get("permutation") is None
    assert importance.history.to_dataframe().columns.tolist()[:4] == [
        "epoch", "method", "feature", "importance",
    ]  # fmt: skip

    class Failing(ImportanceMethod):
        name = "failing"

        def compute(self, evaluator, effort):
            raise RuntimeError("no luck")

    importance = FeatureImportance(methods=["gradient", Failing()])
    with pytest.warns(ImportanceWarning, match="no luck"):
        small_model().fit(*small_data, validation_split=0.3, verbose=0, callbacks=[importance])
    with pytest.raises(KeyError, match="no result of 'failing', which failed: RuntimeError: no luck"):
        importance.results["failing"]


@pytest.mark.parametrize("verb", ["evaluate", "predict"])
def test_a_callback_of_evaluate_or_predict_warns_once(verb, small_model, small_data):
    model, importance = small_model(), FeatureImportance()
    given = small_data if verb == "evaluate" else small_data[:1]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        getattr(model, verb)(*given, verbose=0, callbacks=[importance])
    ours = [str(one.message) for one in caught if issubclass(one.category, ImportanceWarning)]
    assert len(ours) == 1
    assert f"{verb} has no epochs" in ours[0]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        callback = FeatureImportance(methods="gradient")
        model.fit(*small_data, validation_split=0.3, verbose=0, callbacks=[callback])
    assert not [one for one in caught if "has no epochs" in str(one.message)]
