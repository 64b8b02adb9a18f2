"""Trains under MirroredStrategy over two logical CPUs and writes what importance found: a script.

Logical devices must be asked for before TensorFlow starts, so the tests run this as a process of its own.

Usage: python mirrored_fit.py METHODS OUTPUT.npz
"""

from __future__ import annotations

import sys
import warnings

import keras
import numpy as np
import tensorflow as tf
from distributed_models import METHODS_OF_A_WORD, found, network, rows

from keras_importance import FeatureImportance, compute_importance
from keras_importance.engine.backends.compiler import Compiler


def main(names: str, output: str) -> None:
    """Compares importance on two replicas with that of a copy of the model outside of the strategy."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    x, y, x_val, y_val = rows()

    def trained(callbacks: list[keras.callbacks.Callback]) -> keras.Model:
        with strategy.scope():
            model = network()
        model.fit(
            x, y, epochs=2, batch_size=32, verbose=0, validation_data=(x_val, y_val), callbacks=callbacks
        )
        return model

    methods = METHODS_OF_A_WORD.get(names, names.split(","))
    importance = FeatureImportance(methods=methods, detectors=(), time_budget=None)
    model, without = trained([importance]), trained([])
    arrays = {f"weight_{n}": one for n, one in enumerate(model.get_weights())}
    arrays |= {f"weight_without_{n}": one for n, one in enumerate(without.get_weights())}
    arrays |= found("replicas", importance.results)
    single = network()
    single.set_weights(model.get_weights())
    calls = [one for one in methods if one != "lofo"]
    arrays |= found("single", compute_importance(single, (x_val, y_val), methods=calls))
    if "lofo" in methods:
        alone = FeatureImportance(methods=["lofo"], detectors=(), time_budget=None)
        other = network()
        other.fit(
            x, y, epochs=2, batch_size=32, verbose=0, validation_data=(x_val, y_val), callbacks=[alone]
        )
        arrays |= found("single", alone.results)
    arrays["n_replicas"] = np.array(Compiler(model).replicas.n)
    np.savez(output, **arrays)


if __name__ == "__main__":
    warnings.simplefilter("error", category=UserWarning)
    main(*sys.argv[1:])
