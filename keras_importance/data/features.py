"""What counts as one feature: a column, or a group of columns, of one or several inputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_importance.errors import InvalidArgumentError

Column = tuple[int, int]
"""Index of the input, and index of the column along the input's last axis."""


@dataclass(frozen=True)
class InputColumns:
    """The name of one input of the model, and the names of its columns."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Feature:
    """One or more columns that are perturbed, left out and reported together."""

    name: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class FeatureSet:
    """The features; each column of the inputs belongs to exactly one of them."""

    features: tuple[Feature, ...]
    inputs: tuple[InputColumns, ...]

    @classmethod
    def from_argument(
        cls, argument: Any, inputs: Sequence[InputColumns], *, in_written_order: bool = True
    ) -> FeatureSet:
        """The features that the user's `features` argument means.

        Args:
            argument: None for one feature per column; a list of names, one for each column; or a dict
                `{group: members}`, a member being a column's name, an input's name (all its
                columns), an index, or `(input, index or name)`. Columns in no group stay features
                of their own.
            inputs: the inputs of the model.
            in_written_order: whether they stand in the order in which the user wrote them.

        Raises:
            InvalidArgumentError: for too few, too many or equal names, unknown members, and groups
                that are empty or overlap.
        """
        inputs = tuple(inputs)
        argument = _plain(argument)
        columns = [
            (input_index, column)
            for input_index, model_input in enumerate(inputs)
            for column in range(len(model_input.columns))
        ]
        names = _column_names(inputs)
        if isinstance(argument, Mapping):
            features = _groups(argument, dict(zip(columns, names, strict=True)), inputs)
        else:
            if argument is not None and not in_written_order:
                raise InvalidArgumentError(
                    "got a list of feature names and a dict of inputs, whose keys Keras sorts: "
                    f"{', '.join(_input_names(inputs))}. Pass features as a dict such as "
                    f"{{'my name': ({inputs[0].name!r}, 0)}}, or write the keys in this order."
                )
            if argument is not None:
                names = _names(argument, len(columns))
            features = [Feature(name, (column,)) for name, column in zip(names, columns, strict=True)]
        features = [Feature(_writable(feature.name), feature.columns) for feature in features]
        _check_unique([feature.name for feature in features])
        return cls(tuple(features), inputs)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in the order in which every result reports them."""
        return tuple(feature.name for feature in self.features)

    def memberships(self) -> list[NDArray[np.bool_]]:
        """For each input, `(n_features, n_columns)` whether the column belongs to the feature."""
        n_columns = [len(model_input.columns) for model_input in self.inputs]
        is_member = [np.zeros((len(self), n), bool) for n in n_columns]
        for index, feature in enumerate(self.features):
            for input_index, column in feature.columns:
                is_member[input_index][index, column] = True
        return is_member

    def __len__(self) -> int:
        return len(self.features)


def _plain(value: Any) -> Any:
    """An array as a list, an array of no axes as its value; all else as it is."""
    return value.tolist() if isinstance(value, np.ndarray) else value


def _writable(name: str) -> str:
    """The name with lone surrogates, which UTF-8 can't encode, replaced."""
    return name.encode("utf-8", "replace").decode()


def _input_names(inputs: Sequence[InputColumns]) -> list[str]:
    return [model_input.name for model_input in inputs]


def _column_names(inputs: Sequence[InputColumns]) -> list[str]:
    if len(inputs) == 1:
        return list(inputs[0].columns)
    return [
        model_input.name if len(model_input.columns) == 1 else f"{model_input.name}/{column}"
        for model_input in inputs
        for column in model_input.columns
    ]


def _names(argument: Any, n_columns: int) -> list[str]:
    if isinstance(argument, (str, Set)) or not isinstance(argument, Iterable):
        raise InvalidArgumentError(
            f"got features={argument!r}. Pass None, 'correlated', a list with one name per input "
            "column, or a dict of groups such as {'wind': [0, 1]}."
        )
    names = [str(name) for name in argument]
    if len(names) != n_columns:
        raise InvalidArgumentError(
            f"got {len(names)} feature names for {n_columns} input columns. Pass one name per "
            "column, or a dict of groups such as {'wind': [0, 1]}."
        )
    return names


def _groups(
    argument: Mapping[Any, Any], name_of: Mapping[Column, str], inputs: Sequence[InputColumns]
) -> list[Feature]:
    features = []
    owner: dict[Column, str] = {}
    for group, members in argument.items():
        columns = tuple(dict.fromkeys(_columns_of_members(group, members, name_of, inputs)))
        if not columns:
            raise InvalidArgumentError(
                f"got the empty group {group!r}. Give it at least one column, or leave it out."
            )
        for column in columns:
            if column in owner:
                raise InvalidArgumentError(
                    f"got column {name_of[column]!r} in two groups, {owner[column]!r} and "
                    f"{group!r}. Groups must not overlap: keep it in one of them."
                )
            owner[column] = str(group)
        features.append(Feature(str(group), columns))
    alone = [Feature(name, (column,)) for column, name in name_of.items() if column not in owner]
    return sorted(features + alone, key=lambda feature: min(feature.columns))


def _columns_of_members(
    group: Any, members: Any, name_of: Mapping[Column, str], inputs: Sequence[InputColumns]
) -> Iterable[Column]:
    members = _plain(members)
    if not isinstance(members, (str, int, np.integer, Iterable)):
        members = [members]
    is_single = isinstance(members, (str, int, np.integer)) or _is_input_and_column(members, inputs)
    for member in [members] if is_single else members:
        columns = _columns_of_member(member, name_of, inputs)
        if not columns:
            raise InvalidArgumentError(
                f"got {member!r} in the group {group!r}, which is no column. "
                f"{_known_columns(name_of, inputs)}"
            )
        yield from columns


def _columns_of_member(
    member: Any, name_of: Mapping[Column, str], inputs: Sequence[InputColumns]
) -> list[Column]:
    """The columns that a member of a group means; none for an unknown member."""
    if isinstance(member, (bool, np.bool_)):
        return []
    if isinstance(member, (int, np.integer)):
        if len(inputs) > 1:
            return []
        member = (0, member)
    if isinstance(member, str):
        by_name = [column for column, name in name_of.items() if name == member]
        of_input = [column for column in name_of if inputs[column[0]].name == member]
        return by_name or (of_input if len(inputs) > 1 else [])
    if not (isinstance(member, tuple) and len(member) == 2):
        return []
    input_index = _position(member[0], _input_names(inputs))
    if input_index is None:
        return []
    column = _position(member[1], inputs[input_index].columns)
    return [] if column is None else [(input_index, column)]


def _is_input_and_column(members: Any, inputs: Sequence[InputColumns]) -> bool:
    """Whether `members` is one pair such as `("weather", 0)`, not a tuple of two members."""
    return (
        isinstance(members, tuple)
        and len(members) == 2
        and len(inputs) > 1
        and members[0] in _input_names(inputs)
        and isinstance(members[1], (int, np.integer))
    )


def _position(key: Any, names: Sequence[str]) -> int | None:
    """The index of a name among `names`, or the index itself, counted from the end if negative.

    None for an unknown name or an index out of range.
    """
    if isinstance(key, str):
        return names.index(key) if key in names else None
    if isinstance(key, (int, np.integer)) and -len(names) <= key < len(names):
        return int(key) % len(names)
    return None


def _known_columns(name_of: Mapping[Column, str], inputs: Sequence[InputColumns]) -> str:
    names = list(name_of.values())
    shown = ", ".join(repr(name) for name in names[:12]) + (", ..." if len(names) > 12 else "")
    if len(inputs) > 1:
        return f"With several inputs, pass a column's name or (input, index). Columns: {shown}."
    return f"Pass a name or an index from 0 to {len(names) - 1}. Columns: {shown}."


def _check_unique(names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InvalidArgumentError(
            f"got the feature name {twice[0]!r} more than once. Give every feature a name of its own, "
            "as in features=[...]."
        )
