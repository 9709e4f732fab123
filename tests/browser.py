"""A headless browser for the tests of pages: Chromium, spoken to over pipes.

The DevTools protocol is JSON, one message to a zero byte, on the file descriptors 3 and 4 of the
browser (``--remote-debugging-pipe``), so that nothing but the standard library is needed.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-dev-shm-usage",
)
PATIENCE = 60.0
"""Seconds to wait for an answer."""


def find() -> str | None:
    """Return the path of a browser, None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One tab of a browser, and the complaints that its console made."""

    def __init__(self, reader: int, writer: int) -> None:
        self.complaints: list[str] = []
        self._reader, self._writer, self._buffer = reader, writer, b""
        self._session: str | None = None
        self._numbers = itertools.count(1)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._writer, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != number:
            self._notice(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def open(self, page: Path, width: int = 1200, height: int = 900, dark: bool = False) -> None:
        """Show a page and wait until it has loaded."""
        phone = width < 600
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=page.resolve().as_uri())
        while (event := self._receive()).get("method") != "Page.loadEventFired":
            self._notice(event)

    def evaluate(self, code: str) -> Any:
        """Return the value of an expression in the page."""
        options = {"returnByValue": True, "awaitPromise": True}
        result = self.call("Runtime.evaluate", expression=code, **options)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def screenshot(self, path: Path, whole: bool = True) -> None:
        """Write a picture of the page."""
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(b64decode(picture["data"]))

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select([self._reader], [], [], PATIENCE)
            chunk = os.read(self._reader, 1 << 20) if ready else b""
            assert chunk, "the browser does not answer"
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def _notice(self, event: dict[str, Any]) -> None:
        """Keep errors and warnings, and every request that leaves the page."""
        method, detail = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(detail["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and detail["type"] in (
            "error",
            "warning",
            "assert",
        ):
            self.complaints.append(json.dumps(detail["args"]))
        elif method == "Log.entryAdded" and detail["entry"]["level"] in ("error", "warning"):
            self.complaints.append(detail["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            url = detail["request"]["url"]
            if not url.startswith(("file:", "about:", "data:")):
                self.complaints.append(f"the page asks for {url}")


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """Run a browser whose own files are below `profile`."""
    program = find()
    assert program is not None
    commands, writer = os.pipe()
    reader, answers = os.pipe()
    # A shell puts the pipes where the browser looks for them.
    run = f'exec "$0" "$@" 3<&{commands} 4>&{answers}'
    flags = (*FLAGS, "--remote-debugging-pipe", f"--user-data-dir={profile}")
    process = subprocess.Popen(
        ["/bin/bash", "-c", run, program, *flags],
        pass_fds=(commands, answers),
        stderr=subprocess.DEVNULL,
    )
    os.close(commands)
    os.close(answers)
    try:
        yield Browser(reader, writer)
    finally:
        process.terminate()
        process.wait(PATIENCE)
        os.close(reader)
        os.close(writer)
