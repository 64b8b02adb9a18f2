"""A real TensorBoard and a real Chromium: found, started and ended again."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

MISSING = "no chromium and chromedriver here: apt-get install chromium chromium-driver"
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--force-color-profile=srgb", "--disable-dev-shm-usage",
)  # fmt: skip
_PREFIX = "p.keras_importance."
_PATIENCE = 30


def programs() -> tuple[str, str] | None:
    """Where the browser and its driver are; None where one of them is missing."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


@contextlib.contextmanager
def tensorboard(logdir: Path, *arguments: str, prefix: str = "") -> Iterator[str]:
    """The address of a TensorBoard that serves the directory."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir), "--port", str(port),
        "--host", "127.0.0.1", "--reload_interval", "1", *arguments,
    ]  # fmt: skip
    if prefix:
        command += ["--path_prefix", prefix]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}{prefix}/"
    try:
        _wait_for(f"{address}data/plugins_listing")
        yield address
    finally:
        process.terminate()
        process.wait(timeout=_PATIENCE)


def _wait_for(address: str) -> None:
    end = time.monotonic() + 2 * _PATIENCE
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()  # noqa: S310 (our own server)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return


@contextlib.contextmanager
def chromium(width: int = 1440, height: int = 900, scale: float = 1.0) -> Iterator[Any]:
    """A browser without a window, with an empty profile."""
    found = programs()
    if found is None:
        raise FileNotFoundError(MISSING)
    options = webdriver.ChromeOptions()
    options.binary_location = found[0]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*_FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
            options.add_argument(flag)
        options.add_argument(f"--force-device-scale-factor={scale}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(found[1]))
        try:
            yield driver
        finally:
            driver.quit()


class Tab:
    """The tab "Importance" of a TensorBoard, in a browser."""

    def __init__(self, driver: Any, address: str) -> None:
        self.driver = driver
        self.address = address

    def open(self, **state: str) -> None:
        """Opens the tab anew with a state in its address, and waits until it shows a run."""
        parts = [f"{_PREFIX}{key}={quote(value, safe='')}" for key, value in state.items()]
        self.visit("&".join([f"{self.address}#keras_importance", *parts]))
        self.wait(lambda: self.script("return document.body.dataset.version"))

    def visit(self, address: str) -> None:
        """Opens an address of TensorBoard, and looks into the frame of the tab."""
        self.driver.switch_to.default_content()
        # Between addresses that differ after the # alone, nothing would be loaded.
        self.driver.get("about:blank")
        self.driver.get(address)
        self.enter()

    def enter(self) -> None:
        """Looks into the frame of the tab."""
        self.driver.switch_to.default_content()
        frame = self.wait(
            lambda: self.driver.find_element(By.CSS_SELECTOR, "iframe[src*='keras_importance']")
        )
        self.driver.switch_to.frame(frame)
        self.wait(lambda: self.script("return document.body && document.body.dataset.frame"))

    def script(self, code: str, *arguments: Any) -> Any:
        """What JavaScript returns inside the frame."""
        return self.driver.execute_script(code, *arguments)

    def wait(self, condition: Any) -> Any:
        """The first true value of the condition."""
        ignored = (Exception,)
        waiting = WebDriverWait(self.driver, _PATIENCE, 0.05, ignored_exceptions=ignored)
        return waiting.until(lambda _: condition())

    def find(self, selector: str) -> Any:
        """The first element that is there."""
        return self.wait(lambda: self.driver.find_element(By.CSS_SELECTOR, selector))

    def click(self, selector: str) -> None:
        """Clicks, and waits until that is drawn."""
        self.find(selector).click()
        self.settle()

    def press(self, selector: str, *keys: str) -> None:
        """Types into an element, and waits until that is drawn."""
        self.find(selector).send_keys(*keys)
        self.settle()

    def settle(self) -> None:
        """Waits for two frames: what was changed is drawn in the first."""
        self.driver.execute_async_script(
            "const done = arguments[0];"
            "requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)))"
        )

    def rows(self) -> list[dict[str, str]]:
        """The data of the rows in view, in their order on the screen."""
        return self.script(  # type: ignore[no-any-return]  # what a script returns is untyped
            "const top = (one) => one.getBoundingClientRect().top;"
            "return [...document.querySelectorAll('.rows .row')].filter((one) => one.offsetParent)"
            ".sort((a, b) => top(a) - top(b)).map((one) => ({...one.dataset,"
            " text: one.innerText, change: one.querySelector('.change')?.dataset.change,"
            " bars: Object.fromEntries([...one.querySelectorAll('.bar-cell')]"
            ".map((bar) => [bar.dataset.method, {...bar.dataset}]))}))"
        )

    def dark(self, is_dark: bool) -> None:
        """Sets TensorBoard's theme as its own button does."""
        self.driver.switch_to.default_content()
        self.script("document.body.classList.toggle('dark-mode', arguments[0])", is_dark)
        self.enter()
        wanted = "dark" if is_dark else "light"
        self.wait(lambda: self.script("return document.documentElement.dataset.theme") == wanted)
        self.settle()

    def link(self) -> str:
        """The address that shows the same view."""
        return str(self.script("return window.parent.location.href"))

    def errors(self) -> list[str]:
        """What the console complained about since it was last asked."""
        return [one["message"] for one in self.driver.get_log("browser") if one["level"] == "SEVERE"]


def is_required() -> bool:
    """Whether a missing browser is a failure."""
    return os.environ.get("CI", "").lower() == "true"
