"""Access to private names of Keras: the one module that a new release of Keras can break.

Each function says what it returns if Keras no longer has the name: the engine then works without it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import keras

try:  # An attribute on most backends, a table beside the tensors on JAX; no public name knows both.
    from keras.src.backend.common.masking import get_keras_mask, set_keras_mask
except ImportError:

    def get_keras_mask(x: Any) -> Any:
        """Which steps of a padded sequence count, or None."""
        return getattr(x, "_keras_mask", None)

    def set_keras_mask(x: Any, mask: Any) -> None:
        """Gives a tensor a mask."""
        x._keras_mask = mask


try:
    from keras.src.backend.common import global_state
except ImportError:
    global_state = None

try:  # A loss under `tf.distribute` divides itself by the number of replicas.
    from keras.src.losses.loss import unscale_loss_for_distribution as unscaled_for_distribution
except ImportError:

    def unscaled_for_distribution(value: Any) -> Any:
        """The loss as if there were a single replica."""
        return value


try:
    from keras.src.backend.common.stateless_scope import get_stateless_scope, in_stateless_scope
except ImportError:

    def in_stateless_scope() -> bool:
        """Whether variables are read and written through a `StatelessScope`."""
        return False


_GLOBAL_GENERATOR = "global_seed_generator"

__all__ = [
    "InboundCall",
    "collected_losses",
    "compiled_loss_object",
    "compiled_loss_weights",
    "compiled_metrics",
    "forget_global_generator",
    "function_arguments",
    "get_keras_mask",
    "global_generator",
    "has_own_step",
    "has_sublayers",
    "inbound_call",
    "is_of_keras",
    "is_overridden",
    "kept_with",
    "layers_of",
    "makes_variables_later",
    "metric_direction",
    "metric_function",
    "set_keras_mask",
    "unscaled_for_distribution",
]


# --- whose code it is ---------------------------------------------------------------------------


def is_of_keras(thing: Any) -> bool:
    """Whether a class or function was written by Keras, and not by the user."""
    return str(inspect.unwrap(thing).__module__).startswith("keras.")


def is_overridden(model: Any, method: str) -> bool:
    """Whether the user's class of the model replaces a method of Keras."""
    return not is_of_keras(getattr(type(model), method))


def has_own_step(model: Any) -> bool:
    """Whether the user's class of the model trains or validates it in a way of its own."""
    return any(is_overridden(model, name) for name in ("train_step", "test_step"))


# --- layers -------------------------------------------------------------------------------------


def layers_of(model: Any) -> list[Any]:
    """All layers of a model, nested layers included; an empty list if it isn't a Keras model."""
    return list(getattr(model, "_flatten_layers", list)())


def has_sublayers(layer: Any) -> bool:
    """Whether a layer holds other layers; False where Keras doesn't tell."""
    return bool(getattr(layer, "_layers", ()))


class InboundCall(NamedTuple):
    """The call of an operation that made a symbolic tensor.

    Attributes:
        operation: what was called.
        arguments: Keras' record of how: `arguments.keras_tensors`, `arguments.fill_in(values)`.
        outputs: the symbolic tensors that it returned.
    """

    operation: Any
    arguments: Any
    outputs: tuple[Any, ...]


def inbound_call(tensor: Any) -> InboundCall:
    """The call that made a symbolic tensor of a Functional model.

    Raises:
        AttributeError, IndexError: where Keras no longer records calls in this way.
    """
    history = tensor._keras_history
    node = history.operation._inbound_nodes[history.node_index]
    return InboundCall(node.operation, node.arguments, tuple(node.outputs))


def kept_with(model: Any, name: str, make: Callable[[], Any]) -> Any:
    """What is kept under a name for as long as the model lives; made by `make` when it is missing.

    It lies beside the model's record of its variables and layers. There saving, copying and comparing
    models don't see it, and it may refer to the model: both are freed together, which a table with weak
    keys couldn't do. Where Keras has no such record, it is made anew in each call.
    """
    record = getattr(model, "_tracker", None)
    return make() if record is None else vars(record).setdefault(name, make())


# --- losses and metrics -------------------------------------------------------------------------


def compiled_loss_object(model: Any) -> Any:
    """The object that `compile` makes of the loss, a new one in each call; None where there is none."""
    return getattr(model, "_compile_loss", None)


def compiled_loss_weights(model: Any) -> Any:
    """The `loss_weights` that `compile` was given, or None. The loss itself has a public name."""
    return getattr(getattr(model, "_compile_loss", None), "_user_loss_weights", None)


def compiled_metrics(model: Any) -> list[Any]:
    """The `metrics` and the `weighted_metrics` that `compile` was given; an empty list for either.

    Keras makes its metrics in the first training step. Before that, only these attributes hold them.
    """
    compiled = getattr(model, "_compile_metrics", None)
    names = ("_user_metrics", "_user_weighted_metrics")
    return [getattr(compiled, name, None) or [] for name in names]


def metric_direction(metric: Any) -> str | None:
    """`"up"` where a larger value of a metric is better, `"down"` where a smaller is; else None."""
    return getattr(metric, "_direction", None)


def metric_function(metric: Any) -> Callable[..., Any] | None:
    """The function whose mean over rows is the metric; None if there is none, or Keras hides it."""
    is_mean = isinstance(metric, keras.metrics.MeanMetricWrapper)
    return getattr(metric, "_fn", None) if is_mean else None


def function_arguments(loss_or_metric: Any) -> Mapping[str, Any]:
    """The arguments that a loss or a metric hands to its function, such as `from_logits`."""
    arguments: Mapping[str, Any] = getattr(loss_or_metric, "_fn_kwargs", {})
    return arguments


@contextmanager
def collected_losses() -> Iterator[list[Any]]:
    """A context that collects what layers pass to `add_loss`; `model.losses` is then that of the call.

    Without it the losses of a traced call would stay with the layers, as tensors of a program that is
    over.
    """
    if in_stateless_scope():
        scope = get_stateless_scope()
        before, scope.collect_losses = scope.collect_losses, True
        try:
            yield scope.losses
        finally:
            scope.collect_losses = before
        return
    with keras.StatelessScope(collect_losses=True) as scope:
        yield scope.losses


def makes_variables_later(metric: Any) -> bool:
    """Whether a metric makes its variables at its first update, as R2Score does, which lies ahead."""
    return getattr(metric, "_built", True) is False or not metric.variables


# --- random state -------------------------------------------------------------------------------


def global_generator() -> Any:
    """The generator behind `keras.random` functions without a seed; None before its first use."""
    return None if global_state is None else global_state.get_global_attribute(_GLOBAL_GENERATOR)


def forget_global_generator() -> None:
    """Drops Keras' global generator; Keras makes a new one at the next use."""
    if global_state is not None:
        global_state.set_global_attribute(_GLOBAL_GENERATOR, None)
