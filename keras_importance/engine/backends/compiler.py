"""Compiles programs that run a model, and counts the seconds of compilation."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

from keras_importance.engine.backends.backend import current
from keras_importance.engine.backends.placement import REPLICA
from keras_importance.engine.backends.replicas import Replicas
from keras_importance.engine.backends.shared_programs import compiled_program


def replicas_of(model: Any) -> Replicas:
    """The copies of the model that blocks of rows are spread over."""
    return Replicas(current().placement(model), current().CALLS_AT_ONCE)


class Compiler:
    """Compiles programs that run one model, and counts the seconds of compilation.

    Attributes:
        model: the Keras model.
        on_device: turns an array into a tensor on the device where the model computes.
        gradients: `Backend.gradients`.
        calls_at_once: how many threads should call programs at once.
        seconds_of: seconds of compilation so far, by the name of the program: the time of each call
            that compiles, less the time of the next call.
        fraction: fraction of the default block size in use; halved after each out-of-memory error.
    """

    def __init__(self, model: Any) -> None:
        self._backend = current()
        self.model = model
        self.seconds_of: defaultdict[str, float] = defaultdict(float)
        self.fraction = 1.0
        self.on_device = self._backend.on_device
        self.gradients = self._backend.gradients
        self.calls_at_once = self._backend.CALLS_AT_ONCE

    @property
    def seconds(self) -> float:
        """Seconds of compilation so far, of all programs."""
        return sum(self.seconds_of.values())

    @cached_property
    def replicas(self) -> Replicas:
        """The copies of the model that blocks of rows are spread over."""
        return replicas_of(self.model)

    def __call__(self, program: Callable[..., Any], *, fuse: bool = True) -> Callable[..., Any]:
        """The program compiled by `Backend.compiled`; its seconds of compilation are counted.

        What a program closes over lives as long as the model, so it must hold no rows.
        """
        if not self._backend.COMPILES:
            return self._backend.compiled(self.model, program, fuse)
        name, compiled = _name_of(program), compiled_program(self.model, program, fuse)
        corrected: list[float] = []

        def run(*arguments: Any) -> Any:
            n_traces, started = compiled.n_traces, time.perf_counter()
            result = compiled.run(*arguments)
            seconds = time.perf_counter() - started
            # A program is traced once, but compiled for each device.
            is_new = REPLICA.get() not in compiled.replicas
            compiled.replicas.add(REPLICA.get())
            if compiled.n_traces > n_traces or is_new:
                self.seconds_of[name] += seconds
                corrected.append(seconds)
            elif corrected:
                # The call that compiled also ran the program: the next call tells how long that takes.
                self.seconds_of[name] -= min(seconds, corrected.pop())
            return result

        return run


def _name_of(program: Callable[..., Any]) -> str:
    while isinstance(program, partial):
        program = program.func
    return program.__qualname__.replace(".<locals>", "")
