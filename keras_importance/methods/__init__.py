"""The importance methods: how much each feature matters. One file per method, one line in `METHODS`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.effort import Effort
from keras_importance.engine.evaluator import Evaluator
from keras_importance.engine.scores.sample import FeatureScores, Replacement
from keras_importance.errors import InvalidArgumentError, did_you_mean
from keras_importance.methods.ablation import AblationImportance
from keras_importance.methods.base import ImportanceMethod, Interrupted
from keras_importance.methods.conditional_lofo import ConditionalLOFO
from keras_importance.methods.conditional_permutation import ConditionalPermutation
from keras_importance.methods.gradient import GradientImportance
from keras_importance.methods.integrated_gradients import IntegratedGradients
from keras_importance.methods.linearised_permutation import LinearisedPermutation
from keras_importance.methods.lofo import LOFOImportance
from keras_importance.methods.permutation import PermutationImportance
from keras_importance.methods.perturbation import PerturbationMethod
from keras_importance.results.scores import Scores

METHODS: dict[str, type[ImportanceMethod]] = {
    "gradient": GradientImportance,
    "integrated_gradients": IntegratedGradients,
    "permutation": PermutationImportance,
    "linearised_permutation": LinearisedPermutation,
    "conditional_permutation": ConditionalPermutation,
    "ablation": AblationImportance,
    "conditional_lofo": ConditionalLOFO,
    "lofo": LOFOImportance,
}

__all__ = [
    "METHODS",
    "AblationImportance",
    "ConditionalLOFO",
    "ConditionalPermutation",
    "Effort",
    "Evaluator",
    "FeatureScores",
    "GradientImportance",
    "ImportanceMethod",
    "IntegratedGradients",
    "Interrupted",
    "LOFOImportance",
    "LinearisedPermutation",
    "PermutationImportance",
    "PerturbationMethod",
    "Replacement",
    "Scores",
    "ValidationData",
    "methods_from_argument",
]


def methods_from_argument(argument: Any) -> tuple[ImportanceMethod, ...]:
    """The `ImportanceMethod` instances that the user's `methods` argument stands for, in its order.

    Args:
        argument: a name in `METHODS`, an instance, or several of both. A name stands for the method with
            its default settings.

    Raises:
        InvalidArgumentError: for unknown names, classes in place of instances, no method at all, or two
            methods of the same name.
    """
    if isinstance(argument, np.ndarray):
        argument = argument.tolist()
    if isinstance(argument, Mapping):
        raise InvalidArgumentError(
            f"got methods={argument!r}. Pass a list of names, or of instances with settings such as "
            "PermutationImportance(n_repeats=10)."
        )
    given = (
        [argument]
        if isinstance(argument, (str, ImportanceMethod)) or not isinstance(argument, Iterable)
        else list(argument)
    )
    methods = tuple(_method(entry) for entry in given)
    names = [method.name for method in methods]
    if not methods:
        raise InvalidArgumentError(f"got no methods. Pass some of {_known()}, or instances.")
    if len(set(names)) < len(names):
        raise InvalidArgumentError(
            f"got two methods of the same name in {names}. Give one of the instances another name=."
        )
    return methods


def _method(given: Any) -> ImportanceMethod:
    if isinstance(given, ImportanceMethod):
        return given
    if isinstance(given, str) and given in METHODS:
        return METHODS[given]()
    if isinstance(given, type) and issubclass(given, ImportanceMethod):
        raise InvalidArgumentError(
            f"got the class {given.__name__} in methods. Pass an instance: {given.__name__}()."
        )
    raise InvalidArgumentError(
        f"got the unknown method {given!r}.{did_you_mean(given, METHODS)} Pass some of {_known()}, or "
        "an instance of ImportanceMethod."
    )


def _known() -> str:
    return ", ".join(repr(name) for name in METHODS)
