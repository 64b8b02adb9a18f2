"""A copy of an optimizer that updates tensors instead of variables, for the training of twins."""

from __future__ import annotations

from typing import Any

import keras

from keras_importance.errors import NotEvaluableError

# With these options a branch with side effects depends on the step: it can't run for many twins at once.
_BRANCHES = ("gradient_accumulation_steps", "ema_overwrite_frequency")


def why_not_stateless(optimizer: Any) -> str | None:
    """Why an optimizer has no stateless copy; None where nothing is known against it."""
    config = optimizer.get_config()
    branch = next((name for name in _BRANCHES if config.get(name)), None)
    if branch is not None:
        return f"an optimizer with {branch}={config[branch]}, which twins can't be trained with"
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return "an optimizer with a scaled loss, which twins can't be trained with"
    return None


def stateless(optimizer: Any, variables: list[Any]) -> Any:
    """A copy of an optimizer, built for some variables, whose `stateless_apply` works on every backend.

    TensorFlow's optimizers refuse `stateless_apply`, for the sake of `tf.distribute`; torch's update
    tensors in place. Both do so in methods that the backend adds to the optimizer's class. The copy's
    class takes each of these methods from the class that knows no backend.

    Raises:
        InvalidArgumentError: if the update branches on the count of steps, or the loss is scaled.
    """
    reason = why_not_stateless(optimizer)
    if reason is not None:
        raise NotEvaluableError(f"got {reason}.")
    kind = type(optimizer)
    if keras.backend.backend() != "jax":
        kind = type(kind.__name__, (kind,), _without_backend(kind))
    copy = kind.from_config(optimizer.get_config())
    copy.build(variables)
    return copy


def _without_backend(kind: type[Any]) -> dict[str, Any]:
    """The methods that a backend overrides, as the classes without a backend have them."""
    methods: dict[str, Any] = {}
    of_backend = [base for base in kind.__mro__ if ".backend." in base.__module__]
    others = [base for base in kind.__mro__ if base not in of_backend and base is not object]
    for name in {name for base in of_backend for name in vars(base) if name != "__init__"}:
        owner = next((base for base in others if name in vars(base)), None)
        if owner is not None and callable(vars(owner)[name]):
            methods[name] = vars(owner)[name]
    return methods
