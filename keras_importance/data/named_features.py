"""The one place that understands every spelling of the `features` argument."""

from __future__ import annotations

from typing import Any

from keras_importance.data.correlated_features import correlated_groups
from keras_importance.data.features import FeatureSet
from keras_importance.data.validation_data import ValidationData


def named_features(argument: Any, data: ValidationData) -> FeatureSet:
    """The features of the rows that the user's `features` argument means.

    Args:
        argument: `"correlated"`, or what `FeatureSet.from_argument` takes.
        data: the rows.

    Raises:
        InvalidArgumentError: for an argument that doesn't fit the columns of the rows.
    """
    if isinstance(argument, str) and argument == "correlated":
        argument = correlated_groups(data)
    return FeatureSet.from_argument(argument, data.columns, in_written_order=data.in_written_order)
