"""The report as Markdown: a table of the features, which moved, and on which methods disagree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from keras_importance.reporting.summary import summary_line
from keras_importance.reporting.writers.base import EpochReport
from keras_importance.results.disagreements import Finding
from keras_importance.results.drift import Mover, Stability, Transition
from keras_importance.results.result import ImportanceResult
from keras_importance.results.verdict import Verdict, Verdicts

_MAX_TABLE_ROWS = 200
_MAX_MOVERS = 5
_ALWAYS_LISTED = ("useless", "harmful", "redundant", "latent")
_MARKDOWN = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_{}[]()#+!|~<>"})


def report_text(
    report: EpochReport, last: Iterable[Transition], stability: Mapping[str, Stability]
) -> str:
    """The whole report of an epoch.

    Args:
        report: what is known after the epoch.
        last: the step between the last two evaluations of each method.
        stability: how long each method has been stable; methods without an entry have no line on
            movement.
    """
    lines = [table(report.results, report.verdicts)]
    lines += [
        movement(transition, stability[transition.later.method].since)
        for transition in last
        if transition.later.method in stability
    ]
    lines += map(_disagreement, report.history.disagreements())
    if report.cost is not None:
        lines.append(f"\n{summary_line(report.total_cost, report.results)}")
    return "\n".join(lines)


def table(results: Iterable[ImportanceResult], verdicts: Iterable[Verdicts] = ()) -> str:
    """A Markdown table of the features, sorted by their importance in the last of the results.

    With the verdicts of a detector, it gives each feature's state, since which epoch, and the evidence.
    The first 200 features are listed, and all flagged ones.
    """
    results, verdicts = list(results), list(verdicts)
    flagged = {
        name
        for judged in verdicts
        for name, state in zip(judged.feature_names, judged.states, strict=True)
        if state in _ALWAYS_LISTED
    }
    order = np.argsort(np.nan_to_num(results[-1].rank, nan=np.inf), kind="stable")
    ranked = [(rank, int(index)) for rank, index in enumerate(order, start=1)]
    names = results[-1].feature_names
    listed = [
        (rank, index) for rank, index in ranked if rank <= _MAX_TABLE_ROWS or names[index] in flagged
    ]
    shown = {names[index] for _, index in listed}
    by_feature = {
        name: judged.at(index)
        for judged in verdicts
        for index, name in enumerate(judged.feature_names)
        if name in shown
    }
    lines = [_line(cells) for cells in _rows(results, by_feature, listed)]
    if len(order) > len(listed):
        lines.append(f"\n{len(order) - len(listed):,} less important features are not listed.")
    return "\n".join([*lines, *map(_droppable, verdicts)])


def _rows(
    results: Sequence[ImportanceResult],
    verdicts: Mapping[str, Verdict],
    listed: Sequence[tuple[int, int]],
) -> Iterator[list[str]]:
    """The cells of the head, of the rule below it, and of each feature.

    Args:
        results: the results, one column each.
        verdicts: the verdict on each feature, by its name.
        listed: rank and index of each feature to list.
    """
    has_notes = any(result.notes for result in results)
    head = ["rank", "feature", *(f"{result.method} (95% interval)" for result in results)]
    rule = ["---:", "---", *(["---:"] * len(results))]
    if verdicts:
        head, rule = [*head, "verdict", "since epoch", "evidence"], [*rule, "---", "---:", "---"]
    yield [*head, "note"] if has_notes else head
    yield [*rule, "---"] if has_notes else rule
    indices = [index for _, index in listed]
    columns = [_importance_cells(result, indices) for result in results]
    for rank, index in listed:
        name = results[-1].feature_names[index]
        cells = [str(rank), _escaped(name), *(column[index] for column in columns)]
        if verdicts:
            cells += _verdict_cells(verdicts[name])
        if has_notes:
            notes = (result.notes[name] for result in results if name in result.notes)
            cells.append(_escaped("; ".join(notes)))
        yield cells


def _importance_cells(result: ImportanceResult, indices: Iterable[int]) -> dict[int, str]:
    """For each of the features its importance, with the interval or how it was approximated."""
    # Computed once: each of these goes over all features.
    means, lows, highs = result.importances_mean, result.ci_low, result.ci_high
    cells = {}
    for index in indices:
        mean = means[index]
        if not np.isfinite(mean):
            cells[index] = "none"
        elif result.obtained[index] != "exact":
            epoch = result.exact_epoch[index]
            since = "" if np.isnan(epoch) else f", exact in epoch {int(epoch)}"
            cells[index] = f"{mean:.4g} ({result.obtained[index]}{since})"
        elif not np.isfinite(result.std_error[index]):
            cells[index] = f"{mean:.4g}"
        else:
            cells[index] = f"{mean:.4g} ({lows[index]:.4g} to {highs[index]:.4g})"
    return cells


def _verdict_cells(verdict: Verdict) -> list[str]:
    """The state, the epoch since when, and the evidence."""
    since = "" if verdict.since is None else str(verdict.since)
    state = verdict.state if verdict.partner is None else f"{verdict.state} with {verdict.partner}"
    if verdict.state == "undecided":
        return [state, since, _escaped(verdict.reason)]
    side = "above" if verdict.state == "useful" else "below"
    evidence = f"{side} {verdict.bound:.3g}"
    if np.isfinite(verdict.p_value):
        evidence += f"; unlearned signal: p = {verdict.p_value:.2g}"
    return [_escaped(state), since, evidence]


def _droppable(verdicts: Verdicts) -> str:
    """A line on the features that may be dropped together, with the error rate."""
    if not np.isfinite(verdicts.threshold):
        return "\nMay be dropped together: none, as no feature could be judged."
    names = ", ".join(map(_escaped, verdicts.useless[:_MAX_TABLE_ROWS])) or "none"
    return (
        f"\nMay be dropped together: {names}. Chance that any is wrongly called useless in this "
        f"training: {verdicts.error_rate:.0%} at most; a feature is useless below "
        f"{verdicts.threshold:.3g}."
    )


def movement(transition: Transition, stable_since: int | None) -> str:
    """A line on the features that moved since the evaluation before, largest change first."""
    movers = list(transition.movers())
    rising = _moved("rises", [mover for mover in movers if mover.direction == "riser"])
    falling = _moved("falls", [mover for mover in movers if mover.direction == "faller"])
    moved = "; ".join(filter(None, (rising, falling))) or "no feature by more than noise"
    stable = "" if stable_since is None else f" Stable since epoch {stable_since}."
    method, epoch = _escaped(transition.later.method), transition.earlier.epoch
    return f"\n{method} since epoch {epoch}: {moved}.{stable}"


def _moved(how: str, movers: Sequence[Mover]) -> str:
    if not movers:
        return ""
    furthest = sorted(movers, key=lambda mover: -abs(mover.change))[:_MAX_MOVERS]
    names = [f"{_escaped(mover.feature)} ({mover.change:+.3g})" for mover in furthest]
    more = f" and {len(movers) - _MAX_MOVERS} more" if len(movers) > _MAX_MOVERS else ""
    return f"{how} {', '.join(names)}{more}"


def _disagreement(finding: Finding) -> str:
    """A line on a feature on which the gradient and the loss disagree."""
    return (
        f"\n{_escaped(finding.feature)}: {finding.reason} (gradient {finding.gradient:.3g}, that of "
        f"useful features {finding.usual_gradient:.3g}; importance {finding.ci_low:.3g} to "
        f"{finding.ci_high:.3g})."
    )


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    """The text as data: no Markdown, no HTML, no line breaks."""
    return " ".join(text.split()).translate(_MARKDOWN)
