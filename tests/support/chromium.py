"""A headless Chromium, driven over the DevTools protocol."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import websocket

SECONDS = 60


class Tab:
    """One tab. Its cookies are those of the whole browser."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser, self._session = browser, session

    def open(self, url: str) -> None:
        """Open a page and wait until it is there."""
        self._browser.result(self._browser.send("Page.navigate", self._session, url=url))
        deadline = time.monotonic() + SECONDS
        ready = "document.readyState === 'complete' && location.href.startsWith(%s)"
        while not self.run(ready % json.dumps(url)):
            assert time.monotonic() < deadline, f"{url} did not load"
            time.sleep(0.05)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol, and return its result."""
        return self._browser.result(self._browser.send(method, self._session, **parameters))

    def begin(self, script: str) -> int:
        """Begin to evaluate a script; `end` waits for its value."""
        return self._browser.send(
            "Runtime.evaluate",
            self._session,
            expression=script,
            awaitPromise=True,
            returnByValue=True,
        )

    def end(self, number: int) -> Any:
        """Return the value of a script that `begin` has begun."""
        found = self._browser.result(number)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def run(self, script: str) -> Any:
        """Evaluate a script, and wait for the promise that it may be."""
        return self.end(self.begin(script))


class Chromium:
    """A browser with a profile of its own. Every host below .test is this machine."""

    def __init__(self) -> None:
        self._profile = Path(tempfile.mkdtemp(prefix="chromium-"))
        self._numbers = itertools.count(1)
        self._results: dict[int, dict[str, Any]] = {}
        # A headless browser blocks cookies of third parties otherwise, as some people's do.
        preferences = self._profile / "Default" / "Preferences"
        preferences.parent.mkdir()
        preferences.write_text('{"profile": {"cookie_controls_mode": 0}}')
        program = shutil.which("chromium")
        assert program, "chromium is missing; scripts/install_packages.sh test brings it"
        with (self._profile / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    program,
                    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"),
                    *("--disable-dev-shm-usage", "--remote-debugging-port=0"),
                    *("--remote-allow-origins=*", "--ignore-certificate-errors"),
                    "--host-resolver-rules=MAP *.test 127.0.0.1",
                    f"--user-data-dir={self._profile}",
                    "about:blank",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        port, path = self._endpoint()
        self._socket = websocket.create_connection(f"ws://127.0.0.1:{port}{path}", timeout=SECONDS)

    def _endpoint(self) -> tuple[str, str]:
        """Return where the browser listens, which it writes to a file."""
        file = self._profile / "DevToolsActivePort"
        deadline = time.monotonic() + SECONDS
        while not file.exists() or len(file.read_text().splitlines()) < 2:
            assert self._process.poll() is None, (self._profile / "log").read_text()
            assert time.monotonic() < deadline, (self._profile / "log").read_text()
            time.sleep(0.05)
        port, path = file.read_text().splitlines()
        return port, path

    def send(self, method: str, session: str | None = None, **parameters: Any) -> int:
        """Send a command; `result` waits for its answer."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        self._socket.send(json.dumps(message | ({"sessionId": session} if session else {})))
        return number

    def result(self, number: int) -> dict[str, Any]:
        """Return the result of a command."""
        while number not in self._results:
            message = json.loads(self._socket.recv())
            if "id" in message:
                assert "error" not in message, message
                self._results[message["id"]] = message["result"]
        return self._results.pop(number)

    def tab(self) -> Tab:
        """Open a tab."""
        target = self.result(self.send("Target.createTarget", url="about:blank"))
        attached = self.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        return Tab(self, self.result(attached)["sessionId"])

    def forget_cookies(self) -> None:
        """Delete all cookies."""
        self.result(self.send("Storage.clearCookies"))

    def close(self) -> None:
        """End the browser and remove its profile."""
        self.send("Browser.close")
        try:
            self._process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._socket.close()
        shutil.rmtree(self._profile, ignore_errors=True)

    def __enter__(self) -> Chromium:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
