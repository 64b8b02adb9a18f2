"""Placement: where copies of a model's weights are, and how processes talk to one another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass

REPLICA: ContextVar[int | None] = ContextVar("replica", default=None)
"""Index of the replica of this process whose weights programs use; None for the model's own weights."""


def _alone(value: bytes) -> list[bytes]:
    return [value]


@dataclass(frozen=True)
class Placement:
    """The devices and processes that hold copies of a model's weights.

    Attributes:
        scopes: for each copy in this process a context in which programs use it; empty for a single
            copy.
        n_processes: how many processes train the model together.
        process: index of this process.
        exchanged: from the bytes of this process to the bytes of all processes, in their order.
    """

    scopes: Sequence[Callable[[], AbstractContextManager[None]]] = ()
    n_processes: int = 1
    process: int = 0
    exchanged: Callable[[bytes], list[bytes]] = _alone
