"""Which of the last 48 hours of weather does a network use to predict Beijing's air pollution?

The published experiment on the hourly data of 2010-2014: trained on 2010-2012, validated on 2013.
PM2.5 is interpolated and standardised; seven weather columns, standardised, come in windows of 48 hours
that predict the next hour. The data are "Beijing PM2.5" by Song Xi Chen (CC BY 4.0), to be had from the
UCI Machine Learning Repository as data set 381, https://archive.ics.uci.edu/dataset/381. Without `--csv`
a generated series with the same columns stands in.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from keras_importance import FeatureImportance, PermutationImportance, plots

WINDOW = 48
WEATHER = ["DEWP", "TEMP", "PRES", "Iws", "Is", "Ir", "cbwd"]
Windows = tuple[NDArray[np.float32], NDArray[np.float32]]


def read_csv(path: Path) -> pd.DataFrame:
    """The published file."""
    return pd.read_csv(path)


def generated(n_hours: int = 9000, seed: int = 0) -> pd.DataFrame:
    """Weather that swings by day and season, and pollution that wind disperses and dew keeps."""
    rng = np.random.default_rng(seed)
    hour = np.arange(n_hours)

    def slow_noise(memory: float) -> NDArray[np.float64]:
        shocks = rng.standard_normal(n_hours) * np.sqrt(1 - memory**2)
        return pd.Series(shocks).ewm(alpha=1 - memory, adjust=False).mean().to_numpy() / (1 - memory)

    season = np.sin(2 * np.pi * hour / (24 * 365))
    wind = np.exp(slow_noise(0.9))
    dew = 5 + 12 * season + 6 * slow_noise(0.98)
    calm = pd.Series(1 / (0.3 + wind)).ewm(halflife=6).mean().to_numpy()
    pollution = 40 * calm + 2.0 * dew + 15 * slow_noise(0.95)
    return pd.DataFrame(
        {
            "year": np.select([hour < 0.6 * n_hours, hour < 0.8 * n_hours], [2012, 2013], 2014),
            "pm2.5": np.maximum(pollution, 1),
            "DEWP": dew,
            "TEMP": dew + 8 + 4 * np.sin(2 * np.pi * hour / 24),
            "PRES": 1016 - 8 * season + 5 * slow_noise(0.99),
            "cbwd": rng.choice(["NW", "SE", "cv", "NE"], n_hours),
            "Iws": wind,
            "Is": np.where(rng.random(n_hours) < 0.01, 1.0, 0.0),
            "Ir": np.where(rng.random(n_hours) < 0.03, 1.0, 0.0),
        }
    )


def windows(hours: pd.DataFrame) -> dict[str, Windows]:
    """Standardised windows of weather and the pollution of the next hour, for each set of years."""
    hours = hours.assign(
        **{"pm2.5": hours["pm2.5"].interpolate(limit_direction="both")},
        cbwd=pd.factorize(hours["cbwd"])[0],
    )
    sets = {"train": hours["year"] <= 2012, "validation": hours["year"] == 2013}
    columns = [*WEATHER, "pm2.5"]
    known = hours.loc[sets["train"], columns]
    scaled = (hours[columns] - known.mean()) / known.std()
    result = {}
    for name, rows in sets.items():
        weather = scaled.loc[rows, WEATHER].to_numpy(np.float32)
        pollution = scaled.loc[rows, "pm2.5"].to_numpy(np.float32)
        steps = np.lib.stride_tricks.sliding_window_view(weather, WINDOW, axis=0)[:-1]
        result[name] = np.ascontiguousarray(steps.transpose(0, 2, 1)), pollution[WINDOW:]
    return result


def network() -> keras.Model:
    """The published network."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((WINDOW, len(WEATHER))),
            layers.GRU(64, return_sequences=True),
            layers.AveragePooling1D(2),
            layers.Conv1D(32, 3, activation="relu", padding="same"),
            layers.Flatten(),
            layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    return model


def main() -> None:
    """Trains, prints the losses, the two rankings and where the logs lie."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--csv", type=Path, help="the published file; without it, generated data")
    parser.add_argument("--log-dir", default="logs/time_series", help="where TensorBoard's runs go")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--max-samples", type=int, default=2000, help="validation rows to score")
    parser.add_argument("--pictures", type=Path, help="a folder to save the pictures in, too")
    arguments = parser.parse_args()

    keras.utils.set_random_seed(0)
    if arguments.csv is None:
        print("No --csv given: a generated series stands in. The published data are data set 381 of the")
        print("UCI Machine Learning Repository, https://archive.ics.uci.edu/dataset/381.\n")
    sets = windows(generated() if arguments.csv is None else read_csv(arguments.csv))
    importance = FeatureImportance(
        methods=["gradient", PermutationImportance(n_repeats=5)],
        features=WEATHER,
        log_dir=arguments.log_dir,
        max_samples=arguments.max_samples,
        time_budget=None,
        verbose=1,
    )
    started = time.perf_counter()
    history = (
        network()
        .fit(
            *sets["train"],
            validation_data=sets["validation"],
            batch_size=512,
            epochs=arguments.epochs,
            verbose=2,
            callbacks=[importance],
        )
        .history
    )

    best = int(np.argmin(history["val_loss"]))
    print(f"\n{arguments.epochs} epochs in {time.perf_counter() - started:.0f} s, importance included.")
    print(
        f"Validation loss {history['val_loss'][-1]:.3f}; the best, {history['val_loss'][best]:.3f}, ",
        end="",
    )
    print(f"in epoch {best + 1}.\n")
    columns = ["epoch", "rank", "feature", "importance", "std_error", "ci_low", "ci_high"]
    for method, result in importance.results.items():
        print(f"{method} (in units of the {result.metric})")
        table = result.to_dataframe()[columns]
        print(table.to_string(index=False, float_format="{:.4f}".format), end="\n\n")
    print(f"The TensorBoard logs lie in {Path(arguments.log_dir).resolve()}.")

    if arguments.pictures:
        arguments.pictures.mkdir(parents=True, exist_ok=True)
        permutation, gradient = importance.results["permutation"], importance.results["gradient"]
        for name, figure in {
            "ranking": plots.ranking(permutation),
            "over_epochs": plots.over_epochs(importance.history, "permutation"),
            "over_steps": plots.over_steps(gradient),
        }.items():
            figure.savefig(arguments.pictures / f"{name}.png")


if __name__ == "__main__":
    main()
