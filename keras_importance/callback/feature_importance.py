"""FeatureImportance: the Keras callback. Life cycle and wiring, nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_importance import arguments
from keras_importance.callback import caveats
from keras_importance.callback.budget import Budget
from keras_importance.callback.fit_run import FitRun
from keras_importance.callback.run_directory import tuner_trial
from keras_importance.data.features import FeatureSet
from keras_importance.data.loaders import check_is_batched
from keras_importance.data.running_fit import fit_arguments
from keras_importance.data.training_data import TrainingData
from keras_importance.engine.backends.backend import is_chief, why_no_fit
from keras_importance.engine.effort import Effort
from keras_importance.engine.evaluator import Evaluator
from keras_importance.engine.footprint import no_footprint
from keras_importance.errors import InvalidArgumentError, speaking_as, warn
from keras_importance.methods import methods_from_argument
from keras_importance.methods.base import Interrupted
from keras_importance.methods.preparation import prepared_evaluator
from keras_importance.reporting.console import evaluation_line, verdict_line
from keras_importance.reporting.writers.base import EpochReport, Writer
from keras_importance.reporting.writers.history import HistoryWriter, kept_history
from keras_importance.reporting.writers.tensorboard import TensorBoardWriter
from keras_importance.results.confirmation import Confirmation
from keras_importance.results.history import ImportanceHistory
from keras_importance.results.result import ImportanceResult
from keras_importance.results.verdict import Verdict
from keras_importance.retraining.confirmation import confirm
from keras_importance.verdicts.useless_features import detectors_from_argument

# What is left of an evaluation's time for its verdicts.
_JUDGING_SHARE = 0.2
# What pictures are expected to take before any was drawn.
_PICTURE_SECONDS = 0.7


class FeatureImportance(keras.callbacks.Callback):
    """Computes at the end of each epoch how much each input feature matters, and logs it.

    ```python
    importance = FeatureImportance(log_dir="logs/run-1")
    model.fit(x, y, validation_split=0.2, epochs=30, callbacks=[importance])

    importance.history.to_dataframe()
    importance.useless_features
    importance.results["permutation"].importances_mean
    ```

    The rows are read once, before training, and stay the same for all epochs. The training is not
    changed: weights and `History` are bit-identical with and without the callback. What fails inside an
    evaluation becomes a warning; what is wrong with the arguments is an error before the first epoch.

    A second `fit` starts the history anew from its `initial_epoch`. Each result is about the weights at
    the end of its epoch, also where `EarlyStopping` restores better ones afterwards.

    Args:
        validation_data: None for what `fit` itself validates on, else anything `fit` accepts as
            validation data: `(x, y)`, `(x, y, sample_weight)`, a `tf.data.Dataset`, a `PyDataset`, a
            torch `DataLoader` or a grain dataset; Python generators, which could be read only once, are
            refused. Sample weights count; `class_weight` of `fit`, which weighs the training, doesn't.
            `validation_steps` ends the reading of datasets; arrays are used whole.
        methods: names (`"gradient"`, `"permutation"`) or instances of `ImportanceMethod`.
        features: None for one feature per column, named after DataFrame columns, dict keys or input
            names, else `x0, x1, ...`; a list with one name per column; or a dict `{group: members}` of
            names, indices or `(input, index)` pairs. A group is one feature; columns in no group stay
            features of their own. With several inputs a column is named `<input>/<column>`, an input
            of one column `<input>`. `"correlated"` finds groups of columns that go together.
        metric: what permutation measures: `"loss"` (the compiled one), the name of a compiled metric, a
            `keras.metrics.Metric`, or a callable `(y_true, y_pred)` on NumPy arrays that returns one
            value per row, or one number. A larger importance always means a more useful feature.
        log_dir: directory of the training's TensorBoard runs; the run `<log_dir>/importance` is
            written. None writes nothing.
        every: epochs between evaluations; the last epoch always counts.
        max_samples: how many validation rows to use at most, drawn at random once, of each class its
            share; None for all. Larger data are streamed: a few times the sample is in memory.
        detectors: what judges the features after each evaluation; None for
            `UselessFeatureDetector()` where permutation importance is computed, `()` for none.
        on_verdict: called with each `Verdict` whose state has changed, for those who want to act.
        writers: further `Writer`s that take the report of each evaluation.
        time_budget: the share of the epochs' own time that scoring, statistics, drawing and writing may
            take, one-time compilation apart; None for no limit. Within it an evaluation uses fewer
            repeats, then fewer rows, then scores some of the features by a first-order approximation
            (`ImportanceResult.obtained` says which), or waits for a later epoch. The last epoch is
            always evaluated, and pictures are drawn once at the end.
        add_to_logs: whether to put the importances into `logs` as `importance_<method>/<feature>`, where
            callbacks that come later in the list, `History` and the progress bar see them. The first
            epoch is evaluated then, too; between evaluations the newest values stand there.
        seed: seed of everything drawn at random.
        verbose: 0 prints nothing, 1 a line per evaluation, and a progress bar for long ones.

    Attributes:
        history: the `ImportanceHistory` of the training so far.
        results: the newest `ImportanceResult` of each method, by its name.
        useless_features: names of the features that may be dropped together, by the newest verdicts.

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
            self.max_samples = (
                None
                if max_samples is None
                else arguments.whole_number("max_samples", max_samples, at_least=2)
            )
            self.time_budget = (
                None
                if time_budget is None
                else arguments.share(
                    "time_budget",
                    time_budget,
                    example="a share of the epochs' time above 0, such as 0.1, or None for no limit",
                )
            )
            self.seed = arguments.whole_number("seed", seed, at_least=0)
            verbose = int(verbose) if isinstance(verbose, bool) else verbose
            self.verbose = arguments.whole_number("verbose", verbose, at_least=0)
            self.detectors = detectors_from_argument(detectors, self.methods)
            self.writers = arguments.instances(
                "writers", writers, Writer, "a list of instances of keras_importance.Writer"
            )
            self.on_verdict = arguments.function("on_verdict", on_verdict)
            self.log_dir = None if log_dir is None else arguments.path("log_dir", log_dir)
            self.add_to_logs = arguments.flag("add_to_logs", add_to_logs)
        self.validation_data = validation_data
        self.features = features
        self.metric = metric
        self.history = ImportanceHistory()
        self._training: FitRun | None = None
        reason = why_no_fit()
        if reason is not None:
            warn(reason)

    @property
    def results(self) -> dict[str, ImportanceResult]:
        """The newest result of each method."""
        return self.history.newest

    @property
    def useless_features(self) -> list[str]:
        """The features that may be dropped together."""
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
        """Retrains without the useless features, and says whether the loss holds.

        See `keras_importance.retraining.confirmation.confirm` for the arguments. The features and the
        seed are those of this callback; `verbose=None` does as the callback.

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
                fit_kwargs=fit_kwargs,
                n_seeds=n_seeds,
                min_share=min_share,
                alpha=alpha,
                n_jobs=n_jobs,
                seed=self.seed,
                verbose=self.verbose if verbose is None else verbose,
            )

    # --- life cycle -----------------------------------------------------------------------------

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Reads and checks everything, so that what is wrong fails before the first epoch."""
        self._end_training()  # a fit that raised left without on_train_end
        with speaking_as("FeatureImportance"), no_footprint(self.model):
            evaluator = self._new_evaluator()
            writers = self._new_writers()
            n_epochs = (self.params or {}).get("epochs")
            budget = Budget(
                self.time_budget,
                n_epochs,
                _PICTURE_SECONDS if any(writer.draws for writer in writers) else 0.0,
            )
            self._training = FitRun(evaluator, writers, budget)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Starts the clock; the first epoch of a `fit` decides what earlier history stays."""
        training = self._training
        if training is None:
            return
        if training.epoch is None:
            with training.contained("looking for an earlier history"):
                self._begin_history(training, epoch)
            with training.contained("looking for caveats"):
                self._warn_of_caveats(training)
            if self._misses_evaluation(epoch - 1):
                with training.contained("evaluating", epoch - 1):
                    self._evaluate(training, epoch - 1, is_last=False)
        training.epoch, training.epoch_started = epoch, time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Evaluates every `every` epochs, and in the last one."""
        training = self._training
        if training is None:
            return
        training.epoch_seconds = time.perf_counter() - training.epoch_started
        training.budget.earn(training.epoch_seconds)
        is_last = self.model.stop_training or epoch + 1 == (self.params or {}).get("epochs")
        is_due = (epoch + 1) % self.every == 0 and training.budget.allows_evaluation
        # A first value of NaN is one that EarlyStopping never sees anything better than.
        is_first = not self.history.epochs and training.evaluated is None
        is_due = is_due or (self.add_to_logs and is_first)
        with training.contained("evaluating", epoch):
            if training.evaluator.training_data is not None:
                training.evaluator.training_data.note_epoch(self.model.optimizer)
            if training.evaluator.agreed(is_last or is_due):
                self._evaluate(training, epoch, is_last=is_last)
            if self.add_to_logs and logs is not None:
                logs.update(self._as_logs(training.evaluator.features.names))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Evaluates a last epoch that only a later callback knew to be the last."""
        training = self._training
        if training is not None and training.epoch not in (None, training.evaluated):
            with training.contained("at the end"):
                self._evaluate(training, training.epoch, is_last=True)
        self._end_training()

    # --- one evaluation -------------------------------------------------------------------------

    def _evaluate(self, training: FitRun, epoch: int, *, is_last: bool) -> None:
        evaluator, budget = training.evaluator, training.budget
        started, training.evaluated = evaluator.clock.now(), epoch
        compiled, unlimited = evaluator.compiler.seconds, evaluator.clock.stopped_seconds
        try:
            with no_footprint(self.model), np.errstate(all="ignore"):
                results = self._results_of_each_method(training, epoch, is_last=is_last)
                training.note_unknown(results)
                if not results:
                    return
                self.history += results
                changes = self._judge(training, results)
                seconds = evaluator.clock.now() - started
                report = EpochReport(
                    epoch=epoch,
                    history=self.history,
                    seconds_before=seconds + evaluator.clock.stopped_seconds - unlimited,
                    epoch_seconds=training.epoch_seconds,
                    compile_seconds=evaluator.compiler.seconds - compiled,
                    with_pictures=is_last or budget.allows_pictures_after(seconds),
                )
                self._write(training, report)
            # Outside of what is put back: whoever acts on a verdict means it.
            for verdict in changes if self.on_verdict is not None else ():
                with training.contained("calling on_verdict"):
                    self.on_verdict(verdict)
            if self.verbose:
                with training.contained("printing"):
                    lines = [evaluation_line(report), *map(verdict_line, changes)]
                    print("\n".join(lines))  # noqa: T201 (asked for with verbose)
        finally:
            budget.spend(evaluator.clock.now() - started)

    def _results_of_each_method(
        self, training: FitRun, epoch: int, *, is_last: bool
    ) -> list[ImportanceResult]:
        evaluator, budget = training.evaluator, training.budget
        allowance = evaluator.agreed(max(budget.for_last if is_last else budget.for_scoring, 0.0))
        started = evaluator.clock.now()
        training.deadline = started + allowance
        deadline = started + allowance * (1 - _JUDGING_SHARE if self.detectors else 1)
        results: list[ImportanceResult] = []
        for method, others in zip(self.methods, reversed(range(len(self.methods))), strict=True):
            # Half of what is left for each method but the last: the cheap ones need less and come first.
            left = max(deadline - evaluator.clock.now(), 0.0)
            previous = self.results.get(method.name)
            effort = Effort(left / 2 if others else left, previous, verbose=self.verbose > 0)
            with training.contained(f"computing {method.name!r} importance", epoch):
                try:
                    results.append(method(evaluator, epoch, effort))
                except Interrupted as interruption:
                    self.history += [*results, interruption.found]
                    raise
        return results

    def _judge(self, training: FitRun, results: Sequence[ImportanceResult]) -> list[Verdict]:
        """Adds the verdicts of each detector on its method's new result; those that have changed."""
        found: list[Verdict] = []
        by_method = {one.method: one for one in results}
        for detector in (one for one in self.detectors if one.method in by_method):
            result = by_method[detector.method]
            with training.contained("judging features", result.epoch):
                verdicts = detector(self.history, training.probe(self.methods, result))
                changes = verdicts.changes(self.history.verdicts_before(result))
                self.history += verdicts
                found += changes
        return found

    def _warn_of_caveats(self, training: FitRun) -> None:
        """What the verdicts' error rate takes for granted and this training doesn't give."""
        evaluator = training.evaluator
        found = [
            caveats.too_few_rows(one, evaluator.data, len(evaluator.features), training.n_evaluations)
            for one in self.detectors
        ]
        given = fit_arguments(self.model)
        shares_rows = self.validation_data is None or (
            given is not None and self.validation_data is given.validation_data
        )
        if self.detectors and given is not None and shares_rows:
            found.append(caveats.chosen_on_the_same_rows(given.callbacks))
        if self.add_to_logs and given is not None and self in given.callbacks:
            later = given.callbacks[given.callbacks.index(self) + 1 :]
            found.append(caveats.names_refused(later, self._as_logs(evaluator.features.names)))
        for message in filter(None, found):
            warn(message)

    def _write(self, training: FitRun, report: EpochReport) -> None:
        for writer in training.writers:
            with training.contained(f"writing with {type(writer).__name__}", report.epoch):
                writer.write(report)
        if report.with_pictures and any(writer.draws for writer in training.writers):
            training.budget.note_pictures(report.seconds - report.seconds_before)

    def _as_logs(self, names: Sequence[str]) -> dict[str, float]:
        """The newest importances, NaN before the first: CSVLogger keeps the keys of the first epoch."""
        values = {}
        for method in self.methods:
            result = self.results.get(method.name)
            means = np.full(len(names), np.nan) if result is None else result.importances_mean
            for name, mean in zip(names, means, strict=True):
                values[f"importance_{method.name}/{name}"] = float(mean)
        return values

    # --- preparation ----------------------------------------------------------------------------

    def _new_evaluator(self) -> Evaluator:
        source, steps = self.validation_data, None
        given = fit_arguments(self.model)
        if source is None:
            if given is None or given.validation_data is None:
                raise InvalidArgumentError(
                    "got no validation data, neither of its own nor from fit. Pass validation_data= or "
                    "validation_split= to fit, or FeatureImportance(validation_data=...)."
                )
            source, steps = given.validation_data, given.validation_steps
            check_is_batched(source)
        trains = any(method.trains for method in self.methods)
        return prepared_evaluator(
            self.model,
            source,
            self.methods,
            features=self.features,
            metric=self.metric,
            max_samples=self.max_samples,
            seed=self.seed,
            steps=steps,
            training=TrainingData.of(given) if trains and given is not None else None,
            in_parts=self.time_budget is not None,
        )

    def _new_writers(self) -> tuple[Writer, ...]:
        if not is_chief(self.model):
            return ()
        log_dir = self._run_dir()
        if log_dir is None:
            return self.writers
        try:
            tensorboard = TensorBoardWriter(log_dir)
        except OSError as error:
            raise InvalidArgumentError(
                f"got log_dir={self.log_dir!r}, which can't be written to ({error}). Pass a directory "
                "that can, or None."
            ) from error
        if "://" in log_dir:
            return tensorboard, *self.writers
        # In this order: an epoch that a kill keeps out of the history is evaluated and written anew.
        return tensorboard, HistoryWriter(log_dir), *self.writers

    def _run_dir(self) -> str | None:
        """Where this training's logs go: in a search each trial has a folder of its own."""
        return self.log_dir and os.path.join(self.log_dir, tuner_trial() or "")

    def _begin_history(self, training: FitRun, epoch: int) -> None:
        """Goes on with what this callback found before, or another one that wrote into `log_dir`."""
        self.history = _same_features(self.history.before(epoch), training.evaluator.features)
        log_dir = self._run_dir()
        if epoch and log_dir is not None and not len(self.history):
            kept = training.comparable(kept_history(log_dir, epoch), self.methods)
            self.history = training.evaluator.agreed(kept)
        planned = _n_evaluations(epoch, (self.params or {}).get("epochs"), self.every)
        if planned is not None:
            done = len(self.history.epochs) + self._misses_evaluation(epoch - 1)
            first = self.add_to_logs and not self.history.epochs and (epoch + 1) % self.every != 0
            training.n_evaluations = done + planned + first
        training.start_from(self.history)

    def _misses_evaluation(self, epoch: int) -> bool:
        """Whether an earlier process ended between the backup of an epoch and its evaluation.

        The weights that were restored are those of the end of that epoch.
        """
        is_due = epoch >= 0 and (epoch + 1) % self.every == 0
        given = fit_arguments(self.model)
        return (
            is_due
            and epoch not in self.history.epochs
            and given is not None
            and any(
                isinstance(one, keras.callbacks.BackupAndRestore) and one.save_freq == "epoch"
                for one in given.callbacks
            )
        )

    def __getstate__(self) -> dict[str, Any]:
        """Without model and training, which a copy gets from its own `fit`."""
        return {**self.__dict__, "_training": None, "_model": None}

    def _end_training(self) -> None:
        """Drops all that belongs to one training; what stays can be copied and pickled."""
        if self._training is not None:
            self._training.close()
        self._training = None


def _n_evaluations(first: int, n_epochs: int | None, every: int) -> int | None:
    """How many evaluations are planned from an epoch on, the last epoch counted."""
    if n_epochs is None:
        return None
    return max(1, -(-n_epochs // every) - first // every)


def _same_features(history: ImportanceHistory, features: FeatureSet) -> ImportanceHistory:
    """The history, where it is about these features; else none."""
    same = all(one.feature_names == features.names for one in history)
    return history if same else ImportanceHistory()
