"""Whatever is drawn ends in a right answer, or in an error before training that names the argument.

A few cases run with the fast tests. `make fuzz` runs thousands: its environment variable
`FUZZ_EXAMPLES` says how many a test.
"""

from __future__ import annotations

import math
import os
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models.donors_by_hand import donors_of
from models.generated_cases import (
    FEATURES,
    JUNK,
    METHOD_CLASSES,
    NAMES,
    RIGHT_CALLBACK,
    Case,
    cases,
    right_features,
    right_methods,
)
from models.unusual_cases import UnusualCase, unusual_cases

from keras_importance import (
    FeatureImportance,
    ImportanceHistory,
    ImportanceWarning,
    UselessFeatureDetector,
    compute_importance,
)
from keras_importance.data.columns import InputColumns
from keras_importance.data.features import FeatureSet
from keras_importance.data.padding import lent
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.masks import with_valid_steps
from keras_importance.methods import METHODS, methods_from_argument

N_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
SEVERAL = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
COUNTS: Counter[str] = Counter()


def fuzz(few: int, many: float) -> Any:
    """Few cases, the same each time; under `make fuzz` a multiple of `FUZZ_EXAMPLES`, drawn anew."""
    n = max(few, int(N_EXAMPLES * many))
    return settings(
        max_examples=n, deadline=None, derandomize=not N_EXAMPLES, suppress_health_check=SEVERAL,
        database=None, print_blob=bool(N_EXAMPLES),
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _report():
    yield
    if N_EXAMPLES:
        print("\n" + "\n".join(f"{n:7,} {what}" for what, n in sorted(COUNTS.items())))  # noqa: T201


def refusal(call: Any, what: str) -> str | None:
    """The message of the error with which a call refuses its arguments; None where it takes them."""
    message = None
    try:
        call()
    except (ValueError, TypeError) as error:
        message = str(error)
    COUNTS[f"{what}: {'taken' if message is None else 'refused'}"] += 1
    assert message is None or " got " in f" {message}", f"it isn't told what was received: {message}"
    return message


# --- arguments alone -------------------------------------------------------------------------------

COLUMNS = [
    [InputColumns("input_0", ("x0", "x1", "x2"))],
    [InputColumns("a", ("a",)), InputColumns("b", ("x0", "x1"))],
    [InputColumns("input_0", ("x0",))],
]


@fuzz(few=300, many=4)
@given(argument=FEATURES, inputs=st.sampled_from(COLUMNS), in_order=st.booleans())
def test_features_are_each_column_once_or_an_error(argument, inputs, in_order):
    found: list[FeatureSet] = []
    message = refusal(
        lambda: found.append(FeatureSet.from_argument(argument, inputs, in_written_order=in_order)),
        "features",
    )
    if message is not None:
        assert any(word in message for word in ("feature", "group", "column")), message
        return
    features = found[0]
    columns = sorted(column for one in features.features for column in one.columns)
    assert columns == [(i, c) for i, one in enumerate(inputs) for c in range(len(one.columns))]
    assert len(set(features.names)) == len(features)
    assert all(isinstance(name, str) and name.encode() is not None for name in features.names)


SETTINGS = {
    "n_repeats": (lambda v: _is_whole(v, 1), ("permutation", "linearised_permutation", "conditional_permutation")),
    "n_steps": (lambda v: _is_whole(v, 1), ("integrated_gradients",)),
    "n_seeds": (lambda v: _is_whole(v, 1), ("lofo",)),
    "of": (lambda v: isinstance(v, str) and v in ("auto", "output", "loss"), ("gradient", "integrated_gradients")),
    "aggregation": (lambda v: isinstance(v, str) and v in ("mean", "rms"), ("gradient",)),
    "output": (lambda v: v is None or isinstance(v, str), ("gradient", "integrated_gradients")),
    "name": (lambda v: v is None or _is_tag(v), tuple(METHODS)),
}  # fmt: skip


def _is_whole(value: Any, at_least: int) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= at_least


def _is_tag(value: Any) -> bool:
    is_ascii = isinstance(value, str) and value.isascii()
    return is_ascii and bool(value) and value.replace("_", "a").isalnum() and value[0] != "_"


@fuzz(few=300, many=4)
@given(data=st.data())
def test_methods_take_what_they_say_and_nothing_else(data):
    setting = data.draw(st.sampled_from(list(SETTINGS)))
    is_right, methods = SETTINGS[setting]
    method = data.draw(st.sampled_from(methods))
    value = data.draw(JUNK | st.sampled_from(["auto", "loss", "mean", "rms", "a_1"]))
    message = refusal(lambda: METHOD_CLASSES[method](**{setting: value}), "methods' constructors")
    assert (message is None) == is_right(value), (method, setting, value, message)
    if message is not None:
        assert message.startswith(METHOD_CLASSES[method].__name__), message
        assert setting in message


@fuzz(few=150, many=2)
@given(
    argument=JUNK | st.lists(st.sampled_from([*METHODS, *METHOD_CLASSES.values(), 3, None]), max_size=3)
)
def test_methods_are_instances_of_different_names_or_an_error(argument):
    message = refusal(lambda: methods_from_argument(argument), "methods")
    assert message is None or "method" in message


ARGUMENTS = {
    "every": lambda v: _is_whole(v, 1),
    "max_samples": lambda v: v is None or _is_whole(v, 2),
    "time_budget": lambda v: v is None or (_is_share(v) and v <= 1),
    "seed": lambda v: _is_whole(v, 0),
    "verbose": lambda v: isinstance(v, bool) or _is_whole(v, 0),
    "log_dir": lambda v: v is None or (isinstance(v, str) and bool(v)),
    "on_verdict": lambda v: v is None or callable(v),
    "detectors": lambda v: None,
    "writers": lambda v: None,
    "methods": lambda v: None,
    "add_to_logs": lambda v: isinstance(v, (bool, np.bool_)),
}


def _is_share(value: Any) -> bool:
    return (
        isinstance(value, (int, float, np.floating))
        and not isinstance(value, bool)
        and 0 < value < math.inf
    )


@fuzz(few=300, many=4)
@given(data=st.data())
def test_the_callback_takes_what_it_says_and_nothing_else(data):
    name = data.draw(st.sampled_from(list(ARGUMENTS)))
    value = data.draw(JUNK)
    message = refusal(lambda: FeatureImportance(**{name: value}), "FeatureImportance()")
    expected = ARGUMENTS[name](value)
    assert expected is None or (message is None) == expected, (name, value, message)
    if message is not None:
        assert message.startswith("FeatureImportance got")
        assert name.removesuffix("s") in message or repr(value) in message, (name, value, message)


@fuzz(few=100, many=1)
@given(
    name=st.sampled_from(["min_share", "alpha", "patience", "method"]),
    value=JUNK,
)
def test_the_detector_takes_what_it_says_and_nothing_else(name, value):
    message = refusal(lambda: UselessFeatureDetector(**{name: value}), "UselessFeatureDetector()")
    if message is not None:
        assert message.startswith(f"UselessFeatureDetector got {name}=")
    elif name == "patience":
        assert _is_whole(value, 1)
    elif name != "method":
        assert _is_share(value)
        assert value < 1


# --- rows ------------------------------------------------------------------------------------------

DTYPES = (
    "float16", "float32", "float64", "int8", "int64", "uint8", "uint64", "bool", "U3", "S3", "complex64",
    "M8[s]", "O",
)  # fmt: skip


@st.composite
def arrays(draw: Any) -> Any:
    shape = tuple(draw(st.lists(st.sampled_from([0, 1, 2, 3, 8]), max_size=3)))
    dtype = draw(st.sampled_from(DTYPES))
    values = np.random.default_rng(draw(st.integers(0, 99))).integers(-3, 9, shape)
    with np.errstate(all="ignore"):
        array = (
            values.astype("int64").astype(dtype) if dtype != "U3" else values.astype(str).astype("U3")
        )
    if array.dtype.kind == "f" and array.size and draw(st.booleans()):
        array.reshape(-1)[0] = draw(st.sampled_from([np.nan, np.inf, -np.inf, 1e30, 1e-42, 0.0]))
    return array


NESTS = st.recursive(
    arrays() | JUNK,
    lambda one: (
        st.lists(one, max_size=3) | st.dictionaries(NAMES, one, max_size=2) | st.tuples(one, one)
    ),
    max_leaves=4,
)


@fuzz(few=300, many=4)
@given(
    source=st.tuples(NESTS, NESTS) | st.tuples(NESTS, NESTS, NESTS) | NESTS,
    max_samples=st.none() | st.integers(2, 9),
)
@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning", "ignore:overflow encountered")
def test_rows_are_read_or_refused(source, max_samples):
    found: list[ValidationData] = []
    message = refusal(lambda: found.append(ValidationData.read(source, max_samples=max_samples)), "rows")
    if message is None:
        data = found[0]
        leaves = [*data.inputs, *(keras.tree.flatten(data.targets) if data.targets is not None else [])]
        leaves = [leaf for leaf in leaves if leaf is not None]
        assert {len(leaf) for leaf in leaves} == {data.n_rows}
        assert 1 <= data.n_rows <= (max_samples or data.n_rows)
        for leaf in data.filled:  # values that are missing are kept, and filled where a method needs it
            assert leaf.dtype.kind != "f" or np.all(np.isfinite(leaf))
        assert data.weights is None or (np.all(data.weights > 0) and len(data.weights) == data.n_rows)


# --- a trained model -------------------------------------------------------------------------------


@st.composite
def weights(draw: Any, n_rows: int) -> tuple[Any, bool]:
    """Weights of the rows, and whether they can be used."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    positive = rng.uniform(0.1, 2, n_rows)
    kind = draw(
        st.sampled_from(
            ["none"] * 4 + ["positive", "some zero", "column", "zero", "negative", "nan", "short"]
        )
    )
    return {
        "none": (None, True),
        "positive": (positive, True),
        "column": (positive[:, None], True),
        "some zero": (np.where(np.arange(n_rows) % 3 == 1, 0, positive), True),
        "zero": (0 * positive, False),
        "negative": (-positive, False),
        "nan": (np.full(n_rows, np.nan), False),
        "short": (positive[1:], False),
    }[kind]


def half_mse(y: Any, p: Any) -> Any:
    return ((y - p) ** 2).mean(axis=1) / 2


def total_mse(y: Any, p: Any, sample_weight: Any = None) -> float:
    return float(np.average(((y - p) ** 2).mean(axis=1), weights=sample_weight))


half_mse.direction = total_mse.direction = "down"

WRONG = {
    "features": FEATURES,
    "methods": JUNK,
    "metric": JUNK,
    "max_samples": JUNK,
    "seed": JUNK,
    "verbose": JUNK,
}
WORDS = {"features": ("feature", "group", "column"), "methods": ("method",)}


def handles(model: Any, x: Any) -> bool:
    """Whether a model predicts numbers for inputs that aren't: a saturated activation does."""
    outputs = keras.tree.flatten(model(keras.tree.map_structure(keras.ops.convert_to_tensor, x)))
    return all(np.isfinite(keras.ops.convert_to_numpy(output)).all() for output in outputs)


def check_case(data: Any, case: Case, model: Any, columns: list[list[str]]) -> None:
    """One call of `compute_importance` with arguments right but for one at most."""
    weight, weights_are_right = data.draw(weights(case.n_rows), label="weights")
    arguments = {
        "methods": data.draw(right_methods(), label="methods"),
        "features": data.draw(right_features(columns), label="features"),
        "seed": data.draw(st.integers(0, 2**40), label="seed"),
        "max_samples": data.draw(st.none() | st.integers(8, 60), label="max_samples"),
    }
    if len(case.losses) == 1 and case.losses[0].argument in ("mse", "mae", "huber"):
        metrics = ["loss", "loss", "mae", keras.metrics.MeanSquaredError(), half_mse, total_mse]
        arguments["metric"] = data.draw(st.sampled_from(metrics), label="metric")
    wrong = data.draw(st.none() | st.none() | st.sampled_from(list(WRONG)), label="wrong")
    if wrong is not None:
        arguments[wrong] = data.draw(WRONG[wrong], label=wrong)
    x, y = case.nest(case.leaves()), case.y()
    before = [keras.ops.convert_to_numpy(v) for v in model.variables]
    found: dict[str, Any] = {}
    message = refusal(
        lambda: found.update(compute_importance(model, (x, y, weight), **arguments)),
        "compute_importance()",
    )
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)
    first = case.leaves()[0]
    is_finite = first.dtype.kind != "f" or bool(np.isfinite(first).all())
    if message is not None:
        is_right = wrong is None and weights_are_right and is_finite and case.n_rows > 6
        is_right = is_right and not (weight is not None and np.any(weight == 0) and case.n_rows < 14)
        assert message.startswith("compute_importance got"), message
        assert not is_right or "overlapping windows" in message, message
        if wrong is not None and weights_are_right and is_finite and case.n_rows > 6:
            words = WORDS.get(wrong, (wrong,))
            assert any(word in message for word in words), message
        return
    assert weights_are_right
    assert is_finite or handles(model, x)
    if wrong == "features":
        pass
    elif wrong is not None and wrong not in ("metric", "methods"):
        assert ARGUMENTS[wrong](arguments[wrong]), (wrong, arguments[wrong])
    for result in found.values():
        check_result(result, case)
        check_ignored(result, case)
    if case.spoilt not in ("huge", "tiny") and arguments.get("metric", "loss") == "loss":
        for method in methods_from_argument(arguments["methods"]):
            if type(method).__name__ == "PermutationImportance":
                check_by_hand(found[method.name], case, model, weight, arguments, method.n_repeats)
    check_history(found)


def check_result(result: Any, case: Case | UnusualCase) -> None:
    """What holds for every result."""
    n_features = len(result.feature_names)
    mean = result.importances_mean
    assert result.importances.shape == (n_features, result.n_repeats)
    assert len(set(result.feature_names)) == n_features
    may_overflow = case.spoilt in ("huge", "tiny")
    for name, value in zip(result.feature_names, mean, strict=True):
        assert np.isfinite(value) or result.notes.get(name) or may_overflow, (name, value)
    known = np.isfinite(mean) & np.isfinite(result.std_error)
    assert np.all(result.std_error[known] >= 0)
    with_interval = known & np.isfinite(result.ci_low)
    assert np.all(result.ci_low[with_interval] <= mean[with_interval])
    assert np.all(mean[with_interval] <= result.ci_high[with_interval])
    ranks = result.rank[np.isfinite(mean)]
    assert sorted(ranks) == list(range(1, len(ranks) + 1))
    assert np.all(np.diff(mean[np.isfinite(mean)][np.argsort(ranks)]) <= 0)
    if result.by_step is not None:
        assert result.by_step.shape[1] == n_features


def check_ignored(result: Any, case: Case) -> None:
    """Features whose weights are zero have importance 0."""
    for number, part in enumerate(case.parts):
        if part.ignored is None:
            continue
        column = f"x{part.ignored}"
        name = column if len(case.parts) == 1 else f"in{number}/{column}"
        if name in result.feature_names and case.container is not dict:
            value = result.importances_mean[result.feature_names.index(name)]
            if np.isfinite(value):
                scale = np.nanmax(np.abs(result.importances_mean), initial=0)
                assert abs(value) <= 1e-5 * (1 + scale), (result.method, name, value)


def check_by_hand(
    result: Any, case: Case, model: Any, weight: Any, arguments: dict[str, Any], n_repeats: int
) -> None:
    """Permutation importance is that of a loop over features and repeats, with the same donors.

    Valid steps get the values of valid steps; masked ones keep theirs.
    """
    leaves, targets = case.leaves(), case.targets()
    w = np.ones(case.n_rows) if weight is None else np.asarray(weight).reshape(-1)
    rows = np.flatnonzero(w)
    limit = arguments["max_samples"]
    if limit is not None and limit < len(rows):
        return
    leaves, targets, w = [leaf[rows] for leaf in leaves], [y[rows] for y in targets], w[rows]
    features = arguments["features"]
    columns = [(i, c) for i, part in enumerate(case.parts) for c in range(part.n_columns)]
    if isinstance(features, str):
        return
    data = ValidationData.read((case.nest(leaves), targets[0]), input_names=case.names)
    valid = with_valid_steps(data, model).valid
    every = FeatureSet.from_argument(features, data.columns).features
    sets = [one.columns for one in every]
    assert sorted(column for one in sets for column in one) == columns
    seed, n = arguments["seed"], len(rows)
    is_padded = any(of_input is not None for of_input in valid)
    n_repeats = min(n_repeats, len(data.inputs[0]) - 1)
    donors = donors_of(every, data.inputs, n_repeats, seed, is_padded=is_padded)

    def loss(inputs: list[Any], repeats: int) -> Any:
        outputs = model(case.nest([case.tensor(leaf) for leaf in inputs]), training=False)
        return case.loss_of_rows([np.concatenate([y] * repeats) for y in targets], outputs).reshape(
            repeats, n
        )

    baseline = loss(leaves, 1)[0]
    assert result.baseline_score == pytest.approx(np.average(baseline, weights=w), rel=1e-3, abs=1e-5)
    for found, one, of_feature in zip(result.importances, sets, donors, strict=True):
        moved = [np.concatenate([leaf] * n_repeats) for leaf in leaves]
        for number, column in one:
            place = ... if leaves[number].ndim == 1 else (..., column)
            moved[number][place] = np.concatenate(
                [lent(leaves[number], valid[number], rows)[place] for rows in of_feature]
            )
        expected = np.average(loss(moved, n_repeats) - baseline, axis=1, weights=w)
        scale = 1 + np.abs(baseline).max()
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-5 * scale)
    COUNTS["permutation by hand"] += 1


def check_history(found: dict[str, Any]) -> None:
    """Results make a table, and come back from a file as they were."""
    history = ImportanceHistory() + list(found.values())
    table = history.to_dataframe()
    assert len(table) == sum(len(one.feature_names) for one in history)
    with tempfile.TemporaryDirectory() as folder:
        history.save(Path(folder) / "history.npz")
        again = ImportanceHistory.load(Path(folder) / "history.npz")
    for old, new in zip(history, again, strict=True):
        assert old.feature_names == new.feature_names
        assert dict(old.notes) == dict(new.notes)
        np.testing.assert_array_equal(old.importances, new.importances)
        np.testing.assert_array_equal(old.std_error, new.std_error)


def columns_of(case: Case) -> list[list[str]]:
    return [[f"x{c}" for c in range(part.n_columns)] for part in case.parts]


def is_taken_by_keras(case: Case, model: Any) -> bool:
    """Whether Keras itself takes these rows: `fit` would have refused the others long before."""
    try:
        model(case.nest([case.tensor(leaf) for leaf in case.leaves()]))
    except Exception:  # noqa: BLE001 (whatever Keras says)
        return False
    return True


@fuzz(few=4, many=0.3)
@given(case=cases(), data=st.data())
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_answer_is_right_or_an_error_names_the_argument(case, data):
    model = case.model()
    if not is_taken_by_keras(case, model):
        COUNTS["refused by Keras"] += 1
        return
    n_calls = data.draw(st.integers(1, 3)) if N_EXAMPLES else 1
    for _ in range(n_calls):
        check_case(data, case, model, columns_of(case))


# --- a training ------------------------------------------------------------------------------------

CAVEATS = ("validation rows for", "the model's outputs or losses are not finite")


@fuzz(few=2, many=0.15)
@given(case=cases(), arguments=RIGHT_CALLBACK, data=st.data())
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_training_ends_as_without_the_callback(case, arguments, data):
    if not is_taken_by_keras(case, case.model()):
        return
    methods = data.draw(right_methods(trains=True), label="methods")
    if "permutation" not in [one.name for one in methods_from_argument(methods)]:
        arguments["detectors"] = None  # those drawn judge it
    features = data.draw(right_features(columns_of(case)), label="features")
    has_logs = data.draw(st.booleans(), label="log_dir")
    n_epochs, batch_size = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 16))
    x, y = (
        case.nest([leaf.astype(object) if leaf.dtype.kind == "U" else leaf for leaf in case.leaves()]),
        case.y(),
    )

    def trained(callbacks: list[Any]) -> Any:
        keras.utils.clear_session()
        model = case.model()
        keras.utils.set_random_seed(3)
        model.fit(
            x,
            y,
            validation_data=(x, y),
            epochs=n_epochs,
            batch_size=batch_size,
            verbose=0,
            callbacks=callbacks,
        )
        return [keras.ops.convert_to_numpy(variable) for variable in model.variables]

    try:
        plain = trained([])
    except Exception:  # noqa: BLE001 (whatever Keras says of texts in arrays, ...)
        COUNTS["fit(): refused by Keras"] += 1
        return
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ImportanceWarning)
        importance = FeatureImportance(
            methods=methods, features=features, log_dir=folder if has_logs else None, **arguments
        )
        results: list[Any] = []
        message = refusal(lambda: results.append(trained([importance])), "fit()")
    ours = [str(one.message) for one in told if issubclass(one.category, ImportanceWarning)]
    assert all(any(caveat in one for caveat in CAVEATS) for one in ours), ours
    if message is None:
        np.testing.assert_equal(results[0], plain)
        assert importance.history.epochs[-1] == n_epochs - 1
        for result in importance.results.values():
            check_result(result, case)
        check_history(importance.results)
        return
    leaf = case.leaves()[0]
    is_finite = leaf.dtype.kind != "f" or bool(np.isfinite(leaf).all())
    assert message.startswith("FeatureImportance got")
    assert (
        not (is_finite and case.n_rows > 6) or "lofo" in message or "overlapping windows" in message
    ), message


@fuzz(few=4, many=0.12)
@given(case=unusual_cases(), methods=right_methods(), time_budget=st.sampled_from([None, 0.1]))
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::keras_importance.ImportanceWarning")
def test_padding_weights_of_steps_missing_targets_and_coupled_losses_end_no_training(
    case, methods, time_budget
):
    """The training is the same, and each number is finite or has a reason; nothing fails unexplained."""

    def trained(callbacks: list[Any]) -> Any:
        keras.utils.clear_session()
        model = case.model()
        keras.utils.set_random_seed(3)
        model.fit(**case.arguments_of_fit(), epochs=2, verbose=0, callbacks=callbacks)
        return [keras.ops.convert_to_numpy(variable) for variable in model.variables]

    try:
        plain = trained([])
    except Exception:  # noqa: BLE001 (whatever Keras says of weights in another form, ...)
        COUNTS["unusual: refused by Keras"] += 1
        return
    importance = FeatureImportance(methods=methods, time_budget=time_budget, detectors=())
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ImportanceWarning)
        found = trained([importance])
    np.testing.assert_equal(found, plain)
    ours = [str(one.message) for one in told if issubclass(one.category, ImportanceWarning)]
    # A loss that couples rows has no gradient of each row, and the warning says so.
    crashes = [text for text in ours if "failed" in text and "no mean over rows" not in text]
    assert not crashes, crashes
    names = {one.name for one in methods_from_argument(methods)}
    assert names <= set(importance.results) or ours, (names, set(importance.results))
    for result in importance.results.values():
        check_result(result, case)
    COUNTS["unusual: trained"] += 1


# --- what was found --------------------------------------------------------------------------------


def test_lists_in_arrays_are_lists():
    inputs = COLUMNS[0]
    groups = FeatureSet.from_argument({"pair": np.array([0, 1]), "one": np.array(2)}, inputs)
    assert groups.names == ("pair", "one")
    assert FeatureSet.from_argument(np.array(["a", "b", "c"]), inputs).names == ("a", "b", "c")
    assert [one.name for one in methods_from_argument(np.array(["gradient"]))] == ["gradient"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: methods_from_argument(np.array(3)), "got the unknown method 3"),
        (lambda: FeatureSet.from_argument(np.array(3), COLUMNS[0]), "got features=3"),
        (lambda: FeatureImportance(writers=np.array(3)), "FeatureImportance got writers=3"),
        (lambda: FeatureImportance(add_to_logs=np.zeros(2)), "FeatureImportance got add_to_logs="),
        (lambda: METHOD_CLASSES["gradient"](np.zeros(2)), r"GradientImportance got of=array"),
        (lambda: METHOD_CLASSES["gradient"](output=[]), r"GradientImportance got output=\[\]"),
        (lambda: ValidationData.read((None, np.zeros(3))), "got validation data whose inputs hold None"),
        (lambda: ValidationData.read((np.zeros(3), np.zeros(3), np.zeros(2))), "unequal numbers of rows"),
    ],
)  # fmt: skip
def test_arrays_and_none_in_place_of_an_argument_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(("name", "value"), [("seed", -1), ("max_samples", 1.5), ("verbose", "auto")])
def test_plain_arguments_are_checked_without_a_training_too(name, value, linear_model, small_data):
    with pytest.raises(ValueError, match=f"compute_importance got {name}={value!r}"):
        compute_importance(linear_model([1.0] * 4), small_data, **{name: value})


def test_targets_of_none_are_no_targets():
    assert ValidationData.read((np.arange(3.0), [None])).targets is None


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint32", "int8"])
def test_the_approximation_of_a_linear_model_is_exact_whatever_numbers_it_is_fed(
    dtype, linear_model, rng
):
    """Booleans can't be subtracted, and unsigned numbers wrap around."""
    x = rng.integers(2, size=(20, 2)).astype(dtype)
    results = compute_importance(
        linear_model([1.0, 2.0]),
        (x, rng.standard_normal(20)),
        methods=["permutation", "linearised_permutation"],
    )
    exact, approximate = (one.importances for one in results.values())
    assert np.abs(exact).min(axis=1).max() > 0
    assert approximate == pytest.approx(exact, rel=1e-4, abs=1e-6)
