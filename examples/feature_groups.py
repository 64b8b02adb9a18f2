"""Groups as features: a one-hot block, a pair of columns, and columns of two inputs at once.

A shop forecasts tomorrow's sales from the last 14 days (a sequence) and from what it knows of tomorrow
(a table). Weekday is one-hot, and the weather stands in both inputs: as a group it moves as one, so its
importance is that of the weather, not of seven columns that make up for one another.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from keras_importance import FeatureImportance

N_DAYS = 14
WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
GROUPS = {
    "weekday": [("tomorrow", number) for number in range(7)],
    "weather": [("days", 1), ("days", 2), ("tomorrow", 7)],
    "past sales": [("days", 0)],
    "price": [("tomorrow", 8)],
    "staff's lucky number": [("tomorrow", 9)],
}
Data = tuple[dict[str, NDArray[np.float32]], NDArray[np.float32]]


def shop(n_rows: int = 4000, seed: int = 0) -> Data:
    """The sales of tomorrow: a weekly pattern, good weather, the trend of the past, a low price."""
    rng = np.random.default_rng(seed)
    weekday = rng.integers(7, size=n_rows)
    days = rng.standard_normal((n_rows, N_DAYS, 3))  # sales, sunshine, temperature
    forecast = days[:, -1, 1] + 0.5 * rng.standard_normal(n_rows)
    price, lucky_number = rng.standard_normal((2, n_rows))
    tomorrow = np.column_stack([np.eye(7)[weekday], forecast, price, lucky_number])
    sales = (
        np.array([0.0, 0.0, 0.0, 0.2, 0.8, 1.5, 1.0])[weekday]
        + 0.8 * forecast
        + 0.3 * days[:, -3:, 2].mean(axis=1)
        + 0.7 * days[:, -7:, 0].mean(axis=1)
        - 0.6 * price
        + 0.3 * rng.standard_normal(n_rows)
    )
    x = {"days": days.astype(np.float32), "tomorrow": tomorrow.astype(np.float32)}
    return x, sales.astype(np.float32)


def network() -> keras.Model:
    """A recurrent branch for the days, joined with the table."""
    days = keras.Input((N_DAYS, 3), name="days")
    tomorrow = keras.Input((10,), name="tomorrow")
    joined = keras.layers.concatenate([keras.layers.GRU(16)(days), tomorrow])
    hidden = keras.layers.Dense(32, activation="relu")(joined)
    model = keras.Model({"days": days, "tomorrow": tomorrow}, keras.layers.Dense(1)(hidden))
    model.compile(keras.optimizers.Adam(3e-3), "mse")
    return model


def main() -> None:
    """Trains and prints the groups by importance."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--log-dir", default="logs/feature_groups", help="where TensorBoard's runs go")
    parser.add_argument("--epochs", type=int, default=8)
    arguments = parser.parse_args()

    keras.utils.set_random_seed(0)
    x, y = shop()
    importance = FeatureImportance(features=GROUPS, log_dir=arguments.log_dir, time_budget=None)
    network().fit(
        x, y, validation_split=0.25, epochs=arguments.epochs, verbose=0, callbacks=[importance]
    )

    columns = ["method", "rank", "feature", "importance", "ci_low", "ci_high"]
    for result in importance.results.values():
        table = result.to_dataframe()[columns]
        print(table.to_string(index=False, float_format="{:.3g}".format), end="\n\n")
    print(f"The TensorBoard logs lie in {Path(arguments.log_dir).resolve()}.")


if __name__ == "__main__":
    main()
