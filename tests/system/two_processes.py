"""Trains in one of two processes on JAX and writes what importance found there: a script.

Usage: python two_processes.py PROCESS HOST:PORT,HOST:PORT METHODS ROWS DIRECTORY

ROWS says which validation rows a process passes: all of them ("same"), its own ("shards"), or its own
where the second process, if it decided, would have next to no time ("hurried").
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"

import jax
import keras
import numpy as np
from distributed_models import METHODS_OF_A_WORD, found, network, rows

from keras_importance import FeatureImportance, compute_importance
from keras_importance.engine.backends.compiler import replicas_of

# Keras wants batches of one size from all processes.
N_VALIDATED = 288


def main(process: int, addresses: str, names: str, which: str, directory: Path) -> None:
    """Trains with and without the callback."""
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    keras.distribution.initialize(addresses, 2, process)
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    x, y, x_val, y_val = rows()
    x_val, y_val = x_val[:N_VALIDATED], y_val[:N_VALIDATED]
    mine = slice(process, None, 2)
    own = (x_val, y_val) if which == "same" else (x_val[mine], y_val[mine])
    methods = METHODS_OF_A_WORD.get(names, names.split(","))
    budget = 1e-4 if which == "hurried" and process else None

    def trained(callbacks: list[keras.callbacks.Callback]) -> keras.Model:
        model = network()
        model.fit(
            x[mine],
            y[mine],
            epochs=2,
            batch_size=16,
            verbose=0,
            validation_data=own,
            callbacks=callbacks,
        )
        return model

    importance = FeatureImportance(
        methods=methods, detectors=(), time_budget=budget, log_dir=directory / f"logs_{process}"
    )
    model, without = trained([importance]), trained([])
    arrays = {f"weight_{n}": np.asarray(one.value) for n, one in enumerate(model.weights)}
    arrays |= {f"weight_without_{n}": np.asarray(one.value) for n, one in enumerate(without.weights)}
    arrays |= found("replicas", importance.results)
    arrays["n_replicas"] = np.array(replicas_of(model).n)
    arrays["n_rows"] = np.array([one.n_samples for one in importance.results.values()])
    keras.distribution.set_distribution(None)
    single = network()
    single.set_weights([np.asarray(one.value) for one in model.weights])
    order = (
        np.arange(N_VALIDATED)
        if which == "same"
        else np.argsort(np.arange(N_VALIDATED) % 2, kind="stable")
    )
    calls = [one for one in methods if one != "lofo"]
    arrays |= found("single", compute_importance(single, (x_val[order], y_val[order]), methods=calls))
    np.savez(directory / f"process_{process}.npz", **arrays)


if __name__ == "__main__":
    warnings.simplefilter("error", category=UserWarning)
    main(int(sys.argv[1]), *sys.argv[2:5], Path(sys.argv[5]))
