"""Takes the pictures of the tab for the README: runs the quickstart, opens the tab, saves each view.

python tests/browser/screenshots.py [FOLDER]        (docs/screenshots by default)
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import browsing

ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT, SCALE = 1280, 900, 1.5

# What each picture shows: the state in the address, and whether in the dark.
PICTURES = {
    "ranking": ({}, False),
    "drift": ({"view": "drift"}, False),
    "over_epochs": ({"view": "epochs"}, False),
    "verdicts": ({"view": "verdicts"}, False),
    "compare": ({"view": "compare"}, False),
    "ranking_dark": ({}, True),
    "drift_dark": ({"view": "drift"}, True),
}


def main() -> None:
    """Trains twice, so that there is something to compare, and takes the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "docs" / "screenshots")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as logs:
        for name, epochs in (("quickstart", "20"), ("longer", "40")):
            train(Path(logs) / name, epochs)
        with (
            browsing.tensorboard(Path(logs)) as address,
            browsing.chromium(WIDTH, HEIGHT, SCALE) as driver,
        ):
            tab = browsing.Tab(driver, address)
            for name, (state, is_dark) in PICTURES.items():
                tab.open(run="quickstart/importance", **state)
                tab.dark(is_dark)
                tab.wait(lambda: "Reading" not in tab.find("main").text)
                tab.wait(lambda: tab.find(".epoch-label").text == "epoch 19 of 19")
                tab.settle()
                driver.switch_to.default_content()
                driver.save_screenshot(str(folder / f"{name}.png"))
                print(folder / f"{name}.png")  # noqa: T201 (what a script did)


def train(log_dir: Path, epochs: str) -> None:
    """Runs the example as the README says."""
    script = ROOT / "examples" / "quickstart.py"
    command = [sys.executable, str(script), "--log-dir", str(log_dir), "--epochs", epochs]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
