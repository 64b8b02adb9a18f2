"""FeatureImportance, the Keras callback: its arguments and hooks. The other files here do the work."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from keras_importance import arguments
from keras_importance.callback.budget import budget_from_argument
from keras_importance.callback.caveats import warn_outside_fit
from keras_importance.callback.continuation import EarlierFit
from keras_importance.callback.evaluation import evaluate
from keras_importance.callback.fit_run import FitRun
from keras_importance.callback.logs import as_logs
from keras_importance.callback.new_run import new_loop_run, new_run, with_padding
from keras_importance.callback.resume import begin
from keras_importance.engine.backends.backend import why_no_fit
from keras_importance.engine.footprint import no_footprint
from keras_importance.errors import speaking_as, warn
from keras_importance.methods import methods_from_argument
from keras_importance.reporting.writers.base import Writer
from keras_importance.results.by_method import ResultsByMethod
from keras_importance.results.confirmation import Confirmation
from keras_importance.results.history import ImportanceHistory
from keras_importance.results.result import ImportanceResult
from keras_importance.results.verdict import Verdict
from keras_importance.retraining.confirmation import confirm
from keras_importance.verdicts.useless_features import detectors_from_argument


class FeatureImportance(keras.callbacks.Callback):
    """Computes at the end of each epoch how much each input feature matters, and logs it.

    ```python
    importance = FeatureImportance(log_dir="logs/run-1")
    model.fit(x, y, validation_split=0.2, epochs=30, callbacks=[importance])

    importance.history.to_dataframe()
    importance.useless_features
    importance.results["permutation"].importances_mean
    ```

    The validation rows are read once, before training, and stay the same for all epochs. The training is
    not changed: weights and `History` are bit-identical with and without the callback. A failure inside
    an evaluation becomes a warning. A wrong argument is an error before the first epoch.

    A second `fit` of the same model goes on with the history where the training goes on: while the model
    is compiled as it was, and its optimizer has trained at least as many batches. If it counts from
    epoch 0 again, its epochs are numbered on; from an `initial_epoch`, Keras' numbers stay, and later
    results are dropped. Otherwise the history starts anew. A result describes the weights at the end of
    its epoch, even if `EarlyStopping` restores better weights later.

    Args:
        validation_data: None for the data that `fit` validates on. Else anything `fit` accepts as
            validation data: `(x, y)`, `(x, y, sample_weight)`, a `tf.data.Dataset`, a `PyDataset`, a
            torch `DataLoader` or a grain dataset. Python generators are refused, because they can be
            read only once. Sample weights are used; `class_weight`, which is for training, is not.
            `validation_steps` limits the batches read of a dataset; arrays are used whole.
        methods: names (`"gradient"`, `"permutation"`) or instances of `ImportanceMethod`.
        features: None for one feature per column, named after DataFrame columns, dict keys or input
            names, else `x0, x1, ...`. A list gives one name per column. A dict `{group: members}` makes
            each group one feature; members are names, indices or `(input, index)` pairs. Columns in no
            group stay features of their own. `"correlated"` makes groups of correlated columns. With
            several inputs a column is named `<input>/<column>`, an input of one column `<input>`.
        metric: the metric that permutation importance measures: `"loss"` (the compiled loss), the name
            of a compiled metric, a `keras.metrics.Metric`, or a callable `(y_true, y_pred)` on NumPy
            arrays that returns one value per row, or one number. A larger importance always means a more
            useful feature.
        mask_value: the number that padded steps of sequences hold in all their columns; or a dict of
            numbers by the name of the input. Padded steps are never replaced, and count for nothing.
            None where the model masks them itself, by `Masking`, `Embedding(mask_zero=True)`, a layer
            with a `compute_mask` of its own, or `mask=` in the call of a recurrent layer.
        log_dir: directory of the training's TensorBoard runs; the run `<log_dir>/importance` is
            written. None writes nothing.
        every: epochs from one evaluation to the next; the last epoch is always evaluated.
        max_samples: how many validation rows to use at most, drawn once at random, from each class in
            proportion; None for all. Larger data are streamed: memory holds a few times the sample.
        detectors: a `Detector`, or several, that judge the features after each evaluation; `()` for
            none. None for `UselessFeatureDetector()` if permutation importance is computed.
        on_verdict: called with each `Verdict` whose state has changed.
        writers: further `Writer`s; each gets a report of each evaluation.
        time_budget: the fraction of an epoch's own time that its evaluation may take; None for no limit.
            An epoch counts as at least half a second. One-time compilation doesn't count. To keep within
            it an evaluation uses fewer repeats, then fewer rows, then scores some features by a
            first-order approximation (`ImportanceResult.obtained` says which). No epoch is skipped. The
            work is planned before the first evaluation, by counting multiplications, and stays the same
            for all: a busy machine changes no result. Pictures are drawn at the end, and up to nine
            times before where they are paid for.
        add_to_logs: whether to put the importances into `logs` as `importance_<method>/<feature>`, for
            later callbacks in the list, `History` and the progress bar. The first epoch is then
            evaluated, too. Between evaluations the logs hold the newest values.
        seed: seed of everything drawn at random.
        verbose: 0 prints nothing; 1 a line per evaluation, a summary at the end, and a progress bar for
            long evaluations.

    Raises:
        ValueError: here or at the beginning of `fit`, for arguments that can't be used.
    """

    def __init__(
        self,
        validation_data: Any = None,
        *,
        methods: Any = ("gradient", "permutation"),
        features: Any = None,
        metric: Any = "loss",
        mask_value: Any = None,
        log_dir: str | os.PathLike[str] | None = None,
        every: int = 1,
        max_samples: int | None = 5000,
        time_budget: float | None = 0.1,
        detectors: Any = None,
        writers: Sequence[Writer] = (),
        on_verdict: Callable[[Verdict], Any] | None = None,
        add_to_logs: bool = False,
        seed: int = 0,
        verbose: int = 0,
    ) -> None:
        super().__init__()
        with speaking_as("FeatureImportance"):
            self.methods = methods_from_argument(methods)
            self.every = arguments.whole_number("every", every, at_least=1)
            self.max_samples = arguments.whole_number_or_none("max_samples", max_samples, at_least=2)
            self.time_budget = budget_from_argument(time_budget)
            self.seed = arguments.whole_number("seed", seed, at_least=0)
            self.verbose = arguments.verbosity(verbose)
            self.detectors = detectors_from_argument(detectors, self.methods)
            self.writers = arguments.instances(
                "writers", writers, Writer, "a list of instances of keras_importance.Writer"
            )
            self.on_verdict = arguments.function("on_verdict", on_verdict)
            self.log_dir = None if log_dir is None else arguments.path("log_dir", log_dir)
            self.add_to_logs = arguments.flag("add_to_logs", add_to_logs)
            self.mask_value = arguments.number_or_numbers("mask_value", mask_value)
        self.validation_data = validation_data
        self.features = features
        self.metric = metric
        self._history = ImportanceHistory()
        self._run: FitRun | None = None
        self._earlier: EarlierFit | None = None
        self._has_begun = False
        self._failures: dict[str, str] = {}
        reason = why_no_fit()
        if reason is not None:
            warn(reason)

    @property
    def history(self) -> ImportanceHistory:
        """All results and verdicts of the training so far."""
        return self._history if self._run is None else self._run.history

    @history.setter
    def history(self, history: ImportanceHistory) -> None:
        self._history = history
        if self._run is not None:
            self._run.history = history

    @property
    def results(self) -> dict[str, ImportanceResult]:
        """The newest `ImportanceResult` of each method, by its name.

        A `KeyError` of a method without a result says why there is none.
        """
        failures = self._failures if self._run is None else self._run.failures
        names = [method.name for method in self.methods]
        return ResultsByMethod(self.history.newest, names, failures)

    @property
    def useless_features(self) -> list[str]:
        """Names of the features that may be dropped together, by the newest verdicts."""
        return list(self.history.useless_features)

    def confirm(
        self,
        build_model: Callable[..., Any],
        x: Any,
        y: Any,
        *,
        validation_data: Any = None,
        validation_split: float = 0.2,
        fit_kwargs: Mapping[str, Any] | None = None,
        n_seeds: int = 3,
        min_share: float = 0.01,
        alpha: float = 0.05,
        n_jobs: int | None = None,
        verbose: int | None = None,
    ) -> Confirmation:
        """Retrains without the useless features, and tests whether the loss stays as low.

        See `keras_importance.retraining.confirmation.confirm` for the arguments. Features, mask value
        and seed are taken from this callback, and so is `verbose` if it is None.

        Raises:
            ValueError: without useless features, or for arguments that can't be used.
        """
        with speaking_as("FeatureImportance.confirm"):
            return confirm(
                build_model,
                x,
                y,
                self.useless_features,
                validation_data=validation_data,
                validation_split=validation_split,
                features=self.features,
                mask_value=self.mask_value,
                fit_kwargs=fit_kwargs,
                n_seeds=n_seeds,
                min_share=min_share,
                alpha=alpha,
                n_jobs=n_jobs,
                seed=self.seed,
                verbose=self.verbose if verbose is None else verbose,
            )

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Reads the rows and checks all arguments, so that an error is raised before the first epoch."""
        self._end_run()  # after an exception, fit doesn't call on_train_end
        self._has_begun = True
        earlier = self._earlier
        if earlier is not None and not earlier.is_continued_by(self.model):
            earlier = None
        with speaking_as("FeatureImportance"), no_footprint(self.model):
            self._run = new_run(self, self.model, self.params or {}, self.history, earlier)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Starts the clock. The first epoch of a `fit` also decides which earlier results stay."""
        if self._run is None:
            # Nothing is evaluated: results of an earlier training must not pass for this one's.
            self._history = self._history.before(epoch)
            return
        if self._run.epoch is None:
            self._run.number_epochs(epoch)
            begin(self._run, self, epoch + self._run.offset, self._evaluate)
        self._run.begin_epoch(epoch + self._run.offset)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Evaluates the model if the epoch is due or the last, and adds importances to `logs`."""
        run = self._run
        if run is None:
            if not self._has_begun:
                self._has_begun = True
                warn(
                    "FeatureImportance got an epoch of a training that it wasn't told of: on_epoch_end "
                    "was called without on_train_begin. In a loop of your own call "
                    "importance.evaluate(model, epoch)."
                )
            return
        epoch += run.offset
        run.end_epoch()
        is_last = self.model.stop_training or run.schedule.is_last(epoch)
        with run.contained("evaluating", epoch):
            if run.training_data is not None:
                run.training_data.note_epoch(self.model.optimizer)
            if run.evaluator.agreed(is_last or run.is_due(epoch)):
                self._evaluate(run, epoch, is_last=is_last)
            if self.add_to_logs and logs is not None:
                logs.update(as_logs(run))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Evaluates the last epoch if a later callback stopped the training, and closes the writers."""
        run = self._run
        if run is not None and run.epoch not in (None, run.evaluated):
            with run.contained("at the end"):
                self._evaluate(run, run.epoch, is_last=True)
        self._end_run()

    def evaluate(self, model: keras.Model, epoch: int) -> dict[str, ImportanceResult]:
        """Evaluates a model in a training loop of one's own: records, judges and writes as in `fit`.

        ```python
        importance = FeatureImportance(validation_data=(x_val, y_val), log_dir="logs/run-1")
        for epoch in range(30):
            train(model)
            importance.evaluate(model, epoch)
        importance.close()
        ```

        Args:
            model: the model. It may be uncompiled if `metric` is a callable or a `keras.metrics.Metric`.
            epoch: the 0-based epoch that has ended.

        Returns:
            The newest result of each method, by its name.

        Raises:
            ValueError: without `validation_data`, and for arguments that can't be used.
        """
        with speaking_as("FeatureImportance.evaluate"):
            epoch = arguments.whole_number("epoch", epoch, at_least=0)
            if self._run is None or self._run.evaluator.model is not model:
                self._end_run()
                with no_footprint(model):
                    self._run = new_loop_run(self, model, self.history)
        run = self._run
        if run is None:  # a warning has said why
            return self.results
        if run.epoch is None:
            begin(run, self, epoch, self._evaluate)
            run.begin_epoch(epoch)
        run.epoch = epoch
        run.end_epoch()
        with run.contained("evaluating", epoch):
            self._evaluate(run, epoch, is_last=False)
        run.begin_epoch(epoch)
        return self.results

    def close(self) -> None:
        """Ends a training loop of one's own: draws the last pictures and closes the files."""
        self._end_run()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Warns if the callback was passed to `evaluate`, which has no epochs."""
        if self._run is None:
            warn_outside_fit(self.model, "evaluate")

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Warns if the callback was passed to `predict`, which has no epochs."""
        if self._run is None:
            warn_outside_fit(self.model, "predict")

    def _evaluate(self, run: FitRun, epoch: int, *, is_last: bool) -> None:
        if not run.knows_padding:
            with no_footprint(self.model):
                run.evaluator = with_padding(self, run.evaluator)
            run.knows_padding = True
        evaluate(run, epoch, is_last=is_last)

    def _end_run(self) -> None:
        """Closes and drops the run. The rest of the callback can be copied and pickled."""
        if self._run is not None:
            self._run.close()
            self._failures = self._run.failures
            self._earlier = None
            with self._run.contained("noting where the training ended"):
                self._earlier = EarlierFit.of(self._run)
        self._history, self._run = self.history, None

    def __getstate__(self) -> dict[str, Any]:
        """The state to pickle: without model and run, which a copy gets from its own `fit`."""
        return {
            **self.__dict__,
            "_history": self.history,
            "_run": None,
            "_earlier": None,
            "_model": None,
        }
