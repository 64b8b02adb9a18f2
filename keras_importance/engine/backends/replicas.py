"""Replicas: blocks of rows spread over the devices and processes that hold the model's weights."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, TypeVar, cast

from keras_importance.engine.backends.placement import Placement
from keras_importance.errors import reason_of

Value = TypeVar("Value")

Owners = Sequence[int | None]
"""For each block the index of this process's replica that computes it; None if another process does."""


class Replicas:
    """Computes blocks of rows on all copies of the model, and collects the results.

    A replica is a device that holds all weights. Blocks go to the replicas in turn, and each is computed
    with the replica's own copy. All processes get all results, so all of them must call the same methods
    in the same order. Where a decision depends on the clock, they follow the first process.

    Args:
        placement: the copies of the model's weights.
        calls_at_once: how many threads should call programs at once on one replica.
    """

    def __init__(self, placement: Placement, calls_at_once: int = 1) -> None:
        self._placement = placement
        self._calls_at_once = calls_at_once
        self._n_here = max(1, len(placement.scopes))
        self._n_exchanges = 0
        self._lost = ""

    @property
    def n(self) -> int:
        """How many replicas there are in all processes."""
        return self._n_here * self._placement.n_processes

    def block_of(self, n_rows: int, at_most: int) -> int:
        """How many rows a block has: at most `at_most`, and so few that every replica gets a block."""
        return max(1, min(at_most, math.ceil(n_rows / self.n)))

    def owners(self, n_blocks: int) -> list[int | None]:
        """The replicas that compute the blocks, in turn over all processes.

        If there are fewer blocks than processes, every process computes all blocks.
        """
        n_processes = self._placement.n_processes
        if n_blocks < n_processes:
            return [index % self._n_here for index in range(n_blocks)]
        return [
            index // n_processes % self._n_here
            if index % n_processes == self._placement.process
            else None
            for index in range(n_blocks)
        ]

    def map(
        self,
        run: Callable[[Any], Value],
        blocks: Sequence[Any],
        owners: Owners | None = None,
        pool: Executor | None = None,
        warm: set[int] | None = None,
    ) -> Iterator[Value | None]:
        """Results of the blocks of this process, in their order; None for a block of another process.

        Args:
            run: computes a block.
            blocks: the blocks.
            owners: the replica that computes each block; None for all replicas in turn.
            pool: calls `run` for several blocks at once; None to call it for one after the other.
            warm: replicas on which the programs are compiled already. On any other replica the first
                block runs alone, and the replica is added.
        """
        owners = self.owners(len(blocks)) if owners is None else owners
        done: dict[int, Value | None] = {}
        for index, owner in enumerate(owners if warm is not None else ()):
            if owner is not None and warm is not None and owner not in warm:
                done[index] = self._on(run, blocks[index], owner)
                warm.add(owner)

        def result(index: int) -> Value | None:
            return done[index] if index in done else self._on(run, blocks[index], owners[index])

        yield from (map if pool is None else pool.map)(result, range(len(blocks)))

    def brought(self, results: Iterable[Value | None], owners: Owners) -> Iterator[Value]:
        """The results of `map` of all processes, in the order of the blocks.

        Args:
            results: the results of this process; with several processes, arrays in host memory.
            owners: the owners of the blocks.

        Raises:
            RuntimeError: if another process has failed.
        """
        if None not in owners:
            yield from cast("Iterable[Value]", results)
            return
        own, failure = [], None
        try:
            own = list(results)
        except Exception as error:  # noqa: BLE001 (the others wait for this process: it tells them first)
            failure = error
        mine = [(index, value) for index, value in enumerate(own) if owners[index] is not None]
        parts = self._exchanged("scores", mine, failure)
        by_index = {index: value for part in parts for index, value in part}
        yield from (by_index[index] for index in range(len(owners)))

    def gathered(self, results: Sequence[Value | None]) -> list[Value]:
        """Results of all processes, in the order of the blocks, for blocks in turn; see `brought`."""
        return list(self.brought(results, self.owners(len(results))))

    def pool(self) -> ThreadPoolExecutor:
        """Threads that call programs: `calls_at_once` for each replica of this process."""
        return ThreadPoolExecutor(self._n_here * self._calls_at_once)

    def agreed(self, value: Value) -> Value:
        """The first process's value, which all processes use."""
        if self._placement.n_processes == 1:
            return value
        return cast(Value, self._exchanged("a decision", value)[0])

    def of_each_process(self, value: Value) -> list[Value]:
        """The values of all processes, in their order."""
        return [value] if self._placement.n_processes == 1 else self._exchanged("rows", value)

    def tell(self, failure: Exception) -> None:
        """Tells the processes that wait in `of_each_process` that this one has failed.

        Raises:
            Exception: the failure, if there are other processes.
        """
        if self._placement.n_processes > 1:
            self._exchanged("rows", None, failure)

    def _on(self, run: Callable[[Any], Value], block: Any, owner: int | None) -> Value | None:
        if owner is None:
            return None
        if not self._placement.scopes:
            return run(block)
        with self._placement.scopes[owner]():
            return run(block)

    def _exchanged(self, what: str, value: Any, failure: Exception | None = None) -> list[Any]:
        """The values of all processes, in their order.

        A process that has failed elsewhere exchanges something else than the others, told by `what`. All
        processes see this in the same exchange. From then on nothing is exchanged, so that no process
        waits for another that trains already.

        Raises:
            RuntimeError: if another process has failed, or exchanges something else.
        """
        if self._lost:
            raise RuntimeError(self._lost)
        self._n_exchanges += 1
        reason = None if failure is None else reason_of(failure)
        # Bytes of a process of the same training: nothing from outside is unpickled.
        told = pickle.dumps((what, self._n_exchanges, reason, value), protocol=pickle.HIGHEST_PROTOCOL)
        heard = [pickle.loads(message) for message in self._placement.exchanged(told)]  # noqa: S301
        if len({message[:2] for message in heard}) > 1:
            questions = ", ".join(
                f"process {process}: {message[0]}" for process, message in enumerate(heard)
            )
            self._lost = f"the processes no longer compute the same ({questions})"
            raise RuntimeError(self._lost)
        if failure is not None:
            raise failure
        failed = {process: message[2] for process, message in enumerate(heard) if message[2] is not None}
        if failed:
            process, reason = next(iter(failed.items()))
            raise RuntimeError(f"process {process} failed: {reason}")
        return [message[3] for message in heard]
