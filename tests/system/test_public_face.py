"""The public face: which names it has, and that they are there."""

from __future__ import annotations

from importlib.metadata import version

import pytest

import keras_importance


@pytest.mark.parametrize("name", sorted(keras_importance.__all__))
def test_every_public_name_is_there_and_documented(name):
    assert name in dir(keras_importance)
    assert getattr(keras_importance, name).__doc__


def test_the_face_is_small():
    assert len(keras_importance.__all__) == 21


def test_the_version_is_that_of_the_metadata():
    assert keras_importance.__version__ == version("keras_importance")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="FeatureImportnace"):
        keras_importance.FeatureImportnace  # noqa: B018
