"""An optimizer of its own for copies of a model, which can be run without variables."""

from __future__ import annotations

from typing import Any

import keras

from keras_importance.errors import InvalidArgumentError

# Updates that depend on the step by a branch with side effects, which no program of many copies takes.
_BRANCHES = ("gradient_accumulation_steps", "ema_overwrite_frequency")


def stateless(optimizer: Any, variables: list[Any]) -> Any:
    """A copy of an optimizer, built for some variables, whose `stateless_apply` works on every backend.

    TensorFlow's refuses it, for the sake of `tf.distribute`, and torch's update tensors in place. Both
    do so in methods that their backend adds to the optimizer's own. The copy's class takes each of these
    from the class that knows no backend.

    Raises:
        InvalidArgumentError: for one that updates by the number of the step, or scales its loss.
    """
    config = optimizer.get_config()
    given = [name for name in _BRANCHES if config.get(name)]
    if given or isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        what = f"{given[0]}={config[given[0]]}" if given else "a scaled loss"
        raise InvalidArgumentError(f"got an optimizer with {what}, which twins can't be trained with.")
    kind = type(optimizer)
    if keras.backend.backend() != "jax":
        kind = type(kind.__name__, (kind,), _without_backend(kind))
    copy = kind.from_config(config)
    copy.build(variables)
    return copy


def _without_backend(kind: type[Any]) -> dict[str, Any]:
    """The methods that a backend overrides, as the classes without a backend have them."""
    found: dict[str, Any] = {}
    of_backend = [one for one in kind.__mro__ if ".backend." in one.__module__]
    others = [one for one in kind.__mro__ if one not in of_backend and one is not object]
    for name in {name for one in of_backend for name in vars(one) if name != "__init__"}:
        owner = next((one for one in others if name in vars(one)), None)
        if owner is not None and callable(vars(owner)[name]):
            found[name] = vars(owner)[name]
    return found
