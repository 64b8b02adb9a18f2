"""The report as Markdown: a table of the features, who moved, and what methods disagree on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_importance.results.disagreements import Finding
from keras_importance.results.drift import Mover, Transition
from keras_importance.results.result import ImportanceResult
from keras_importance.results.verdict import Verdict, Verdicts

if TYPE_CHECKING:
    pass

_MAX_TABLE_ROWS = 200
_MAX_MOVERS = 5
_ALWAYS_LISTED = ("useless", "harmful", "redundant", "latent")
_MARKDOWN = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_{}[]()#+!|~<>"})


def movement(step: Transition, stable_since: int | None) -> str:
    """A line on the features that moved since the evaluation before, those that moved furthest first."""
    movers = list(step.movers())
    rising = _moved("rises", [one for one in movers if one.direction == "riser"])
    falling = _moved("falls", [one for one in movers if one.direction == "faller"])
    moved = "; ".join(filter(None, (rising, falling))) or "no feature by more than noise"
    stable = "" if stable_since is None else f" Stable since epoch {stable_since}."
    return f"\n{_escaped(step.later.method)} since epoch {step.earlier.epoch}: {moved}.{stable}"


def _moved(how: str, movers: Sequence[Mover]) -> str:
    if not movers:
        return ""
    furthest = sorted(movers, key=lambda one: -abs(one.change))
    names = [f"{_escaped(one.feature)} ({one.change:+.3g})" for one in furthest[:_MAX_MOVERS]]
    more = f" and {len(movers) - _MAX_MOVERS} more" if len(movers) > _MAX_MOVERS else ""
    return f"{how} {', '.join(names)}{more}"


def finding_line(finding: Finding) -> str:
    """What the gradient and the loss disagree on."""
    return (
        f"\n{_escaped(finding.feature)}: {finding.reason} (gradient {finding.gradient:.3g}, that of "
        f"useful features {finding.usual_gradient:.3g}; importance {finding.ci_low:.3g} to "
        f"{finding.ci_high:.3g})."
    )


def table(results: Iterable[ImportanceResult], verdicts: Iterable[Verdicts] = ()) -> str:
    """A Markdown table of the features, by their importance for the last of the methods.

    With the verdicts of one detector it says of each feature what it is, since when and on what
    evidence; flagged features are listed even where there are too many others.
    """
    results, judged = list(results), list(verdicts)
    judgements = {verdict.feature: verdict for one in judged for verdict in one}
    leading = results[-1]
    order = np.argsort(np.nan_to_num(leading.rank, nan=np.inf), kind="stable")
    is_shown = np.arange(len(order)) < _MAX_TABLE_ROWS
    is_shown |= [
        leading.feature_names[row] in judgements
        and judgements[leading.feature_names[row]].state in _ALWAYS_LISTED
        for row in order
    ]
    shown = [(place, int(row)) for place, row in enumerate(order, start=1) if is_shown[place - 1]]
    with_notes = any(one.notes for one in results)
    head = ["rank", "feature", *(f"{one.method} (95% interval)" for one in results)]
    rules = ["---:", "---", *(["---:"] * len(results))]
    if judged:
        head, rules = [*head, "verdict", "since epoch", "evidence"], [*rules, "---", "---:", "---"]
    lines = [
        _line([*head, "note"] if with_notes else head),
        _line([*rules, "---"] if with_notes else rules),
    ]
    numbers = [_numbers(one) for one in results]
    for place, row in shown:
        name = leading.feature_names[row]
        cells = [str(place), _escaped(name), *(column[row] for column in numbers)]
        if judged:
            cells += _judgement(judgements[name])
        if with_notes:
            cells.append(_escaped("; ".join(one.notes[name] for one in results if name in one.notes)))
        lines.append(_line(cells))
    if len(order) > len(shown):
        lines.append(f"\n{len(order) - len(shown):,} less important features are not listed.")
    for one in judged:
        names = ", ".join(map(_escaped, one.useless[:_MAX_TABLE_ROWS])) or "none"
        lines.append(
            f"\nMay be dropped together: {names}. Chance that any is wrongly called useless in this "
            f"training: {one.error_rate:.0%} at most; a feature is useless below {one.threshold:.3g}."
        )
    return "\n".join(lines)


def _judgement(verdict: Verdict) -> list[str]:
    """Cells for the state, since when, and why."""
    since = "" if verdict.since is None else str(verdict.since)
    state = verdict.state if verdict.partner is None else f"{verdict.state} with {verdict.partner}"
    if verdict.state == "undecided":
        return [state, since, _escaped(verdict.reason)]
    side = "above" if verdict.state == "useful" else "below"
    evidence = f"{side} {verdict.bound:.3g}"
    if np.isfinite(verdict.p_value):
        evidence += f"; unlearned signal: p = {verdict.p_value:.2g}"
    return [_escaped(state), since, evidence]


def _numbers(result: ImportanceResult) -> list[str]:
    """A cell for each feature."""
    # Computed once: each of these goes over all features.
    means, lows, highs = result.importances_mean, result.ci_low, result.ci_high
    cells = []
    for row, mean in enumerate(means):
        if not np.isfinite(mean):
            cells.append("none")
        elif result.obtained[row] != "exact":
            epoch = result.exact_epoch[row]
            since = "" if np.isnan(epoch) else f", exact in epoch {int(epoch)}"
            cells.append(f"{mean:.4g} ({result.obtained[row]}{since})")
        elif not np.isfinite(result.std_error[row]):
            cells.append(f"{mean:.4g}")
        else:
            cells.append(f"{mean:.4g} ({lows[row]:.4g} to {highs[row]:.4g})")
    return cells


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    """The text as data: no Markdown, no HTML, no line breaks."""
    return " ".join(text.split()).translate(_MARKDOWN)
