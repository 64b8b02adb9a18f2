"""Placement: where copies of a model's weights are, and how processes talk to one another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass

REPLICA: ContextVar[int | None] = ContextVar("replica", default=None)
"""The replica of this process whose weights programs use; None for the model as it is."""


def _alone(value: bytes) -> list[bytes]:
    return [value]


@dataclass(frozen=True)
class Placement:
    """Where copies of a model's weights are.

    Attributes:
        scopes: for each copy in this process a context in which programs use it; empty for a single one.
        n_processes: how many processes train the model together.
        process: the number of this one.
        exchanged: gives every process the bytes of all, in their order.
    """

    scopes: Sequence[Callable[[], AbstractContextManager[None]]] = ()
    n_processes: int = 1
    process: int = 0
    exchanged: Callable[[bytes], list[bytes]] = _alone
