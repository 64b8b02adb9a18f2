"""Every loss, metric and form of targets, weights and masks beside a loop round `model.evaluate`.

A cell is right where permutation importance in a `fit` is what `model.evaluate` says of the rows with
replaced values, to 1e-4 of the largest, and where the training ends as without the callback; or where a
reason is given for the lack of a number. Run by `make loss-table`; `--only TEXT` for some rows.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from models import fit_forms, keras_scores, own_scores
from models.beside_evaluate import Cell, in_training, loop, of_model
from models.situations import Situation

Row = tuple[str, dict[str, Cell]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="rows whose name holds this text")
    parser.add_argument("--table", choices=TABLES, help="one table alone")
    given = parser.parse_args()
    failed = []
    for title, rows in TABLES.items():
        if given.table in (None, title):
            failed += print_table(title, rows(given.only.lower()))
    print("\n".join(failed))
    sys.exit(f"{len(failed)} cells are wrong" if failed else 0)


def print_table(title: str, rows: Iterable[Row]) -> list[str]:
    """Prints the table in Markdown, row by row, and its reasons below; what is wrong comes back."""
    reasons: dict[str, int] = {}
    failed = []
    for index, (name, cells) in enumerate(rows):
        if index == 0:
            print(f"| {title} | {' | '.join(cells)} |\n|---{'|---' * len(cells)}|")
        shown = []
        for column, cell in cells.items():
            if not cell.is_fine:
                failed.append(f"{name}, {column}: {cell}")
            mark = f" [{reasons.setdefault(cell.text, len(reasons) + 1)}]" if cell.text else ""
            shown.append(cell.says + mark)
        print(f"| {name} | {' | '.join(shown)} |", flush=True)
    print("", *(f"{number}. {why}" for why, number in reasons.items()), "", sep="\n")
    return failed


def trainings(situations: Iterable[tuple[str, Situation]], only: str) -> Iterator[Row]:
    """Each situation in a `fit`."""
    for name, situation in situations:
        if only in name.lower():
            start = time.perf_counter()
            yield name, {"in fit": in_training(situation)}
            print(f"{name}: {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)


def keras_metrics(only: str) -> Iterator[Row]:
    """Each metric of Keras by its name in the logs, and as the object itself."""
    for problem, every_name in keras_scores.metrics_of_problems().items():
        names = [name for name in every_name if only in name.lower()]
        taken = [name for name in names if name not in keras_scores.NOT_IN_COMPILE]
        if taken:
            yield from _metrics_of(problem, taken)
        for name in sorted(set(names) - set(taken)):
            yield (
                name,
                {"by name": Cell("Keras refuses", keras_scores.NOT_IN_COMPILE[name], "Keras refuses")},
            )


def _metrics_of(problem: str, names: list[str]) -> Iterator[Row]:
    model, rows = keras_scores.with_metrics(problem, names)
    by_hand: Any = None
    for name in names:
        cells = {}
        for column in ("by name", "the object"):
            logged = keras_scores.logged_name(name)
            metric = logged if column == "by name" else keras_scores.make_metric(name)
            situation = Situation(
                lambda: (model, rows),
                metric=metric,
                logged=logged,
                worse_is=keras_scores.worse_is(name),
            )
            by_hand = by_hand or loop_of(model, rows)
            cells[column] = of_model(model, rows, situation, by_hand)
        yield name, cells


def loop_of(model: Any, rows: Any) -> dict[str, list[float]]:
    """The loop round `model.evaluate` for all metrics of a model at once."""
    from models.beside_evaluate import N_REPEATS, Recording

    from keras_importance import compute_importance

    method = Recording(N_REPEATS)
    compute_importance(model, rows.as_tuple(), methods=[method])
    return loop(model, rows, method.evaluator)


TABLES: dict[str, Any] = {
    "loss of Keras": lambda only: trainings(keras_scores.losses(), only),
    "metric of Keras": keras_metrics,
    "written by hand": lambda only: trainings(own_scores.SITUATIONS.items(), only),
    "targets, weights and masks": lambda only: trainings(fit_forms.SITUATIONS.items(), only),
}


if __name__ == "__main__":
    main()
