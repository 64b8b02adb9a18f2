"""Can a network do without one of two features that say nearly the same?

Petals of irises that are long are wide, too. A network that tells the three species apart uses both
measurements, so gradients and permutation call both important. Leaving one out and training anew shows
that the other one makes up for it. All levels of LOFO, leave one feature out, on the same flowers.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.datasets import load_iris
from sklearn.model_selection import StratifiedKFold

from keras_importance import FeatureImportance, ImportanceResult, LOFOImportance, lofo_importance

GROUPS = {
    "both sepals": ["sepal length", "sepal width"],
    "both petals": ["petal length", "petal width"],
}
ALONE = [name for members in GROUPS.values() for name in members]
ROWS = [0, 1, 2, 3, 4.5, 5.5]  # of the bars: groups below, a little apart
# What the table and the picture call each method, and what its numbers are.
TITLES = {
    "gradient": ("Gradient", "how the output reacts"),
    "permutation": ("Permutation", "rise of the loss"),
    "conditional_lofo": ("LOFO, estimated", "rise of the loss, nothing trained"),
    "lofo": ("LOFO, in lock step", "rise of the loss, 3 seeds"),
    "refit": ("LOFO, refitted", "rise of the loss, 3 folds"),
}
# The colours of keras_importance.plots.
BLUE, PALE, ORANGE, INK, FAINT, GRID = "#0072B2", "#9DB4C6", "#D55E00", "#22303C", "#5D6B78", "#E3E8EC"
Flowers = tuple[pd.DataFrame, NDArray[np.int64]]


def irises(seed: int = 0) -> Flowers:
    """The measurements, standardised, and the species, in an order drawn at random."""
    x, y = load_iris(return_X_y=True, as_frame=True)
    x = x.rename(columns=lambda name: name.removesuffix(" (cm)")).sample(frac=1, random_state=seed)
    return (x - x.mean()) / x.std(), y.loc[x.index].to_numpy()


def network() -> keras.Model:
    """A small classifier."""
    calm = keras.regularizers.L2(3e-3)  # so few flowers are learned by heart otherwise
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(16, activation="relu", kernel_regularizer=calm),
            keras.layers.Dense(3, activation="softmax", kernel_regularizer=calm),
        ]
    )
    model.compile(keras.optimizers.Adam(0.03), "sparse_categorical_crossentropy")
    return model


def while_training(flowers: Flowers, epochs: int) -> list[Mapping[str, ImportanceResult]]:
    """What the callback finds of the measurements and of the groups, a third of the flowers held out."""
    x, y = flowers
    keras.utils.set_random_seed(0)
    methods = ["gradient", "permutation", "conditional_lofo", LOFOImportance(n_seeds=3)]
    callbacks = [
        FeatureImportance(
            methods=methods, features=features, every=epochs, detectors=(), time_budget=None
        )
        for features in (None, GROUPS)
    ]
    network().fit(
        x, y, validation_split=1 / 3, epochs=epochs, batch_size=16, verbose=0, callbacks=callbacks
    )
    return [one.results for one in callbacks]


def refitted(flowers: Flowers, epochs: int) -> list[Mapping[str, ImportanceResult]]:
    """What `fit` finds without each measurement and each group, by a splitter of one's own choice."""
    x, y = flowers
    return [
        {
            "refit": lofo_importance(
                network,
                x,
                y,
                features=features,
                cv=StratifiedKFold(3, shuffle=True, random_state=0),
                fit_kwargs={"epochs": epochs, "batch_size": 16},
                lock_step=False,
            )
        }
        for features in (None, GROUPS)
    ]


def table(results: Mapping[str, Sequence[ImportanceResult]]) -> pd.DataFrame:
    """A row for each measurement and group, a column for each method: importance ± standard error."""
    return pd.DataFrame(
        {
            TITLES[method][0]: {
                name: f"{mean:.3f} ± {error:.3f}"
                for one in pair
                for name, mean, error in zip(
                    one.feature_names, one.importances_mean, one.std_error, strict=True
                )
            }
            for method, pair in results.items()
        }
    )


def explanation(results: Mapping[str, Sequence[ImportanceResult]], correlation: float) -> str:
    """Why the methods differ, in words."""

    def of_petals(method: str) -> tuple[float, float, float]:
        alone, groups = results[method]
        length, width = (
            alone.importances_mean[ALONE.index(f"petal {one}")] for one in ("length", "width")
        )
        return length, width, groups.importances_mean[list(GROUPS).index("both petals")]

    swapped, left_out = of_petals("permutation"), of_petals("lofo")
    return (
        f"Petal length and petal width nearly say the same: their correlation is {correlation:.2f}. The "
        "network uses both, so it reacts to either (gradient), and errs when either is swapped for that "
        f"of another flower: the loss rises by {swapped[0]:.2f} and {swapped[1]:.2f} (permutation). But "
        "petals both long and narrow don't grow, and nobody has asked yet whether a network could do "
        f"without. Trained without the length the loss is {left_out[0]:.2f} higher, without the width "
        f"{left_out[1]:.2f}, as the other measurement makes up for it; without both {left_out[2]:.2f} "
        "(LOFO, in lock step). So either may be dropped, but not both: ask for correlated features as a "
        "group, too."
    )


def picture(results: Mapping[str, Sequence[ImportanceResult]]) -> Figure:
    """A panel for each method, measurements above, groups below, with 95% intervals."""
    figure = Figure(figsize=(11.5, 3.9), dpi=110, facecolor="white")
    panels = figure.subplots(1, len(results), sharey=True)
    figure.subplots_adjust(left=0.105, right=0.985, top=0.70, bottom=0.075, wspace=0.16)
    for axes, (method, (alone, groups)) in zip(panels, results.items(), strict=True):
        _bars(axes, alone, groups)
        title, unit = TITLES[method]
        axes.set_title(title, loc="left", fontsize=10, color=INK, weight="bold", pad=22)
        axes.annotate(unit, (0, 1), (0, 8), "axes fraction", "offset points", fontsize=8.5, color=FAINT)
    _same_scale(panels[2:])
    panels[0].set_yticks(ROWS, [*ALONE, *GROUPS], fontsize=9.5, color=INK)
    title = "Without one petal measurement the other makes up for it; without both nothing does"
    figure.text(0.012, 0.935, title, fontsize=13, color=INK, weight="bold", va="center")
    key = "95% intervals · blue: above 0, pale: around 0, orange: below 0 · irises, 150 flowers"
    figure.text(0.012, 0.87, key, fontsize=9, color=FAINT, va="center")
    return figure


def _bars(axes: Axes, alone: ImportanceResult, groups: ImportanceResult) -> None:
    mean, low, high = (
        np.concatenate([getattr(one, name) for one in (alone, groups)])
        for name in ("importances_mean", "ci_low", "ci_high")
    )
    colours = [
        BLUE if lower > 0 else ORANGE if upper < 0 else PALE
        for lower, upper in zip(low, high, strict=True)
    ]
    axes.barh(ROWS, mean, height=0.7, color=colours, zorder=2)
    axes.hlines(ROWS, low, high, color=INK, linewidth=1.3, zorder=3)
    axes.axvline(0, color=FAINT, linewidth=0.8, zorder=1)
    axes.set_ylim(ROWS[-1] + 0.6, -0.6)
    axes.locator_params(axis="x", nbins=4)
    axes.grid(axis="x", color=GRID, zorder=0)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, colors=INK, labelsize=9)


def _same_scale(panels: Sequence[Axes]) -> None:
    """Numbers of one kind are to be compared by eye."""
    limits = [axes.get_xlim() for axes in panels]
    for axes in panels:
        axes.set_xlim(min(low for low, _ in limits), max(high for _, high in limits))


def main() -> None:
    """Asks all methods, prints their table and why it looks so, and draws it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--picture", type=Path, default=Path("docs/lofo.png"), help="where to save it")
    arguments = parser.parse_args()

    flowers = irises()
    parts = while_training(flowers, arguments.epochs), refitted(flowers, arguments.epochs)
    results = {method: (alone[method], groups[method]) for alone, groups in parts for method in alone}
    correlation = float(flowers[0]["petal length"].corr(flowers[0]["petal width"]))
    print(table(results).to_string(), end="\n\n")
    print(textwrap.fill(explanation(results, correlation), 100), end="\n\n")

    arguments.picture.parent.mkdir(parents=True, exist_ok=True)
    picture(results).savefig(arguments.picture)
    print(f"The picture lies in {arguments.picture.resolve()}.")


if __name__ == "__main__":
    main()
