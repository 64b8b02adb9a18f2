"""Trains on JAX in one process with two CPU devices and writes what importance found: a script.

Usage: python data_parallel_fit.py DISTRIBUTION METHODS OUTPUT.npz, where DISTRIBUTION is "data" or "model"
"""

from __future__ import annotations

import os
import sys
import warnings

os.environ["KERAS_BACKEND"] = "jax"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"

import keras
import numpy as np
from distributed_models import METHODS_OF_A_WORD, found, network, rows

from keras_importance import FeatureImportance, compute_importance
from keras_importance.engine.backends.compiler import replicas_of


def main(distribution: str, names: str, output: str) -> None:
    """Compares importance on two devices with that of a copy of the model on one."""
    x, y, x_val, y_val = rows()
    x_val, y_val = x_val[:288], y_val[:288]
    methods = METHODS_OF_A_WORD.get(names, names.split(","))

    def trained(callbacks: list[keras.callbacks.Callback]) -> keras.Model:
        model = network()
        model.fit(
            x, y, epochs=2, batch_size=32, verbose=0, validation_data=(x_val, y_val), callbacks=callbacks
        )
        return model

    keras.distribution.set_distribution(_distribution(distribution))
    importance = FeatureImportance(methods=methods, detectors=(), time_budget=None)
    model, without = trained([importance]), trained([])
    arrays = {f"weight_{n}": np.asarray(one.value) for n, one in enumerate(model.weights)}
    arrays |= {f"weight_without_{n}": np.asarray(one.value) for n, one in enumerate(without.weights)}
    arrays |= found("replicas", importance.results)
    arrays["n_replicas"] = np.array(replicas_of(model).n)
    keras.distribution.set_distribution(None)
    single = network()
    single.set_weights([np.asarray(one.value) for one in model.weights])
    calls = [one for one in methods if one != "lofo"]
    arrays |= found("single", compute_importance(single, (x_val, y_val), methods=calls))
    np.savez(output, **arrays)


def _distribution(name: str) -> keras.distribution.Distribution:
    if name == "data":
        return keras.distribution.DataParallel()
    mesh = keras.distribution.DeviceMesh((1, 2), ["batch", "model"])
    layouts = keras.distribution.LayoutMap(mesh)
    layouts["dense/kernel"] = keras.distribution.TensorLayout([None, "model"], mesh)
    layouts["dense_1/kernel"] = keras.distribution.TensorLayout(["model", None], mesh)
    return keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="batch")


if __name__ == "__main__":
    warnings.simplefilter("error", category=UserWarning)
    main(*sys.argv[1:])
