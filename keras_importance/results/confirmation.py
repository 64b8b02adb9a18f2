"""How much the validation loss increases when models are retrained without some features."""

from __future__ import annotations

from dataclasses import dataclass

from keras_importance.statistics.arrays import Floats


@dataclass(frozen=True, eq=False)
class Confirmation:
    """How much the validation loss increases when models are retrained without some features.

    All losses, the increase, its bound and the threshold are in the unit of the loss.

    Attributes:
        features: names of the features that were left out together.
        losses: `(n_seeds, 2)` validation losses: with all features, and without the features left out.
        increase: mean over seeds and rows of the loss without the features minus the loss with all.
        std_error: standard error of the increase, from rows and seeds.
        bound: one-sided upper confidence bound of the increase, at level `1 - alpha`.
        threshold: `min_share` times the loss that the full models explain beyond the best constant
            prediction.
        n_trainings: how many models were trained.
        seconds: how many seconds all trainings took.
        procedure: how features were left out: `"lock step"`, or `"refit, columns masked"`.
    """

    features: tuple[str, ...]
    losses: Floats
    increase: float
    std_error: float
    bound: float
    threshold: float
    n_trainings: int
    seconds: float
    procedure: str = ""

    @property
    def holds(self) -> bool:
        """Whether the bound of the increase lies below the threshold: the features may be dropped."""
        return self.bound < self.threshold

    def __str__(self) -> str:
        verdict = "holds" if self.holds else "is not sure to hold"
        with_all, without = self.losses.mean(axis=0)
        return (
            f"The loss {verdict} without {', '.join(self.features)}: {with_all:.4g} with, {without:.4g} "
            f"without; increase {self.increase:.3g}, at most {self.bound:.3g} with a threshold of "
            f"{self.threshold:.3g} ({self.n_trainings} trainings, {self.seconds:.3g} s)."
        )
