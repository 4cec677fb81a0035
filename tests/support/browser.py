"""Chromium, driven by selenium, for the tests of pages; what is missing is told, and skipped."""

from __future__ import annotations

import shutil
from contextlib import contextmanager

import pytest

PROGRAMS = {"chromium": ("chromium", "chromium-browser"), "chromedriver": ("chromedriver",)}


def programs():
    """Where chromium and chromedriver are; the test is skipped where one or selenium is not."""
    pytest.importorskip("selenium", reason="selenium is not installed: pip install selenium")
    found = {}
    for name, words in PROGRAMS.items():
        found[name] = next(filter(None, map(shutil.which, words)), None)
        if found[name] is None:
            pytest.skip(f"there is no {name} on this machine: apt-get install chromium-driver")
    return found


@contextmanager
def browser(*, scripts=True, width=1024):
    """A headless Chromium with a fresh profile."""
    found = programs()
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = found["chromium"]
    for word in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu"):
        options.add_argument(f"--{word}")
    options.add_argument(f"--window-size={width},900")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    if not scripts:
        stop = {"profile.managed_default_content_settings.javascript": 2}
        options.add_experimental_option("prefs", stop)
    driver = webdriver.Chrome(options=options, service=Service(found["chromedriver"]))
    try:
        yield driver
    finally:
        driver.quit()


def visit(driver, address):
    """Open a page, and wait until keys and clicks reach it."""
    driver.get(address)
    return painted(driver)


def painted(driver):
    """Wait for the first paint of the page: Chromium drops keys and clicks that come before it."""
    script = "return performance.getEntriesByName('first-contentful-paint').length"
    until(driver, lambda d: d.execute_script(script))
    return driver


def until(driver, condition):
    """Wait until ``condition(driver)`` holds; an error after two minutes."""
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.support.ui import WebDriverWait

    moved_on = (StaleElementReferenceException,)  # the page changed between finding and asking
    WebDriverWait(driver, 120, poll_frequency=0.02, ignored_exceptions=moved_on).until(condition)


def complaints(driver):
    """What the browser has said since it was last asked: errors, refused scripts, lost files."""
    return [entry["message"] for entry in driver.get_log("browser")]
