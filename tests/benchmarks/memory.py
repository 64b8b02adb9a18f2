"""Memory and compilation of many trainings and calls in one process, with importance and without it.

`make bench-memory` prints how many KB the process grows by, for each training or call of a loop. The first
tenth of each loop isn't counted: there a process still gets to its size.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_importance import FeatureImportance, compute_importance
from keras_importance.engine.backends import shared_programs

_STATM = Path("/proc/self/statm")
_PAGE = 4  # KB
N_ROWS, N_FEATURES = 400, 8
LOOPS = ("new callbacks", "one callback", "new models", "compute_importance")


def rows() -> tuple[Any, Any]:
    """Rows of which two features matter."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N_ROWS, N_FEATURES)).astype("float32")
    return x, (x[:, 0] - 2 * x[:, 1] ** 2).astype("float32")


def new_model(*, fuses: bool) -> Any:
    """A compiled model; `fuses` says whether Keras compiles its training by XLA."""
    layers = [keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((N_FEATURES,)), *layers])
    model.compile("adam", "mse", jit_compile=fuses)
    return model


def kilobytes() -> int:
    """Resident memory of this process, after all that can be freed is."""
    gc.collect()
    return int(_STATM.read_text().split()[1]) * _PAGE


def step_of(loop: str, *, with_us: bool, fuses: bool) -> Callable[[], Any]:
    """What is done again and again in a loop."""
    x, y = rows()
    shared, callback = new_model(fuses=fuses), FeatureImportance(verbose=0, time_budget=None)

    def fit(model: Any, callbacks: list[Any]) -> None:
        model.fit(x, y, validation_data=(x, y), verbose=0, callbacks=callbacks if with_us else [])

    def computed() -> None:
        if with_us:
            compute_importance(shared, (x, y))
        else:
            shared.evaluate(x, y, verbose=0)

    shared.fit(x, y, validation_data=(x, y), verbose=0)
    return {
        "new callbacks": lambda: fit(shared, [FeatureImportance(verbose=0, time_budget=None)]),
        "one callback": lambda: fit(shared, [callback]),
        "new models": lambda: fit(
            new_model(fuses=fuses), [FeatureImportance(verbose=0, time_budget=None)]
        ),
        "compute_importance": computed,
    }[loop]


def measured(loop: str, n: int, *, with_us: bool, fuses: bool) -> str:
    """One line of the table, of a loop in this process."""
    made = itertools.count()
    new, step = shared_programs._new, step_of(loop, with_us=with_us, fuses=fuses)

    def counted(*arguments: Any) -> Any:
        next(made)
        return new(*arguments)

    shared_programs._new = counted  # type: ignore[assignment]  # any arguments are handed on
    seconds, before = [], 0
    for index in range(n):
        if index == max(1, n // 10):
            before = kilobytes()
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    after, later = kilobytes(), float(np.median(seconds[1:]))
    growth = (after - before) / (n - max(1, n // 10))
    who, how = "with us" if with_us else "without", "jit_compile=True" if fuses else "auto"
    return (
        f"{loop:20s} {who:8s} {how:17s} {growth:10.1f} {after / 1024:9.0f} {next(made):9d} "
        f"{seconds[0]:9.2f} {later:9.3f}"
    )


def main() -> None:
    """Prints the table; each loop runs in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=100, help="how often a loop goes round")
    parser.add_argument("--loop", choices=LOOPS, help="run one loop in this process")
    parser.add_argument("--without", action="store_true", help="that loop without importance")
    parser.add_argument("--fuses", action="store_true", help="with models of jit_compile=True")
    given = parser.parse_args()
    if given.loop is not None:
        print(measured(given.loop, given.n, with_us=not given.without, fuses=given.fuses), flush=True)
        return
    titles = ("KB each", "MB at end", "programs", "first s", "later s")
    print(
        f"{given.n} times on {keras.backend.backend()}".ljust(47) + "".join(f"{t:>10s}" for t in titles)
    )
    for loop, without, fuses in itertools.product(LOOPS, (True, False), (False, True)):
        if fuses and loop != "new models":
            continue
        flags = [*(["--without"] if without else []), *(["--fuses"] if fuses else [])]
        command = [sys.executable, __file__, "--n", str(given.n), "--loop", loop, *flags]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
