"""A headless Chromium for tests of pages: opens files, and tells of console errors and requests to a network.

``from browser import browser`` gives a test file the fixture. Its tests are skipped where Chromium, chromedriver or
selenium are missing, and fail there where the environment variable W2V_REQUIRE_BROWSER is 1.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    # No name is ever resolved: a page that asks for anything gets an error, which `errors` reports.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)


class Browser:
    """One window of a headless Chromium; ``driver`` is selenium's."""

    def __init__(self, *arguments: str) -> None:
        """Start it with further command-line ``arguments``. Skips the test, or fails it, where that cannot be."""
        missing = missing_tools()
        if missing and os.environ.get("W2V_REQUIRE_BROWSER") == "1":
            pytest.fail(f"W2V_REQUIRE_BROWSER is 1, and there is no {missing}")
        if missing:
            pytest.skip(f"no {missing}")
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        options.binary_location = _browser_path()
        for argument in (*_ARGUMENTS, *arguments):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        # A driver that is named is never downloaded.
        self.driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
        self.driver.set_page_load_timeout(30)
        self.driver.set_script_timeout(30)

    def open(
        self, page: Path, width: int = 1280, height: int = 800, *, scale: float = 1, phone: bool = False,
        dark: bool = False, still: bool = True, fragment: str = "",
    ) -> None:  # fmt: skip
        """Load ``page`` anew in a view of ``width`` x ``height`` CSS pixels, ``scale`` device pixels each.

        ``phone``: a touch screen with a mobile viewport. ``dark`` and ``still`` are what the reader's system asks
        for (``prefers-color-scheme``, ``prefers-reduced-motion``). ``fragment`` goes behind the address's ``#``.
        Forgets the messages and requests of pages before, and what they stored.
        """
        command = self.driver.execute_cdp_cmd
        self.driver.get("about:blank")  # a new fragment alone would not load the page again
        command("Storage.clearDataForOrigin", {"origin": "file://", "storageTypes": "all"})
        metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone}
        command("Emulation.setDeviceMetricsOverride", metrics)
        command("Emulation.setTouchEmulationEnabled", {"enabled": phone})
        features = {"prefers-color-scheme": "dark" if dark else "light"}
        features["prefers-reduced-motion"] = "reduce" if still else "no-preference"
        pairs = [{"name": name, "value": value} for name, value in features.items()]
        command("Emulation.setEmulatedMedia", {"features": pairs})
        for log in ("browser", "performance"):
            self.driver.get_log(log)
        self.driver.get(page.resolve().as_uri() + (f"#{fragment}" if fragment else ""))

    def errors(self) -> list[str]:
        """Errors that the console has shown since the last call, refused and missing resources among them."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def requests(self) -> list[str]:
        """Addresses asked for since the last call, but for files opened, ``data:`` and the blank page."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        addresses = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        own = self.driver.current_url.partition("#")[0]
        return [a for a in addresses if a.partition("#")[0] != own and not a.startswith(("data:", "about:"))]

    def screenshot(self, path: Path) -> None:
        """Save what is seen as a PNG."""
        self.driver.save_screenshot(str(path))

    def close(self) -> None:
        """End the browser."""
        self.driver.quit()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for the tests of a file, with WebGL rendered in software."""
    opened = Browser("--use-angle=swiftshader", "--enable-unsafe-swiftshader")
    yield opened
    opened.close()


def _browser_path() -> str | None:
    return next(filter(None, map(shutil.which, _BROWSERS)), None)


def missing_tools() -> str | None:
    """What a headless browser lacks here, or None."""
    if _browser_path() is None:
        return "Chromium or Chrome on PATH"
    if shutil.which("chromedriver") is None:
        return "chromedriver on PATH"
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium"
    return None
