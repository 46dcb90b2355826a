"""Pages in headless Chromium, spoken to through its own protocol over a pipe."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
SECONDS = 120
KEYS = {
    "Enter": ("\r", 13),
    "ArrowDown": ("", 40),
    "ArrowRight": ("", 39),
    "ArrowLeft": ("", 37),
    "Tab": ("", 9),
}


class Browser:
    """A Chromium, and in it one page at a time; what it would have fetched is in `asked`."""

    def __init__(self, folder: Path) -> None:
        (read, self._in), (self._out, write) = os.pipe(), os.pipe()
        words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
        words += [f"--user-data-dir={folder}", "--no-first-run", "--disable-background-networking"]
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (read, write)]
        self.process = subprocess.Popen(
            words,
            pass_fds=(3, 4),
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: [os.dup2(end, number) for number, end in enumerate(ends, 3)],
        )
        for end in ends:
            os.close(end)
        os.close(read)
        os.close(write)
        self._rest, self._number, self._session = b"", 0, ""
        self.asked: list[str] = []
        self.errors: list[str] = []

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(SECONDS)
        os.close(self._in)
        os.close(self._out)

    def _message(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if not select.select([self._out], [], [], max(0.0, until - time.monotonic()))[0]:
                raise TimeoutError("Chromium does not answer")
            self._rest += os.read(self._out, 1 << 20) or b'{"id": 0}\0'
        text, _, self._rest = self._rest.partition(b"\0")
        return json.loads(text)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to a command of the protocol."""
        self._number += 1
        session = {"sessionId": self._session} if self._session else {}
        asked = {"id": self._number, "method": method, "params": parameters} | session
        os.write(self._in, json.dumps(asked).encode() + b"\0")
        until = time.monotonic() + SECONDS
        while (message := self._message(until)).get("id") != self._number:
            if message.get("method") == "Network.requestWillBeSent":
                self.asked.append(message["params"]["request"]["url"])
            elif message.get("method") == "Runtime.exceptionThrown":
                self.errors.append(str(message["params"]["exceptionDetails"]))
        assert "error" not in message, message
        return message["result"]

    def open(self, page: Path, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Show a file in a window of so many pixels, in light or dark mode."""
        self._session = ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Performance"):
            self.call(f"{domain}.enable")
        self.asked, self.errors = [], []
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=page.as_uri())
        until = time.monotonic() + SECONDS
        while self.value("document.readyState") != "complete" or self.value("location.protocol") != "file:":
            assert time.monotonic() < until
            time.sleep(0.02)

    def value(self, expression: str) -> Any:
        """The value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, *keys: str) -> None:
        """Press keys, one after another."""
        for key in keys:
            text, code = KEYS.get(key, (key, ord(key[0].upper())))
            pressed = {"key": key, "windowsVirtualKeyCode": code, "nativeVirtualKeyCode": code}
            self.call("Input.dispatchKeyEvent", type="keyDown", **pressed, **({"text": text} if text else {}))
            self.call("Input.dispatchKeyEvent", type="keyUp", **pressed)

    def click(self, x: float, y: float) -> None:
        """Click at a place of the window."""
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def seconds(self) -> float:
        """Time the page's scripts, styles and layout took since it was asked for."""
        metrics = {m["name"]: m["value"] for m in self.call("Performance.getMetrics")["metrics"]}
        return metrics["TaskDuration"]

    def accessible(self) -> list[tuple[str, str]]:
        """(role, name) of every node a screen reader meets."""
        self.call("Accessibility.enable")
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [
            (n.get("role", {}).get("value", ""), n.get("name", {}).get("value", ""))
            for n in nodes
            if not n.get("ignored")
        ]

    def screenshot(self, path: Path) -> None:
        """Write the whole page as a PNG file."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))
