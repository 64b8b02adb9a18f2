"""The loop shared by all methods that replace a feature and measure how much worse the model gets."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from keras_importance.arguments import whole_number
from keras_importance.data.validation_data import ValidationData
from keras_importance.engine.effort import Effort
from keras_importance.engine.evaluator import Evaluator
from keras_importance.engine.planned_work import (
    rows_to_screen,
    seconds_per_score,
    seconds_to_screen,
    takes_part,
)
from keras_importance.engine.scores.sample import Replacement
from keras_importance.engine.scores.scoring import AVERAGED, EXACT, Scoring
from keras_importance.errors import InvalidArgumentError, NotEvaluableError, speaking_as
from keras_importance.methods.affordable_work import Work, affordable, most_urgent
from keras_importance.methods.base import ImportanceMethod, Interrupted, need_targets
from keras_importance.methods.donor_tables import request_of_set
from keras_importance.methods.partial_scores import PartialScores
from keras_importance.progress import progress_bar
from keras_importance.results.joint_importance import JointImportance
from keras_importance.results.result import ImportanceResult
from keras_importance.results.scores import Scores


class PerturbationMethod(ImportanceMethod):
    """Replaces one feature at a time, and measures how much worse the model's score gets.

        importance_j = mean_{i,k} [score(f(x_i with feature j replaced by donor k), y_i)
                                   - score(f(x_i), y_i)]

    over rows `i` and repeats `k`, in units of the metric. The sign is reversed for a metric of which a
    larger value is better. A subclass says in `replacement` what takes the feature's place.

    To keep within a time budget, an evaluation uses fewer repeats, then fewer rows. If that is not
    enough, it scores only some of the features. The others get the importance under the model's
    first-order approximation, without a standard error. It is rescaled to fit the features that were
    scored both ways.

    Args:
        n_repeats: donors per row. Three are enough: more rows narrow the intervals, more repeats hardly
            do. The error is then 2 to 9% larger than with infinitely many, for numbers, categories,
            groups and sequences alike; five random donors leave 2 to 12%.
        name: name in results and tags; None for the name that the class has.

    Raises:
        ValueError: unless `n_repeats` is a whole number above 0.
    """

    replaces_sets = True
    """True if several features are replaced together by replacing each one as if it were alone."""

    scoring: Scoring = EXACT
    """Which predictions are scored: exact, averaged over the repeats, or linearised."""

    min_repeats = 1
    """Fewest repeats that give an importance; one row more is needed."""

    screen_scale = 1.0
    """Rough ratio of the method's importance to what the screen estimates: plain replacement."""

    def __init__(self, n_repeats: int = 3, *, name: str | None = None) -> None:
        super().__init__(name=name)
        with speaking_as(type(self).__name__):
            self.n_repeats = whole_number("n_repeats", n_repeats, at_least=1)

    @abstractmethod
    def replacement(self, data: ValidationData) -> Replacement:
        """The values that take a feature's place: a part that the row keeps plus a part from its donor.

        Args:
            data: the rows.
        """

    def replacement_for(self, evaluator: Evaluator) -> Replacement:
        """The replacement for the evaluator's features.

        Override it, in place of `replacement`, if the replacement depends on more than the rows, such as
        the features or the seed.
        """
        return self.replacement(evaluator.data)

    def check(self, evaluator: Evaluator) -> None:
        """Checks the targets, the metric and the number of rows.

        Raises:
            InvalidArgumentError: with a metric that fails.
            NotEvaluableError: without targets, or with fewer rows than `min_repeats + 1`.
        """
        need_targets(self, evaluator)
        evaluator.check_metric()
        n_rows = evaluator.data.n_rows
        if n_rows <= self.min_repeats:
            raise NotEvaluableError(
                f"got too few validation rows ({n_rows}) for {self.name!r}, in which a row takes values "
                f"of other rows. Pass {self.n_repeats + 1} rows or more."
            )

    def repeats_for(self, n_rows: int) -> int:
        """How many repeats so many rows allow: a row has `n_rows - 1` donors."""
        return min(self.n_repeats, n_rows - 1)

    def compute(self, evaluator: Evaluator, effort: Effort) -> Scores:
        """Scores every feature with the same rows.

        Donors are systematic where each prediction is scored by itself; the mean over the repeats needs
        independent ones, whose spread tells its noise. See `Donors`.

        If the time is too short for all features, it first screens them all with the model's first-order
        approximation, then scores the most urgent ones exactly.
        """
        replacement = self.replacement_for(evaluator)
        work, n_screened = self.affordable_work(evaluator, effort), 0
        if work.n_features < len(evaluator.features):
            n_screened = rows_to_screen(evaluator, effort.seconds / 2)
            left = effort.seconds - seconds_to_screen(evaluator, n_screened)
            # What is scored exactly is what people read: a long screen leaves it its part.
            left = max(left, effort.seconds / 4)
            work = self.affordable_work(evaluator, replace(effort, seconds=left))
        n_features, by_feature = len(evaluator.features), self.scoring is not AVERAGED
        partial = PartialScores(evaluator, replacement, work, n_features, by_feature=by_feature)
        try:
            indices = np.arange(len(evaluator.features))
            if work.n_features < len(indices):
                if n_screened:
                    partial.screen(self.screen_scale, n_screened)
                indices = most_urgent(partial.screened, effort.previous, work.n_features)
            request = replace(partial.request, features=indices)
            with progress_bar(len(indices), self.name, shown=effort.verbose) as bar:
                for scores in evaluator.scores(request, self.scoring):
                    partial.enter(scores)
                    bar.update(len(scores.indices))
        except KeyboardInterrupt:
            reason = "the evaluation was interrupted"
            raise Interrupted(partial.scores(reason, effort.previous)) from None
        all_scores = partial.scores("not scored yet: beyond the time budget so far", effort.previous)
        notes = {**self.notes_of_few_rows(evaluator), **all_scores.notes}
        return replace(all_scores, notes=notes)

    def jointly(
        self, evaluator: Evaluator, sets: Sequence[Sequence[int]], like: ImportanceResult
    ) -> JointImportance:
        """How much the metric worsens when the features of a set are replaced together.

        Args:
            evaluator: the model and the validation rows.
            sets: indices of the features of each set.
            like: a result of this method; the same rows are used again. A set has the donors that it
                would have as a group.

        Raises:
            InvalidArgumentError: for a method with `replaces_sets = False`.
        """
        if not self.replaces_sets:
            raise InvalidArgumentError(
                f"got sets of features for {self.name!r}, which can't replace several by replacing each "
                "of them. Pass the set as a group: features={'pair': [0, 1]}."
            )
        replacement = self.replacement_for(evaluator)
        n_rows, n_repeats = like.n_samples, like.n_repeats
        work = Work(n_rows, n_repeats, len(sets))
        partial = PartialScores(evaluator, replacement, work, len(sets), draws=False)
        for index, indices in enumerate(sets):
            members = np.array(indices, np.int64)
            request = request_of_set(evaluator, replacement, members, n_rows, n_repeats)
            scores = evaluator.scores_of_sets(request, [members], evaluator.baselines.get(like))
            evaluator.baselines[like] = scores.baseline
            partial.enter(replace(scores, indices=np.array([index])), request.donors)
        usual = np.full(len(sets), like.usual_degrees, np.float64)
        return JointImportance(
            sets=tuple(tuple(like.feature_names[i] for i in indices) for indices in sets),
            importances=partial.importances,
            std_error=partial.std_error,
            degrees=usual if partial.degrees is None else partial.degrees,
            explained=partial.explained,
        )

    def notes_of_few_rows(self, evaluator: Evaluator) -> dict[str, str]:
        """For each feature a note if there are too few rows for all repeats."""
        n_rows = evaluator.data.n_rows
        if n_rows > self.n_repeats:
            return {}
        note = f"{n_rows - 1} repeats in place of {self.n_repeats}: there are {n_rows} rows"
        return dict.fromkeys(evaluator.features.names, note)

    def affordable_work(self, evaluator: Evaluator, effort: Effort) -> Work:
        """The numbers of rows, repeats and features that can be scored in `effort.seconds`."""
        n_rows = evaluator.data.n_rows
        full = Work(n_rows, self.repeats_for(n_rows), len(evaluator.features))
        if math.isinf(effort.seconds):
            return full
        n_scores = effort.seconds / seconds_per_score(evaluator, self.scoring)
        return affordable(n_scores, full, takes_part=takes_part(evaluator))
