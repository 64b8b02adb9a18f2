"""Errors speak of rows with the words of those who passed them, and of nothing else."""

from __future__ import annotations

import pickle

import keras
import numpy as np
import pytest

from keras_importance import FeatureImportance, compute_importance, lofo_importance
from keras_importance.errors import Naming, RowsError, about, did_you_mean

X, Y = np.random.default_rng(0).standard_normal((60, 3)).astype("float32"), np.zeros(60, "float32")


def told(template, naming):
    with pytest.raises(RowsError) as caught, about(naming):
        raise RowsError(template)
    return str(caught.value)


def test_only_placeholders_are_replaced():
    """Names of columns may hold any word, and braces."""
    template = "got {rows} with column 'validation_{score}' of validation data. Pass {argument}None."
    assert told(template, Naming("data", "x=")) == (
        "got data with column 'validation_{score}' of validation data. Pass x=None."
    )


def test_without_a_reader_the_rows_are_validation_data():
    assert (
        str(RowsError("got {rows}. Pass {argument}..."))
        == "got validation data. Pass validation_data=..."
    )


def test_an_error_on_rows_can_be_sent_to_another_process():
    error = RowsError("got {rows}{or_steps}", Naming("data", "x=", or_steps=", or"))
    sent = pickle.loads(pickle.dumps(error))
    assert (str(sent), sent.template) == (str(error), error.template)


def _model():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def test_the_remedy_names_the_argument_of_the_function_that_was_called():
    with pytest.raises(ValueError, match=r"lofo_importance got no arrays as data|got data whose inputs"):
        lofo_importance(_model, None, Y)
    with pytest.raises(ValueError, match=r"got validation data whose inputs hold None"):
        compute_importance(_model(), (None, Y))


def test_a_column_keeps_its_name_in_an_error():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"validation_score": ["a", *map(str, range(59))], "b": range(60)})
    with pytest.raises(ValueError, match=r"text beside numbers, in column 'validation_score'"):
        lofo_importance(_model, frame, Y)


def test_what_is_no_argument_of_the_called_function_is_no_remedy():
    """`validation_steps` is an argument of `fit`, and of nothing else."""
    import tensorflow as tf

    endless = tf.data.Dataset.from_tensor_slices((X, Y)).batch(10).repeat()
    with pytest.raises(ValueError, match=r"infinite.*Pass x=dataset.take\(n\).$"):
        lofo_importance(_model, endless)
    with pytest.raises(ValueError, match=r"infinite.*Pass validation_data=dataset.take\(n\).$"):
        compute_importance(_model(), endless)
    callback = FeatureImportance(endless)
    with pytest.raises(ValueError, match=r"dataset.take\(n\), or give fit validation_steps=.$"):
        _model().fit(X, Y, verbose=0, callbacks=[callback])


def test_an_iterator_in_fit_may_be_left_to_fit():
    with pytest.raises(
        ValueError, match=r"pass that to FeatureImportance\(validation_data=...\) beside"
    ):
        _model().fit(X, Y, validation_data=iter([(X, Y)]), verbose=0, callbacks=[FeatureImportance()])
    with pytest.raises(ValueError, match=r"what the iterator is made from.$"):
        compute_importance(_model(), iter([(X, Y)]))


def test_the_closest_known_name_is_suggested() -> None:
    """'lss' lacks one letter of 'loss'."""
    assert did_you_mean("lss", ["accuracy", "loss"]) == " Did you mean 'loss'?"


def test_capitals_do_not_count_and_the_known_spelling_is_shown() -> None:
    assert did_you_mean("age", ["Age", "BMI"]) == " Did you mean 'Age'?"


def test_nothing_is_suggested_for_what_resembles_nothing_or_is_no_text() -> None:
    assert did_you_mean("pressure", ["x0", "x1"]) == did_you_mean(3, ["x3"]) == ""
