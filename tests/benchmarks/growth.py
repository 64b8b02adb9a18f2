"""What one more evaluation costs after 100, 1,000 and 3,000 others: processor time and bytes.

`make bench-growth` prints the table. Results and verdicts are synthetic: no model is trained.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from keras_importance.reporting.summary import TrainingCost
from keras_importance.reporting.writers.base import EpochReport
from keras_importance.reporting.writers.history import HistoryWriter
from keras_importance.reporting.writers.tensorboard import TensorBoardWriter
from keras_importance.results.history import ImportanceHistory
from keras_importance.results.result import ImportanceResult
from keras_importance.results.verdict import Verdicts
from keras_importance.verdicts.useless_set import in_order

METHODS = ("gradient", "permutation")
N_DRAWS = 200
N_TIMES = 5


def result(
    method: str, epoch: int, names: tuple[str, ...], draws: Any, rng: np.random.Generator
) -> ImportanceResult:
    """A result of noise around importances that differ between features."""
    n = len(names)
    values = np.linspace(0, 1, n)[:, None] + 0.05 * rng.normal(size=(n, 5))
    return ImportanceResult(
        method=method,
        epoch=epoch,
        feature_names=names,
        importances=values,
        std_error=np.full(n, 0.05),
        metric="loss",
        baseline_score=1.0,
        n_samples=1000,
        draws=draws if method == "permutation" else None,
    )


def size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def row(n_features: int, n_epochs: int) -> str:
    """One line of the table."""
    rng = np.random.default_rng(0)
    names = tuple(f"feature_{index}" for index in range(n_features))
    # Earlier results share their draws, or 3,000 of them would not fit into memory.
    shared = (0.05 * rng.normal(size=(n_features, N_DRAWS))).astype(np.float32)
    history = ImportanceHistory()

    def evaluation(epoch: int, history: ImportanceHistory, draws: Any) -> ImportanceHistory:
        history += [result(method, epoch, names, draws, rng) for method in METHODS]
        verdicts = Verdicts.undecided(epoch, "permutation", names, "too early")
        verdicts.changes(history.verdicts_before(verdicts))
        in_order(np.arange(n_features), history.of("permutation"))
        return history + verdicts

    for epoch in range(n_epochs):
        history = evaluation(epoch, history, shared)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        files, events = HistoryWriter(place / "files"), TensorBoardWriter(place / "events")
        files._unwritten = set()
        spent = np.zeros((N_TIMES, 3))
        for index in range(-1, N_TIMES):
            epoch = n_epochs + 1 + index
            fresh = [result(method, epoch, names, shared + 0, rng) for method in METHODS]
            marks = [time.process_time()]
            history += fresh
            verdicts = Verdicts.undecided(epoch, "permutation", names, "too early")
            verdicts.changes(history.verdicts_before(verdicts))
            in_order(np.arange(n_features), history.of("permutation"))
            history += verdicts
            report = EpochReport(epoch, history, 1.0, with_pictures=False, cost=TrainingCost(1000, None))
            marks.append(time.process_time())
            before = size(place / "files")
            (place / "files" / "importance" / "history").mkdir(parents=True, exist_ok=True)
            files.write(report)
            marks.append(time.process_time())
            of_files, before = size(place / "files") - before, size(place / "events")
            events.write(report)
            marks.append(time.process_time())
            of_events = size(place / "events") - before
            if index >= 0:  # the first write compares the whole history, once
                spent[index] = np.diff(marks)
        events.close()
    added, written, told = 1000 * np.median(spent, axis=0)
    return (
        f"{n_features:8d} {n_epochs:8d} {added:12.2f} {written:12.2f} {told:12.2f} "
        f"{of_files / 1024:12.1f} {of_events / 1024:12.1f}"
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=int, nargs="*", default=[10, 200, 2000])
    parser.add_argument("--epochs", type=int, nargs="*", default=[100, 1000, 3000])
    given = parser.parse_args()
    titles = ("history ms", "file ms", "events ms", "file KB", "events KB")
    print(f"{'features':>8s} {'epochs':>8s} " + " ".join(f"{title:>12s}" for title in titles))
    for n_features in given.features:
        for n_epochs in given.epochs:
            print(row(n_features, n_epochs), flush=True)


if __name__ == "__main__":
    main()
