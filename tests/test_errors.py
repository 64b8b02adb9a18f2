"""Suggestions in errors."""

from keras_importance.errors import did_you_mean


def test_the_closest_known_name_is_suggested() -> None:
    """'lss' lacks one letter of 'loss'."""
    assert did_you_mean("lss", ["accuracy", "loss"]) == " Did you mean 'loss'?"


def test_capitals_do_not_count_and_the_known_spelling_is_shown() -> None:
    assert did_you_mean("age", ["Age", "BMI"]) == " Did you mean 'Age'?"


def test_nothing_is_suggested_for_what_resembles_nothing_or_is_no_text() -> None:
    assert did_you_mean("pressure", ["x0", "x1"]) == did_you_mean(3, ["x3"]) == ""
