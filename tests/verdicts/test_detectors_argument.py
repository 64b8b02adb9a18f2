"""Which detectors judge which methods."""

from __future__ import annotations

import pytest

from keras_importance import Detector, UselessFeatureDetector
from keras_importance.methods.conditional_permutation import ConditionalPermutation
from keras_importance.methods.gradient import GradientImportance
from keras_importance.methods.permutation import PermutationImportance
from keras_importance.verdicts.useless_features import detectors_from_argument


class Silent(Detector):
    method = "permutation"

    def __call__(self, history, probe):
        raise AssertionError


def test_detectors_default_to_the_useless_features_where_permutation_is_computed():
    (usual,) = detectors_from_argument(None, [PermutationImportance()])
    assert isinstance(usual, UselessFeatureDetector)
    assert detectors_from_argument(None, [GradientImportance()]) == ()
    assert detectors_from_argument((), [PermutationImportance()]) == ()
    with pytest.raises(ValueError, match="judges the method 'conditional_permutation'"):
        detectors_from_argument(
            UselessFeatureDetector(method="conditional_permutation"), [ConditionalPermutation()]
        )
    own = Silent()
    assert detectors_from_argument(own, [PermutationImportance()]) == (own,)


def test_two_detectors_judge_two_methods():
    """Verdicts of both on one method would take each other's place, and count each other's streaks."""
    methods = [PermutationImportance(), PermutationImportance(name="again")]
    two = UselessFeatureDetector(), UselessFeatureDetector(0.05)
    with pytest.raises(ValueError, match="got two detectors of the method 'permutation'"):
        detectors_from_argument(two, methods)
    apart = UselessFeatureDetector(), UselessFeatureDetector(0.05, method="again")
    assert detectors_from_argument(apart, methods) == apart
