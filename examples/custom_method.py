"""A method of your own: one small class, logged and drawn like the built-in ones.

"How sensitive is the model to measurement error in a feature?" is a question of its own: a sensor that
drifts by a tenth is no shuffled column. The loop over features and repeats, the donors and the standard
errors are those of permutation importance; only what takes the feature's place differs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
import numpy as np

from keras_importance import FeatureImportance, PerturbationMethod
from keras_importance.methods import Replacement, ValidationData


class MeasurementError(PerturbationMethod):
    """How much the metric worsens when a feature moves by a share of the distance to another row.

        x_ij <- (1 - share) x_ij + share x_donor,j

    Args:
        share: how far towards the donor; 1 is permutation importance.
        n_repeats: donors per row.
    """

    name = "measurement_error"

    def __init__(self, share: float = 0.1, n_repeats: int = 5) -> None:
        super().__init__(n_repeats)
        if not 0 < share <= 1:
            raise ValueError(f"MeasurementError got share={share!r}. Pass a number above 0, up to 1.")
        self.share = share

    def replacement(self, data: ValidationData) -> Replacement:
        """What a row keeps of its own value, and what its donor adds."""
        share = np.float32(self.share)
        return Replacement(
            kept=tuple((1 - share) * values for values in data.inputs),
            donated=tuple(share * values for values in data.inputs),
        )


def main() -> None:
    """Trains a network with a smooth and a steep feature and compares the two questions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--log-dir", default="logs/custom_method", help="where TensorBoard's runs go")
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4000, 3)).astype(np.float32)
    y = x[:, 0] + np.sin(3 * x[:, 1]) + 0.1 * rng.standard_normal(4000)
    model = keras.Sequential(
        [
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(3e-3), "mse")
    importance = FeatureImportance(
        methods=["permutation", MeasurementError(share=0.1)],
        features=["smooth", "steep", "noise"],
        log_dir=arguments.log_dir,
        time_budget=None,
    )
    model.fit(x, y, validation_split=0.25, epochs=arguments.epochs, verbose=0, callbacks=[importance])

    columns = ["method", "rank", "feature", "importance", "ci_low", "ci_high"]
    for result in importance.results.values():
        table = result.to_dataframe()[columns]
        print(table.to_string(index=False, float_format="{:.3g}".format), end="\n\n")
    print(f"The TensorBoard logs lie in {Path(arguments.log_dir).resolve()}.")


if __name__ == "__main__":
    main()
