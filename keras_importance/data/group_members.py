"""Which columns the members of a group of features mean: labels, names, positions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from keras_importance.data.columns import Column, InputColumns, full_names
from keras_importance.errors import InvalidArgumentError, did_you_mean

_MAX_LISTED = 12


class GroupMembers:
    """Understands the members of groups.

    Where the columns of an input have labels, a member is a label. Else it is a column's name or its
    position. A whole number is a position too if all labels are texts.

    Args:
        inputs: the inputs of the model.
    """

    def __init__(self, inputs: Sequence[InputColumns]) -> None:
        self._inputs = [_LabelledColumns(index, columns) for index, columns in enumerate(inputs)]
        self._input_names = [columns.name for columns in inputs]
        self.columns = [column for of_input in self._inputs for column in of_input.all]
        self.names = full_names(inputs)
        self.name_of = dict(zip(self.columns, self.names, strict=True))
        self._by_name = dict(zip(reversed(self.names), reversed(self.columns), strict=True))

    def columns_of(self, group: Any, members: Any) -> list[Column]:
        """The columns of all members of a group, each once.

        Args:
            group: the group, for errors.
            members: one member, or an iterable of them.

        Raises:
            InvalidArgumentError: for a member that means no column, or that can be read in two ways.
        """
        members = members.tolist() if isinstance(members, np.ndarray) else members
        several = isinstance(members, Iterable) and not isinstance(members, (str, bytes))
        if isinstance(members, tuple) and self._is_single(group, members):
            several = False
        found: dict[Column, None] = {}
        for member in members if several else [members]:
            columns = self._columns_of_member(group, member)
            if not columns:
                raise InvalidArgumentError(
                    f"got {member!r} in the group {group!r}, which is no column."
                    f"{did_you_mean(member, self._known_texts())} {self._known_columns()}"
                )
            found |= dict.fromkeys(columns)
        return list(found)

    # --- one member -----------------------------------------------------------------------------

    def _columns_of_member(self, group: Any, member: Any) -> list[Column]:
        """The columns that a member means; none for an unknown member."""
        if not _is_hashable(member):
            return []
        if len(self._inputs) == 1 and not isinstance(member, tuple):
            is_input = isinstance(member, str) and member == self._input_names[0]
            found = self._inputs[0].columns_of(group, member)
            return self._inputs[0].all if is_input and not found else found
        if isinstance(member, str):
            if member in self._by_name:
                return [self._by_name[member]]
            if member in self._input_names:
                return self._inputs[self._input_names.index(member)].all
        return self._labelled_anywhere(group, member) or self._pair(group, member)

    def _labelled_anywhere(self, group: Any, member: Any) -> list[Column]:
        """The columns with a label, in whichever input; none if no input has such a column."""
        of_inputs = [
            (of_input, columns)
            for of_input in self._inputs
            if of_input.has_labels and (columns := of_input.labelled(group, member))
        ]
        if len(of_inputs) > 1:
            pairs = " or ".join(f"({of_input.name!r}, {member!r})" for of_input, _ in of_inputs)
            raise InvalidArgumentError(
                f"got {member!r} in the group {group!r}, which is a label in several inputs. "
                f"Write {pairs}."
            )
        if not of_inputs:
            return []
        of_input, columns = of_inputs[0]
        as_pair = self._pair(group, member, or_position=True)
        if as_pair and as_pair != columns:
            other = self._inputs[as_pair[0][0]]
            raise InvalidArgumentError(
                f"got {member!r} in the group {group!r}, which can be read in two ways: as the label of "
                f"a column of input {of_input.name!r}, which is written {(of_input.name, member)!r}; or "
                f"as (input, column), the column {self.name_of[as_pair[0]]!r}, which is written "
                f"{(other.name, other.label(as_pair[0]))!r}."
            )
        return columns

    def _pair(self, group: Any, member: Any, *, or_position: bool = False) -> list[Column]:
        """The columns of a member `(input, column)`; none for a member that is no such pair.

        Args:
            group: the group, for errors.
            member: the member.
            or_position: whether a whole number counts as a position whatever the labels are.
        """
        of_input = self._input_of(member) if isinstance(member, tuple) and len(member) == 2 else None
        if of_input is None or not _is_hashable(member[1]):
            return []
        if or_position:
            return of_input.labelled(group, member[1], in_part=False) or of_input.at(member[1])
        return of_input.columns_of(group, member[1])

    def _input_of(self, pair: tuple[Any, Any]) -> _LabelledColumns | None:
        key = pair[0]
        if isinstance(key, str) and key in self._input_names:
            return self._inputs[self._input_names.index(key)]
        if _is_whole(key) and -len(self._inputs) <= key < len(self._inputs):
            return self._inputs[int(key)]
        return None

    def _is_single(self, group: Any, members: tuple[Any, ...]) -> bool:
        """Whether a tuple is one member: a label, or `(input, column)`; not several members.

        Raises:
            InvalidArgumentError: for a tuple that is a label, and whose elements are labels.
        """
        if not _is_hashable(members):
            return False
        if any(of_input.labelled(group, members) for of_input in self._inputs):
            if members and all(self._is_label(group, element) for element in members):
                raise InvalidArgumentError(
                    f"got the group {group!r} with {members!r}, which can be read in two ways. Write "
                    f"[{members!r}] for the column of this label, or {list(members)!r} for several."
                )
            return True
        if len(members) != 2 or len(self._inputs) == 1 or not isinstance(members[0], str):
            return False
        of_input = self._input_of(members)
        is_name = isinstance(members[1], str) and (
            members[1] in self._by_name or members[1] in self._input_names
        )
        return of_input is not None and not is_name and bool(self._pair(group, members))

    def _is_label(self, group: Any, member: Any) -> bool:
        return any(of_input.labelled(group, member, in_part=False) for of_input in self._inputs)

    # --- errors ---------------------------------------------------------------------------------

    def _known_texts(self) -> list[str]:
        labels = [label for of_input in self._inputs for label in of_input.labels]
        inputs = self._input_names if len(self._inputs) > 1 else []
        return [*self.names, *inputs, *(label for label in labels if isinstance(label, str))]

    def _known_columns(self) -> str:
        if len(self._inputs) > 1:
            return (
                "With several inputs, pass a column's name or (input, index). Columns: "
                f"{_listed(self.names)}."
            )
        of_input = self._inputs[0]
        if of_input.has_numbers:
            return f"Pass the label of a column. Labels: {_listed(of_input.labels)}."
        return (
            f"Pass a name or an index from 0 to {len(self.names) - 1}. Columns: {_listed(self.names)}."
        )


class _LabelledColumns:
    """The columns of one input, by their labels, names and positions.

    Attributes:
        name: name of the input.
        labels: the labels of the columns; their names where they have no labels.
        has_labels: whether the user's data label the columns.
        has_numbers: whether a label, or a level of one, is a number, so that no number is a position.
        all: all columns.
    """

    def __init__(self, index: int, columns: InputColumns) -> None:
        self.name = columns.name
        self.labels: Sequence[Any] = columns.columns if columns.labels is None else columns.labels
        self.has_labels = columns.labels is not None
        self.has_numbers = any(map(_has_number, self.labels))
        self.all: list[Column] = [(index, column) for column in range(len(columns.columns))]
        self._by_label = _positions((_key(label), at) for at, label in enumerate(self.labels))
        self._by_name = {name: at for at, name in reversed(list(enumerate(columns.columns)))}
        self._by_part = _positions(
            (_key(part), at)
            for at, label in enumerate(self.labels)
            if isinstance(label, tuple)
            for part in (label[0], *(label[:end] for end in range(1, len(label))))
        )

    def label(self, column: Column) -> Any:
        """The label of a column."""
        return self.labels[column[1]]

    def columns_of(self, group: Any, key: Any) -> list[Column]:
        """The columns that a label, a name or a position means; none for an unknown one.

        Raises:
            InvalidArgumentError: for a label of several columns; for a number that is no label, but
                would be a position among labels that are numbers.
        """
        found = self.labelled(group, key) or self.at(key)
        if found and self.has_numbers and not self.labelled(group, key):
            label = self.label(found[0])
            raise InvalidArgumentError(
                f"got {key!r} in the group {group!r}, which can be read in two ways: as a label, which "
                f"no column has; or as a position, that of the column labelled {label!r}. Where labels "
                f"are numbers, columns are called by their labels: write {label!r} for this column, or "
                f"the label of another. Labels: {_listed(self.labels)}."
            )
        return found

    def labelled(self, group: Any, key: Any, *, in_part: bool = True) -> list[Column]:
        """The columns with a label, or a name; none for another key.

        Args:
            group: the group, for errors.
            key: the label.
            in_part: whether the first levels of a MultiIndex stand for all of their columns.

        Raises:
            InvalidArgumentError: for a label of several columns.
        """
        if not _is_hashable(key):
            return []
        found = self._by_label.get(_key(key), [])
        if len(found) > 1:
            positions = " and ".join(map(str, found))
            raise InvalidArgumentError(
                f"got {key!r} in the group {group!r}, which is the label of {len(found)} columns, at "
                f"the positions {positions}. Give each column a label of its own."
            )
        if not found and isinstance(key, str) and key in self._by_name:
            found = [self._by_name[key]]
        if not found and in_part:
            found = self._by_part.get(_key(key), [])
        return [self.all[at] for at in found]

    def at(self, key: Any) -> list[Column]:
        """The column at a position, counted from the end if it is negative; none for another key."""
        if _is_whole(key) and -len(self.all) <= key < len(self.all):
            return [self.all[int(key)]]
        return []


def _positions(pairs: Iterable[tuple[Hashable, int]]) -> dict[Hashable, list[int]]:
    """For each key its positions, each once."""
    found: dict[Hashable, dict[int, None]] = defaultdict(dict)
    for key, position in pairs:
        found[key][position] = None
    return {key: list(positions) for key, positions in found.items()}


def _key(label: Any) -> Hashable:
    """A label as a key of a dict, in which True is not 1."""
    if isinstance(label, tuple):
        return tuple(map(_key, label))
    key: Hashable = ("bool", bool(label)) if isinstance(label, (bool, np.bool_)) else label
    return key


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _has_number(label: Any) -> bool:
    if isinstance(label, tuple):
        return any(map(_has_number, label))
    return isinstance(label, (int, float, np.number)) and not isinstance(label, bool)


def _listed(labels: Sequence[Any]) -> str:
    shown = ", ".join(repr(label) for label in labels[:_MAX_LISTED])
    return shown + (", ..." if len(labels) > _MAX_LISTED else "")
