"""How fast is the tab "Importance"? First paint and the latency of each interaction, in Chromium.

The logs are synthetic and written by the package's own writer. The first table starts its clock when the
frame of the tab starts to load; TensorBoard itself has loaded then, and has read the logs. Latencies run
from the event until the frame after the one that draws it, what is read from the server for it included.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_importance import ImportanceHistory, ImportanceResult, TensorBoardWriter
from keras_importance.reporting.writers import EpochReport
from keras_importance.results import Verdicts

sys.path.insert(0, str(Path(__file__).parent.parent / "browser"))

import browsing  # type: ignore[import-not-found]  # found by the path above

SIZES = ((100, 100), (1000, 200))
N_STEPS = 24
N_TIMES = 15

# Each is run several times with k = 0, 1, ...; views are switched to before the clock starts.
INTERACTIONS = {
    "ranking: epoch slider": ("ranking", "slide(k)"),
    "ranking: search, one letter": ("ranking", "type('#search', 'feature_' + (k % 10))"),
    "ranking: sort": ("ranking", "press(`[data-sort='${['name', 'change', 'permutation'][k % 3]}']`)"),
    "ranking: methods": ("ranking", "press(`[data-method='${['gradient', 'permutation'][k % 2]}']`)"),
    "ranking: scroll": ("ranking", "scroll('.ranking .rows', k)"),
    "ranking: pick a feature": ("ranking", "press('.row input')"),
    "drift: open": ("", "press(k % 2 ? '#tab-ranking' : '#tab-drift')"),
    "drift: pointer over the lines": ("drift", "move('.lines', k)"),
    "drift: epoch slider": ("drift", "slide(k)"),
    "over epochs: open": ("", "press(k % 2 ? '#tab-ranking' : '#tab-epochs')"),
    "over epochs: pointer over the map": ("epochs", "move('.map canvas', k)"),
    "over epochs: epoch slider (sorts anew)": ("epochs", "slide(k)"),
    "time steps: epoch slider (reads from the server)": (
        "steps",
        "slide(k), until(() => find('.steps-map .note').innerText.includes(`epoch ${epoch()},`))",
    ),
    "compare: open": ("", "press(k % 2 ? '#tab-ranking' : '#tab-compare')"),
    "compare: epoch slider": ("compare", "slide(k)"),
    "verdicts: open": ("", "press(k % 2 ? '#tab-ranking' : '#tab-verdicts')"),
    "verdicts: filter": ("verdicts", "press(`.filters [data-state='useful']`)"),
    "dark and light": ("ranking", "window.parent.document.body.classList.toggle('dark-mode')"),
}

ACTIONS = """
const done = arguments[arguments.length - 1];
const [code, k] = arguments;
const find = (selector) => [...document.querySelectorAll(selector)].find((one) => one.offsetParent !== null);
const tell = (element, type) => element.dispatchEvent(new Event(type, {bubbles: true}));
const press = (selector) => find(selector).click();
const type = (selector, text) => { find(selector).value = text; tell(find(selector), 'input'); };
const slide = (k) => { const one = find('#epoch'); one.value = (7 + 13 * k) % one.max; tell(one, 'input'); };
const scroll = (selector, k) => { find(selector).scrollTop = (k % 7) * 311; };
const move = (selector, k) => {
  const box = find(selector).getBoundingClientRect();
  find(selector).dispatchEvent(new MouseEvent('mousemove', {
    bubbles: true, clientX: box.left + 100 + 31 * k, clientY: box.top + 60 + 7 * k}));
};
const frame = () => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
const epoch = () => Number(find('.epoch-label').innerText.split(' ')[1]);
const until = async (isDone) => { do { await frame(); } while (!isDone()); };
const start = performance.now();
Promise.resolve(eval(code)).then(frame).then(() => setTimeout(() => done(performance.now() - start)));
"""


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small log directory, three times each")
    arguments = parser.parse_args()
    sizes, n_times = (((20, 10),), 3) if arguments.quick else (SIZES, N_TIMES)
    paints, latencies = [], []
    version = ""
    for size in sizes:
        with tempfile.TemporaryDirectory() as logs:
            for seed in range(2):
                write_logs(Path(logs) / f"run-{seed + 1}", *size, seed)
            with browsing.tensorboard(Path(logs)) as address, browsing.chromium() as driver:
                driver.set_script_timeout(60)
                version = driver.capabilities["browserVersion"]
                tab = browsing.Tab(driver, address)
                wait_for_all_epochs(tab, size[1])
                paints.append([first_paint(tab) for _ in range(n_times)])
                latencies.append({name: list(measured(tab, name, n_times)) for name in INTERACTIONS})
    print(
        f"Chromium {version}, {platform.machine()}, {os.cpu_count()} cores, median (maximum) of {n_times}\n"
    )
    labels = [f"{features:,} features x {epochs:,} epochs" for features, epochs in sizes]
    print(f"| first paint, s | {' | '.join(labels)} |\n|---|{'---:|' * len(sizes)}")
    for place, name in enumerate(("the frame of the tab", "TensorBoard's page, the frame included")):
        cells = [summary([one[place] for one in found], 2) for found in paints]
        print(f"| {name} | {' | '.join(cells)} |")
    print(f"\n| interaction, ms | {' | '.join(labels)} |\n|---|{'---:|' * len(sizes)}")
    for name in INTERACTIONS:
        print(f"| {name} | {' | '.join(summary(found[name], 0) for found in latencies)} |")


def summary(values: list[float], digits: int) -> str:
    """Median and maximum."""
    return f"{statistics.median(values):.{digits}f} ({max(values):.{digits}f})"


def wait_for_all_epochs(tab: Any, n_epochs: int) -> None:
    """TensorBoard reads the logs in the background."""
    tab.open()
    end = time.monotonic() + 120
    while f"of {n_epochs - 1}" not in tab.find(".epoch-label").text:
        if time.monotonic() > end:
            raise TimeoutError(f"TensorBoard has not read all {n_epochs} epochs")
        time.sleep(1)


def first_paint(tab: Any) -> tuple[float, float]:
    """Seconds from the start of the frame, and of the whole page, until the ranking is drawn."""
    tab.open()
    tab.settle()
    drawn, frame, page = tab.script(
        "const drawn = performance.getEntriesByName('drawn')[0].startTime;"
        "return [drawn, performance.timeOrigin, window.parent.performance.timeOrigin]"
    )
    return drawn / 1000, (frame + drawn - page) / 1000


def measured(tab: Any, name: str, n_times: int) -> Iterator[float]:
    """Milliseconds of an interaction, again and again."""
    view, code = INTERACTIONS[name]
    tab.open(view=view or "ranking")
    time.sleep(0.5)
    for k in range(n_times):
        yield tab.driver.execute_async_script(ACTIONS, code, k)
        time.sleep(0.05)


def write_logs(directory: Path, n_features: int, n_epochs: int, seed: int) -> None:
    """A training in which some features rise, some fall, and half of them mean nothing."""
    rng = np.random.default_rng(seed)
    strength = np.sort(rng.gamma(0.5, 1.0, n_features))[::-1]
    strength[n_features // 2 :] = 0
    names = tuple(f"feature_{number}" for number in range(n_features))
    writer = TensorBoardWriter(directory)
    for epoch in range(n_epochs):
        grown = 1 - np.exp(-(epoch + 1) / (3 + n_epochs * np.linspace(0.02, 0.3, n_features)))
        fallen = np.where(np.arange(n_features) % 7 == 3, np.exp(-max(0, epoch - 20) / 25), 1.0)
        error = 0.02 + 0.03 * np.sqrt(strength * grown)
        mean = strength * grown * fallen + 0.4 * error * rng.standard_normal(n_features)
        by_step = np.abs(mean) * np.linspace(0.2, 1.0, N_STEPS)[:, None]
        results = (
            ImportanceResult(
                method="gradient", epoch=epoch, feature_names=names, importances=np.abs(mean)[:, None], std_error=error, baseline_score=np.nan, metric="output", n_samples=1000,
                by_step=by_step,
            ),
            ImportanceResult(method="permutation", epoch=epoch, feature_names=names, importances=mean[:, None], std_error=error, baseline_score=1.0, metric="loss", n_samples=1000),
        )  # fmt: skip
        judged = _judged(epoch, results[1])
        history = ImportanceHistory(results, (judged,))
        writer.write(EpochReport(epoch, history, 1.0, with_pictures=epoch == n_epochs - 1))
    writer.close()


def _judged(epoch: int, result: ImportanceResult) -> Verdicts:
    low, high = result.ci_low, result.ci_high
    states = np.where(low > 0.05, "useful", np.where(high < 0.12, "useless", "undecided"))
    size = len(states)
    return Verdicts(
        epoch, "permutation", result.feature_names, tuple(map(str, states)), np.full(size, epoch),
        result.importances_mean, np.where(states == "useful", low, high), 0.1, 0.05,
        np.ones(size, int), np.where(states == "useless", 0.4, np.nan),
    )  # fmt: skip


if __name__ == "__main__":
    main()
