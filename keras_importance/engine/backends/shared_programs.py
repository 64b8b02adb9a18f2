"""The compiled programs of a model, shared by all that evaluate it; they live as long as the model.

Backends never free what their optimising compilers made of a program: XLA on TensorFlow keeps it until
the process ends. Compiled anew for each training or call, programs would fill the memory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from keras_importance.engine.backends.backend import current
from keras_importance.engine.backends.program_keys import key_of, key_of_model
from keras_importance.engine.keras_internals import global_generator, kept_with

# Programs of arguments that never come again push out one another.
_MOST_PROGRAMS = 128
_NAME = "_keras_importance_programs"


@dataclass(eq=False)
class Program:
    """A compiled program, which may have been traced for arguments of several shapes.

    Attributes:
        run: calls it.
        n_traces: how often it was traced.
        replicas: the replicas that it was called on; it is compiled for each device.
        generator: Keras' global random generator when it was traced, whose state it may draw from; None
            where there was none. One that an evaluation makes doesn't outlive it.
    """

    run: Callable[..., Any] = lambda: None
    n_traces: int = 0
    replicas: set[int | None] = field(default_factory=set)
    generator: Any = None


@dataclass(eq=False)
class _Programs:
    """The programs of a model as it is now.

    Attributes:
        model: the key of the model.
        by_key: the programs, those used last at the end.
    """

    model: Hashable = None
    by_key: OrderedDict[Hashable, Program] = field(default_factory=OrderedDict)


def compiled_program(model: Any, program: Callable[..., Any], fuse: bool) -> Program:
    """The program compiled by `Backend.compiled`: an earlier one of the model, if it is the same.

    A model that was compiled anew, or whose layers have changed, gets new programs. They are kept with
    the model and hold nothing of the user's rows, as long as `program` closes over none.
    """
    kept: _Programs = kept_with(model, _NAME, _Programs)
    of_model = key_of_model(model)
    if kept.model != of_model:
        kept.model, kept.by_key = of_model, OrderedDict()
    key = key_of(program), fuse
    known = kept.by_key.pop(key, None)
    if known is None or known.generator is not global_generator():
        known = _new(model, program, fuse)
    kept.by_key[key] = known
    if len(kept.by_key) > _MOST_PROGRAMS:
        kept.by_key.popitem(last=False)
    return known


def _new(model: Any, program: Callable[..., Any], fuse: bool) -> Program:
    made = Program(generator=global_generator())

    def traced(*arguments: Any) -> Any:
        made.n_traces += 1
        result = program(*arguments)
        made.generator = global_generator()
        return result

    made.run = current().compiled(model, traced, fuse)
    return made
