"""Which measurements of the diabetes study does a network use, and are noise columns told apart?

Trains a small network on scikit-learn's diabetes data (442 patients) with five columns of pure noise
added, prints the table of features and leaves the drift of every epoch in TensorBoard.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes

from keras_importance import FeatureImportance, plots

N_NOISE = 5


def diabetes_with_noise(seed: int = 1) -> tuple[pd.DataFrame, pd.Series]:
    """The measurements with noise columns, and the progression of the disease, all standardised."""
    x, y = load_diabetes(return_X_y=True, as_frame=True)
    rng = np.random.default_rng(seed)
    noise = {f"noise_{number}": rng.standard_normal(len(x)) for number in range(1, N_NOISE + 1)}
    x = x.assign(**noise).sample(frac=1, random_state=seed)
    y = y.loc[x.index]
    return (x - x.mean()) / x.std(), (y - y.mean()) / y.std()


def network() -> keras.Model:
    """A small regression network."""
    model = keras.Sequential(
        [
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.AdamW(3e-3, weight_decay=0.01), "mse")
    return model


def main() -> None:
    """Trains, prints the table, says where the logs lie."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--log-dir", default="logs/quickstart", help="where TensorBoard's runs go")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--pictures", type=Path, help="a folder to save the pictures in, too")
    arguments = parser.parse_args()

    keras.utils.set_random_seed(0)
    x, y = diabetes_with_noise()
    importance = FeatureImportance(log_dir=arguments.log_dir)
    history = network().fit(
        x, y.to_numpy(), validation_split=0.3, epochs=arguments.epochs, verbose=0, callbacks=[importance]
    )

    print(f"Validation loss after {arguments.epochs} epochs: {history.history['val_loss'][-1]:.3f}\n")
    for method, result in importance.results.items():
        table = result.to_dataframe()[["rank", "feature", "importance", "ci_low", "ci_high"]]
        print(f"{method} (in units of the {result.metric})")
        print(table.to_string(index=False, float_format="{:.3g}".format), end="\n\n")
    print(f"The TensorBoard logs lie in {Path(arguments.log_dir).resolve()}: open them with")
    print("  make tensorboard")

    if arguments.pictures:
        arguments.pictures.mkdir(parents=True, exist_ok=True)
        plots.ranking(importance.results["permutation"]).savefig(arguments.pictures / "ranking.png")
        for draw in (plots.over_epochs, plots.ranks):
            figure = draw(importance.history, "permutation")
            figure.savefig(arguments.pictures / f"{draw.__name__}.png")


if __name__ == "__main__":
    main()
