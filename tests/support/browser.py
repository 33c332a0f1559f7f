"""Chromium without a window, for tests of pages."""

import contextlib
import shutil

import pytest

from support.common import needs

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")


@contextlib.contextmanager
def chromium():
    """A browser that keeps its console; skips the test where there is none."""
    webdriver = needs("selenium.webdriver", "selenium>=4.20,<5")
    if not (CHROMIUM and DRIVER):
        pytest.skip(
            "Chromium or its driver is not installed: apt-get install "
            "chromium-driver"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=DRIVER)
    with webdriver.Chrome(options=options, service=service) as driver:
        yield driver
