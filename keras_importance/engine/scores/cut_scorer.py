"""CutScorer: the compiled programs of one cut of the model, and the loop that feeds them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_importance.data.truth import Truth
from keras_importance.engine.backends.backend import Inference
from keras_importance.engine.backends.replicas import Owners
from keras_importance.engine.cut.block_sizes import block_shape, declared_batch
from keras_importance.engine.cut.cut import Cut
from keras_importance.engine.meter import SECONDS_A_PRODUCT, SECONDS_A_SCORE
from keras_importance.engine.scores.context import ScoringContext
from keras_importance.engine.scores.filled_blocks import FilledBlocks
from keras_importance.engine.scores.groups import by_width
from keras_importance.engine.scores.programs import Columns, Prepared, columns_of, outputs, row_scores
from keras_importance.engine.scores.sample import Block, FeatureScores, Sample, Slots, rows_of
from keras_importance.statistics.arrays import Array, Integers

# An evaluation can stop after each piece of the features; the scores of one piece are held in memory.
_BLOCKS_A_PIECE = 8
_MAX_SCORES_A_PIECE = 1 << 24
_MAX_KEPT_VALUES = 1 << 25


OfBlock = Callable[[Truth, Any, Any, int], Any]
"""What the second program makes of the outputs of a block, `(truth, outputs, row, n_slots) -> result`.

- `truth`: what the predictions for all rows are scored against.
- `outputs`: `(n_slots * n_rows, ...)` outputs of the model.
- `row`: `(n_rows,)` indices of the rows.
- `n_slots`: how many slots the block has.
"""


@dataclass(frozen=True, eq=False)
class Group:
    """Features with about as many elements at each linear entry, and the program that scores them.

    Attributes:
        features: indices of the features.
        score: the second program of `CutScorer`, compiled for these features.
    """

    features: Integers
    score: Callable[..., Any]


class CutScorer:
    """Scores the features of one cut, through two programs of static shapes.

    The first program runs the head of the cut, once for a block of rows and their donors. The second
    program runs the tail, for blocks of slots x rows; the last block is padded. A slot is a (feature,
    repeat) pair. Each group of features has its own second program. So no program is compiled anew for
    fewer rows, features or repeats.

    Args:
        context: the model, rows, features and metric.
        cut: where the model is cut.
        prepare: the first program, `(call, tensors of the sample, block) -> Prepared`.

    Attributes:
        features: indices of the features that the cut serves.
    """

    def __init__(
        self, context: ScoringContext, cut: Cut, prepare: Callable[[Inference, Any, Block], Prepared]
    ) -> None:
        self.features = cut.features
        self._compiler = context.compiler
        self._replicas = context.compiler.replicas
        self._data = context.data
        self._truth = context.device_data.truth
        self._metric = context.metric
        self._cut = cut
        self._no_feature = len(context.features)
        self._held = cut.held or sum(math.prod(leaf.shape[1:]) for leaf in context.data.inputs)
        self._prepare = context.compiler(prepare)
        of_block = self._of_block
        self._groups = [
            Group(features, self._compiler(partial(_scored, cut, self._columns(features), of_block)))
            for features in by_width(cut)
        ]
        self._is_stateless: bool | None = None
        self._values_a_score = 1 if context.metric.row_scores else values_in_outputs(context.outputs)
        self._most_repeats = 0
        self._n_rows = 0
        self._meter = context.meter

    def _columns(self, features: Integers) -> list[Columns | None]:
        return columns_of(self._cut, features, self._no_feature)

    def scored(self, sample: Sample, indices: Integers) -> Iterator[FeatureScores]:
        """Scores of the given features, a piece of them at a time; those of other cuts are skipped."""
        blocks: dict[int, tuple[Any, Prepared]] = {}
        pool = self._replicas.pool()
        try:
            for group in self._groups:
                asked = group.features[np.isin(group.features, indices)]
                baseline = None
                for piece in self._pieces(sample, asked, group):
                    scores = self._scores_of_piece(pool, sample, piece, group, blocks, baseline)
                    baseline = scores.baseline
                    yield scores
        finally:
            pool.shutdown(cancel_futures=True)  # at Ctrl-C don't wait for what is still queued

    @property
    def seconds_per_score(self) -> float:
        """Planned seconds for one row of one slot."""
        return SECONDS_A_SCORE + SECONDS_A_PRODUCT * self._cut.products

    # --- the loop -------------------------------------------------------------------------------

    def _pieces(self, sample: Sample, indices: Integers, group: Group) -> Iterator[Integers]:
        """The features in pieces that fill blocks and fit into memory."""
        if not len(indices):
            return
        n_repeats, n_rows = sample.donors.shape
        n_slots, _ = self._block_shape(sample, group)
        most = int(_MAX_SCORES_A_PIECE * self._compiler.fraction)
        fitting = max(1, most // (n_repeats * n_rows * self._values_a_score))
        size = max(1, (_BLOCKS_A_PIECE * n_slots - 1) // n_repeats)
        if not self._keeps_blocks(sample):
            size = fitting  # blocks of rows are prepared anew for each piece: few pieces are better
        size = min(size, fitting)
        for start in range(0, len(indices), size):
            yield indices[start : start + size]

    def _scores_of_piece(
        self,
        pool: Executor,
        sample: Sample,
        indices: Integers,
        group: Group,
        blocks: dict[int, tuple[Any, Prepared]],
        baseline: Array | None,
    ) -> FeatureScores:
        """Scores of a piece of the features.

        Args:
            pool: calls programs from several threads.
            sample: the rows, donors and tensors.
            indices: the features of the piece.
            group: the group they belong to.
            blocks: prepared blocks by their first row, kept from piece to piece where they fit.
            baseline: scores of the untouched rows; None to compute them with this piece.
        """
        n_repeats, n_rows = sample.donors.shape
        slots = np.stack(np.meshgrid(indices, np.arange(n_repeats), indexing="ij")).reshape(2, -1)
        if baseline is None:
            slots = np.concatenate([slots, [[self._no_feature], [0]]], axis=1)
        n_slots, size = self._block_shape(sample, group)
        starts = range(0, n_rows, size)
        chunks = range(0, slots.shape[1], n_slots)
        scores = self._scores_of_slots(pool, sample, group, blocks, slots)
        finished = self._finished(scores, sample)
        self._meter.count(len(chunks) * n_slots * len(starts) * size * self.seconds_per_score)
        if baseline is None:
            finished, baseline = finished[:-1], finished[-1]
        return FeatureScores(
            indices, finished.reshape(len(indices), n_repeats, *finished.shape[1:]), baseline
        )

    def _scores_of_slots(
        self,
        pool: Executor,
        sample: Sample,
        group: Group,
        blocks: dict[int, tuple[Any, Prepared]],
        slots: Integers,
    ) -> Any:
        """The results of the second program for all rows, block by block, as `(n_slots, n_rows, ...)`.

        Args:
            pool: calls programs from several threads.
            sample: the rows, donors and tensors.
            group: the features' group.
            blocks: prepared blocks by their first row; missing ones are added.
            slots: `(2, n_slots)` indices of the features, and of the repeats.
        """
        n_rows = len(sample.rows)
        n_slots, size = self._block_shape(sample, group)
        starts = range(0, n_rows, size)
        chunks = range(0, slots.shape[1], n_slots)
        scores = FilledBlocks(slots.shape[1], n_rows)

        def prepare(start: int) -> tuple[Any, Prepared]:
            block = self._block(sample, start, size)
            return block.row, self._prepare(sample.tensors, block)

        def score(pair: tuple[int, int]) -> Any:
            start, first = pair
            row, given = blocks[start]
            return self._run(group, given, row, _padded(slots[:, first : first + n_slots], n_slots))

        owners = dict(zip(starts, self._replicas.owners(len(starts)), strict=True))
        keeps = self._keeps_blocks(sample)
        n_at_once = len(starts) if keeps else self._replicas.n
        for at in range(0, len(starts), n_at_once):
            some = starts[at : at + n_at_once]
            if not keeps:
                blocks.clear()
            missing = [start for start in some if start not in blocks]
            of_missing = [owners[start] for start in missing]
            blocks |= zip(missing, self._at_once(pool, prepare, missing, of_missing), strict=True)
            pairs = [(start, first) for start in some for first in chunks]
            of_pairs = [owners[start] for start, _ in pairs]
            of_blocks = self._replicas.brought(self._each(pool, score, pairs, of_pairs), of_pairs)
            for (start, first), of_block in zip(pairs, of_blocks, strict=True):
                scores.fill(of_block, first, start)
        return scores.nest

    def _each(
        self,
        pool: Executor,
        run: Callable[[tuple[int, int]], Any],
        pairs: list[tuple[int, int]],
        owners: Owners,
    ) -> Iterator[Any]:
        """Results of `run` for all pairs of first row and first slot.

        At the very first call, one pair of each replica runs alone. It compiles the program, and shows
        whether running the model changes its state.
        """
        done: dict[tuple[int, int], Any] = {}
        if self._is_stateless is None:
            before = [ops.convert_to_numpy(value) for value in self._state()]
            first_of_owner = {
                owner: pair for pair, owner in reversed(list(zip(pairs, owners, strict=True)))
            }
            alone = [pair for owner, pair in first_of_owner.items() if owner is not None]
            of_alone = [owner for owner in first_of_owner if owner is not None]
            done = dict(zip(alone, self._replicas.map(run, alone, of_alone), strict=True))
            after = [ops.convert_to_numpy(value) for value in self._state()]
            self._is_stateless = all(map(np.array_equal, before, after))

        def result(pair: tuple[int, int]) -> Any:
            return done.pop(pair) if pair in done else run(pair)

        return self._at_once(pool, result, pairs, owners)

    def _at_once(
        self, pool: Executor, run: Callable[[Any], Any], blocks: Sequence[Any], owners: Owners
    ) -> Iterator[Any]:
        """Results of `run` for all blocks, from concurrent calls where the model is stateless.

        Two calls at once keep the cores busy between the large operations of each. For a stateful model
        the results of concurrent calls would depend on their order.
        """
        return self._replicas.map(run, blocks, owners, pool if self._is_stateless else None)

    def _state(self) -> list[Any]:
        return [variable.value for variable in self._compiler.model.non_trainable_variables]

    def _run(self, group: Group, given: Prepared, row: Any, slots: Array) -> Any:
        tensors = Slots(*(self._compiler.on_device(part.astype(np.int32)) for part in slots))
        scores = group.score(given, self._truth, tensors, row)
        return keras.tree.map_structure(ops.convert_to_numpy, scores)

    @property
    def _of_block(self) -> OfBlock:
        """The second program's result for a block: row scores `(n_slots, n_rows)`, or the outputs."""
        return partial(row_scores, self._metric.row_scores)

    def _finished(self, scores: Any, sample: Sample) -> Array:
        """`(n_slots, n_rows)` row scores as they are; or `(n_slots,)` metrics of outputs of all rows.

        A metric of outputs may also return `(n_slots, n_rows)` scores.
        """
        if self._metric.row_scores is not None:
            return np.asarray(scores)
        truth, weights = rows_of((self._data.truth, self._data.row_weights), sample.rows)
        n_slots = len(keras.tree.flatten(scores)[0])
        return np.stack(
            [self._metric.score(truth, rows_of(scores, rows=slot), weights) for slot in range(n_slots)]
        )

    # --- blocks ---------------------------------------------------------------------------------

    def _block_shape(self, sample: Sample, group: Group) -> tuple[int, int]:
        # Sized for the most repeats asked for so far: fewer are padded, and compile nothing anew.
        self._most_repeats = max(self._most_repeats, len(sample.donors))
        # A block of all rows would be mostly padding for less than half of them.
        if not self._n_rows / 2 <= len(sample.rows) <= self._n_rows:
            self._n_rows = len(sample.rows)
        n_slots = 1 + self._most_repeats * max(len(other.features) for other in self._groups)
        declared = declared_batch(self._compiler.model)
        shape = block_shape(
            self._n_rows,
            n_slots,
            widest=self._cut.widest,
            held=self._most_repeats * self._held,
            declared=declared,
            calls_at_once=self._compiler.calls_at_once,
            fraction=self._compiler.fraction,
        )
        n_own = 1 + self._most_repeats * len(group.features)
        n_rows = shape[1] if declared else self._replicas.block_of(self._n_rows, shape[1])
        return min(shape[0], n_own), n_rows

    def _block(self, sample: Sample, start: int, size: int) -> Block:
        """Rows and donors of a block, padded with the last row and repeat."""
        n_repeats, n_rows = sample.donors.shape
        position = np.minimum(np.arange(start, start + size), n_rows - 1)
        repeat = np.minimum(np.arange(self._most_repeats), n_repeats - 1)
        row, donor = sample.rows[position], sample.donors[np.ix_(repeat, position)]
        return Block(*(self._compiler.on_device(rows.astype(np.int32)) for rows in (row, donor)))

    def _keeps_blocks(self, sample: Sample) -> bool:
        """Whether the prepared blocks of all rows fit into memory."""
        most = _MAX_KEPT_VALUES * self._compiler.fraction
        return self._most_repeats * len(sample.rows) * self._held <= most


def _scored(
    cut: Cut,
    columns: Sequence[Columns | None],
    of_block: OfBlock,
    call: Inference,
    given: Prepared,
    truth: Truth,
    slots: Slots,
    row: Any,
) -> Any:
    """The second program; it closes over no rows, as it outlives them."""
    return of_block(truth, outputs(cut, columns, call, given, slots), row, slots.feature.shape[0])


def values_in_outputs(outputs: Any) -> int:
    """How many values the model's outputs have for a row."""
    return sum(math.prod(output.shape[1:]) for output in keras.tree.flatten(outputs))


def _padded(slots: Array, n_slots: int) -> Array:
    return slots[:, np.minimum(np.arange(n_slots), slots.shape[1] - 1)]
