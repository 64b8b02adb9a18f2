"""Which features fell after epoch 20, and significantly? What it takes to see it, in three dashboards.

A browser is driven by real clicks, keys, wheel turns and pointer moves, each of them counted, through the
shortest way that each dashboard offers from TensorBoard's first page on. What the dashboard then shows is
read off the screen and compared with the truth. The logs are synthetic and written by the package's own
writer: 100 features, 30 epochs, eight features fall after epoch 20. Seconds are those of a script; a person
also reads.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_importance import ImportanceHistory, ImportanceResult, TensorBoardWriter
from keras_importance.reporting.writers import EpochReport

sys.path.insert(0, str(Path(__file__).parent.parent / "browser"))

import browsing  # type: ignore[import-not-found]  # found by the path above
from selenium.webdriver import ActionChains
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

N_FEATURES, N_EPOCHS, SINCE = 100, 30, 20
NAMES = tuple(f"feature_{number}" for number in range(N_FEATURES))
FALLEN = frozenset(NAMES[1:48:6])

# The stock dashboards show all importances of a method, and no other chart, where tags match this.
_FILTER = "permutation/"
# A turn of the wheel, in pixels: a part of each screen is seen twice, so that nothing falls between two.
_TURN = 420
_MIDDLE = (700, 450)
_MAX_TURNS = 200
_MAX_TRIES = 40
_SECONDS_FOR_TABLES = 3
_CARDS = "scalar-card, tf-scalar-card, .ranking .row"

# The old dashboard lies in shadow roots. Visible elements that match, in the order of the page.
_DEEP = """
const found = [];
const walk = (root) => {
  for (const one of root.querySelectorAll('*')) {
    if (one.matches(arguments[0]) && one.getClientRects().length) found.push(one);
    if (one.shadowRoot) walk(one.shadowRoot);
  }
};
walk(document);
return found;
"""


@dataclass
class Hand:
    """A person's hand on mouse and keyboard, which counts what it does."""

    driver: Any
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("clicks", "keys", "turns of the wheel", "pointed at"), 0)
    )

    def click(self, element: Any) -> None:
        """A click of the mouse, where the element is."""
        self.counts["clicks"] += 1
        element.click()

    def type(self, text: str) -> None:
        """One key after another, into what was clicked last."""
        self.counts["keys"] += len(text)
        ActionChains(self.driver).send_keys(text).perform()

    def select_all(self) -> None:
        """Control and A."""
        self.counts["keys"] += 2
        ActionChains(self.driver).key_down(Keys.CONTROL).send_keys("a").key_up(Keys.CONTROL).perform()

    def turn(self, direction: int = 1) -> bool:
        """Turns the wheel by most of a screen, downwards for 1; whether anything moved."""
        self.counts["turns of the wheel"] += 1
        if self.counts["turns of the wheel"] > _MAX_TURNS:
            raise TimeoutError("The wheel was turned again and again, and something was not seen.")
        before = self.tops()
        origin = ScrollOrigin.from_viewport(*_MIDDLE)
        ActionChains(self.driver).scroll_from_origin(origin, 0, direction * _TURN).perform()
        return self.tops() != before

    def tops(self) -> list[float]:
        """Where the cards are once they are at rest: Chromium scrolls smoothly."""
        code = _DEEP.replace(
            "return found", "return found.map((one) => one.getBoundingClientRect().top)"
        )
        before, now = None, self.driver.execute_script(code, _CARDS)
        while before != now:
            time.sleep(0.15)
            before, now = now, self.driver.execute_script(code, _CARDS)
        return now  # type: ignore[no-any-return]  # what a script returns is untyped


def pointing(driver: Any, element: Any, right: int) -> None:
    """Moves the pointer, uncounted."""
    ActionChains(driver, duration=20).move_to_element_with_offset(element, right, 0).perform()


@dataclass(frozen=True)
class Answer:
    """What a dashboard shows.

    Attributes:
        fell: the features that it shows to have fallen.
        significant: of those, the ones that it shows to have fallen by more than noise; None where
            nothing of the kind is shown.
    """

    fell: frozenset[str]
    significant: frozenset[str] | None


# --- the three dashboards -----------------------------------------------------------------------


def importance(hand: Hand) -> Answer:
    """The tab of this package."""
    hand.click(header_tab(hand, "IMPORTANCE"))
    tab = browsing.Tab(hand.driver, "")
    tab.enter()
    hand.click(tab.find("#since"))
    hand.click(tab.find(f"#since option[value='{SINCE}']"))
    fell = tab.find("[data-moved='fell']")
    hand.click(fell)
    tab.settle()
    n_fell = int(re.findall(r"\d+", fell.text)[0])
    marked: set[str] = set()
    while True:
        rows = hand.driver.execute_script(_ROWS_IN_VIEW)
        marked |= {name for name, change in rows if change.startswith("▼")}
        if len(marked) == n_fell:
            return Answer(frozenset(marked), frozenset(marked))
        hand.turn()
        tab.settle()


_ROWS_IN_VIEW = """
const box = document.querySelector('.ranking .rows').getBoundingClientRect();
const top = (one) => one.getBoundingClientRect().top;
return [...document.querySelectorAll('.ranking .row')]
  .filter((one) => top(one) >= box.top - 1 && one.getBoundingClientRect().bottom <= box.bottom + 1)
  .sort((a, b) => top(a) - top(b))
  .map((one) => [one.querySelector('.name').innerText, one.querySelector('.change').innerText]);
"""


def time_series(hand: Hand) -> Answer:
    """TensorBoard's first page: charts with a table of the values at both ends of a range of steps."""
    driver = hand.driver
    hand.click(until(lambda: driver.find_element(By.CSS_SELECTOR, "metrics-tag-filter input")))
    hand.type(_FILTER)
    show_all_on_one_page(hand)
    for label in ("Enable Range Selection", "Link by step"):
        boxes = driver.find_elements(By.CSS_SELECTOR, "mat-checkbox")
        hand.click(next(one for one in boxes if label in one.text).find_element(By.TAG_NAME, "input"))
    hand.click(until(lambda: driver.find_element(By.CSS_SELECTOR, ".startFob [aria-label='Edit step']")))
    hand.select_all()
    hand.type(f"{SINCE}{Keys.ENTER}")
    changes: dict[str, float] = {}
    direction = 1
    while True:
        changes |= tables_in_view(driver)
        if len(changes) == N_FEATURES:
            break
        # Some cards stay empty until they are scrolled out of view and back again.
        if not hand.turn(direction):
            direction = -direction
    return Answer(frozenset(name for name, change in changes.items() if change < 0), None)


def tables_in_view(driver: Any) -> dict[str, float]:
    """The change that each table in view, at the foot of its card, shows; waits until they are filled."""
    end = time.monotonic() + _SECONDS_FOR_TABLES
    while True:
        texts = driver.execute_script(
            "return [...document.querySelectorAll('scalar-card')].map((one) => [one, one.getBoundingClientRect()])"
            ".filter(([, box]) => box.height && box.bottom > 220 && box.bottom - 60 < innerHeight)"
            ".map(([one]) => one.innerText)"
        )
        found = {}
        for text in texts:
            name = re.search(r"/\s*(feature_\d+)", text)
            row = re.search(rf"importance\s+{_NUMBER * 4}", text.replace(",", ""))
            if name and row and f"\n{SINCE}\n{N_EPOCHS - 1}" in text:
                _, _, start, last = map(number, row.groups())
                found[name[1]] = last - start
        if len(found) == len(texts) or time.monotonic() > end:
            return found
        time.sleep(0.05)


_NUMBER = r"(\S+)\s+"
_TOOLTIP = rf"importance\s+{_NUMBER}{_NUMBER}(\d+)"


def number(text: str) -> float:
    """A number, whatever is taken for the minus sign."""
    return float(text.replace("\u2212", "-"))


def scalars(hand: Hand) -> Answer:
    """The older dashboard: charts whose values are read by pointing at them."""
    driver = hand.driver
    hand.click(header_tab(hand, "SCALARS"))
    hand.click(until(lambda: deep(driver, "tf-tag-filterer")[0]))
    hand.type(_FILTER)
    show_all_on_one_page(hand)
    # A chart tells nothing of points that it takes for outliers.
    boxes = deep(driver, "paper-checkbox")
    hand.click(next(one for one in boxes if "Ignore outliers" in one.text))
    changes: dict[str, float] = {}
    place = 0
    while len(changes) < N_FEATURES:
        for name, chart in charts_in_view(driver):
            if name not in changes:
                before, place = read_off(hand, chart, SINCE, place)
                now, _ = read_off(hand, chart, N_EPOCHS - 1, int(chart.rect["width"]) // 2 - 8)
                changes[name] = now - before
        if len(changes) < N_FEATURES:
            hand.turn()
    return Answer(frozenset(name for name, change in changes.items() if change < 0), None)


def charts_in_view(driver: Any) -> list[tuple[str, Any]]:
    """Names and charts of the cards that are wholly in view, once they are drawn."""

    def drawn() -> list[tuple[str, Any]]:
        cards = driver.execute_script(
            "return arguments[0].map((one) => [one, one.getBoundingClientRect()])"
            ".filter(([, box]) => box.top >= 64 && box.bottom <= innerHeight)"
            ".map(([one]) => [one.tag, one.shadowRoot.querySelector('tf-line-chart-data-loader')])",
            deep(driver, "tf-scalar-card"),
        )
        return [
            (tag.rpartition("/")[2], chart)
            for tag, chart in cards
            if tag.startswith("importance_permutation")
        ]

    return until(drawn)  # type: ignore[no-any-return]  # what a browser returns is untyped


def read_off(hand: Hand, chart: Any, step: int, guess: int) -> tuple[float, int]:
    """The value that the chart tells at a step, and how far right of its middle that is.

    A person sees the place on the axis, so what it takes to find it isn't counted.
    """
    for _ in range(_MAX_TRIES):
        pointing(hand.driver, chart, guess)
        time.sleep(0.1)
        found = tooltip(hand.driver)
        if found is not None and found[0] == step:
            hand.counts["pointed at"] += 1
            return found[1], guess
        if found is None:
            # A chart that is still empty tells nothing until the pointer moves again.
            guess += 1 if guess % 2 else -1
            continue
        guess += round((step - found[0]) * chart.rect["width"] / (1.3 * N_EPOCHS))
        guess = min(guess, int(chart.rect["width"]) // 2 - 8)
    raise TimeoutError(f"The chart shows no step {step}.")


def tooltip(driver: Any) -> tuple[int, float] | None:
    """Step and value of the tooltip."""
    for one in deep(driver, "vz-line-chart-tooltip"):
        # Those of other charts are still there, transparent.
        if one.is_displayed() and (found := re.search(_TOOLTIP, one.text)):
            return int(found[3]), number(found[2])
    return None


# --- what they share ----------------------------------------------------------------------------


def header_tab(hand: Hand, title: str) -> Any:
    """The button of a dashboard in TensorBoard's header."""
    tabs = "plugin-selector [role='tab']"
    return until(
        lambda: next(
            one for one in hand.driver.find_elements(By.CSS_SELECTOR, tabs) if one.text.strip() == title
        )
    )


def show_all_on_one_page(hand: Hand) -> None:
    """Raises TensorBoard's limit of 12 charts a page: fewer clicks than turning eight pages."""
    hand.click(hand.driver.find_element(By.CSS_SELECTOR, "settings-button button"))
    until(lambda: hand.driver.find_element(By.CSS_SELECTOR, "input.page-size"))
    time.sleep(1)  # The dialogue takes no keys until it is wholly open.
    hand.click(hand.driver.find_element(By.CSS_SELECTOR, "input.page-size"))
    hand.select_all()
    hand.type(f"{N_FEATURES}")
    time.sleep(1)  # It takes half a second until TensorBoard believes what was typed.
    hand.type(Keys.ESCAPE)
    until(lambda: not hand.driver.find_elements(By.CSS_SELECTOR, "input.page-size"))


def deep(driver: Any, selector: str) -> list[Any]:
    """Visible elements, those in shadow roots included."""
    return driver.execute_script(_DEEP, selector)  # type: ignore[no-any-return]  # what a script returns is untyped


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """The first true value."""
    end = time.monotonic() + seconds
    while True:
        try:
            if found := condition():
                return found
        except Exception:
            if time.monotonic() > end:
                raise
        if time.monotonic() > end:
            raise TimeoutError(f"Nothing after {seconds:.0f} s.")
        time.sleep(0.02)


# --- the logs and the truth ---------------------------------------------------------------------


def results() -> Iterator[ImportanceResult]:
    """Half of the features matter, eight of them fall; errors of the same rows are alike in all epochs."""
    rng = np.random.default_rng(0)
    strength = np.where(np.arange(N_FEATURES) < N_FEATURES // 2, rng.uniform(0.3, 2.0, N_FEATURES), 0.0)
    falls = np.isin(NAMES, sorted(FALLEN))
    error = 0.02 + 0.03 * np.sqrt(strength)
    rows = rng.standard_normal(N_FEATURES)
    for epoch in range(N_EPOCHS):
        grown = 1 - np.exp(-(epoch + 1) / 4)
        left = np.where(falls, 1 - 0.6 * max(0, epoch - SINCE) / (N_EPOCHS - 1 - SINCE), 1.0)
        noise = 0.9 * rows + 0.43 * rng.standard_normal(N_FEATURES)
        mean = strength * grown * left + error * noise
        yield ImportanceResult(
            method="permutation",
            epoch=epoch,
            feature_names=NAMES,
            importances=mean[:, None],
            std_error=error,
            baseline_score=1.0,
            metric="loss",
            n_samples=1000,
        )


def significant(found: Sequence[ImportanceResult]) -> frozenset[str]:
    """The features that fell by more than the errors of both epochs, as if they were independent."""
    before, now = found[SINCE], found[-1]
    errors = [(one.ci_high - one.ci_low) / 2 for one in (before, now)]
    is_fallen = before.importances_mean - now.importances_mean > np.hypot(*errors)
    return frozenset(name for name, fell in zip(NAMES, is_fallen, strict=True) if fell)


def main() -> None:
    """Prints the table."""
    found = list(results())
    with tempfile.TemporaryDirectory() as logs:
        writer = TensorBoardWriter(logs)
        for result in found:
            writer.write(
                EpochReport(result.epoch or 0, ImportanceHistory((result,)), 1.0, with_pictures=False)
            )
        writer.close()
        with browsing.tensorboard(Path(logs)) as address:
            rows = [
                (title, *asked(address, dashboard))
                for title, dashboard in (
                    ("tab Importance", importance), ("Time Series", time_series), ("Scalars", scalars),
                )
            ]  # fmt: skip
    n_fallen = len(FALLEN)
    print(
        f"{n_fallen} of {N_FEATURES} features fell after epoch {SINCE}; by the event files, "
        f"{len(significant(found) & FALLEN)} of them and {len(significant(found) - FALLEN)} others fell "
        "significantly.\n"
    )
    counts = list(Hand(None).counts)
    print(
        f"| dashboard | {' | '.join(counts)} | seconds | shown as fallen | shown as significant | right |"
    )
    print(f"|---|{'---:|' * (len(counts) + 3)}---|")
    for title, hand, seconds, answer in rows:
        cells = [*map(str, hand.counts.values()), f"{seconds:.1f}", str(len(answer.fell))]
        marked = answer.significant
        right = f"{len((answer.fell if marked is None else marked) & FALLEN)} of {n_fallen}"
        wrong = len((answer.fell if marked is None else marked) - FALLEN)
        shown = "not shown" if marked is None else str(len(marked))
        print(f"| {title} | {' | '.join(cells)} | {shown} | {right}, and {wrong} wrong |")


def asked(address: str, dashboard: Callable[[Hand], Answer]) -> tuple[Hand, float, Answer]:
    """What the hand did, for how long, and what it found; each time in a new browser, on the first page."""
    with browsing.chromium() as driver:
        driver.get(address)
        hand = Hand(driver)
        until(lambda: driver.find_elements(By.CSS_SELECTOR, "scalar-card"))
        started = time.perf_counter()
        answer = dashboard(hand)
        return hand, time.perf_counter() - started, answer


if __name__ == "__main__":
    main()
