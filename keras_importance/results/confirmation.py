"""What retraining without some features did to the validation loss."""

from __future__ import annotations

from dataclasses import dataclass

from keras_importance.statistics.arrays import Floats


@dataclass(frozen=True, eq=False)
class Confirmation:
    """What retraining without some features did to the validation loss.

    Attributes:
        features: names of the features that were left out together.
        losses: `(n_seeds, 2)` validation losses with all features, and without these.
        increase: mean over seeds and rows of the loss without these features minus the loss with all.
        std_error: standard error of the increase, from rows and seeds.
        bound: one-sided upper bound of the increase, at `1 - alpha`.
        threshold: `min_share` times what the full models explain beyond the best constant prediction, in
            the unit of the loss.
        n_trainings: how many models were trained.
        seconds: how long their training took.
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
        """Whether the loss surely increases by less than the threshold without the features."""
        return self.bound < self.threshold

    def __str__(self) -> str:
        verdict = "holds" if self.holds else "is not sure to hold"
        with_all, without = self.losses.mean(axis=0)
        return (
            f"The loss {verdict} without {', '.join(self.features)}: {with_all:.4g} with, {without:.4g} "
            f"without; increase {self.increase:.3g}, at most {self.bound:.3g} with a threshold of "
            f"{self.threshold:.3g} ({self.n_trainings} trainings, {self.seconds:.3g} s)."
        )
