"""A headless Chromium without a network, driven by its own protocol (DevTools) over a pipe."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING, Any, BinaryIO, Final, final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

NEEDS_CHROMIUM: Final = "chromium is not installed"
PROGRAM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(PROGRAM is None, reason=NEEDS_CHROMIUM)
_FLAGS: Final = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    *("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--force-color-profile=srgb"),
)


@final
class Page:
    """A tab."""

    def __init__(self, to: BinaryIO, answers: BinaryIO, *, online: bool) -> None:
        self._to, self._from = to, answers
        self._number, self._session = 0, ""
        self._read = b""
        self.events: list[dict[str, Any]] = []
        """Everything that the browser reported: requests, messages of the console, violations."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.send(f"{domain}.enable")
        self.send(
            "Network.emulateNetworkConditions",
            offline=not online,
            latency=0,
            downloadThroughput=-1,
            uploadThroughput=-1,
        )

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result. Raises RuntimeError if it fails."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        self._to.flush()
        while True:
            answer = self._message()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._read:
            some = os.read(self._from.fileno(), 1 << 20)
            if not some:
                raise RuntimeError("the browser has ended")
            self._read += some
        text, _, self._read = self._read.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message

    def open(self, path: Path, width: int = 1280, height: int = 900, *, dark: bool = False) -> None:
        """Open a file, and wait until its model is loaded."""
        self.look(width, height, dark=dark)
        self.send("Page.navigate", url=path.resolve().as_uri())
        self.wait("document.readyState === 'complete' && document.getElementById('try-status')?.textContent !== ''")
        self.wait("!/not loaded|Loading/.test(document.getElementById('try-status').textContent)")

    def look(self, width: int, height: int, *, dark: bool) -> None:
        """Set the size of the window and its colors."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        scheme = "dark" if dark else "light"
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def run(self, script: str) -> Any:
        """Return the value of an expression, or of the promise that it is. Raises RuntimeError if it throws."""
        found = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(str(found["exceptionDetails"].get("exception", found["exceptionDetails"])))
        return found["result"].get("value")

    def wait(self, condition: str, seconds: float = 30) -> None:
        """Wait until an expression is true. Raises RuntimeError if it never is."""
        waiting = (
            f"new Promise((done, fail) => {{ const start = performance.now(); (function look() {{ if ({condition}) "
            f"done(true); else if (performance.now() - start > {seconds * 1000}) fail(new Error('timeout')); "
            "else setTimeout(look, 5); })(); })"
        )
        self.run(waiting)

    def choose(self, paths: Sequence[Path]) -> str:
        """Choose files as a user does, and return the status once it has changed to a result."""
        self.run("document.getElementById('try-status').textContent = 'Reading'; 0")
        self.give("#try-file", paths)
        self.wait("!document.getElementById('try-status').textContent.startsWith('Reading')")
        text: str = self.run("document.getElementById('try-status').textContent")
        return text

    def give(self, selector: str, paths: Sequence[Path]) -> None:
        """Choose files in an input."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(path.resolve()) for path in paths])

    def key(self, key: str, code: int = 0, text: str = "") -> None:
        """Press a key."""
        fields: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": code}
        self.send("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **fields)
        self.send("Input.dispatchKeyEvent", type="keyUp", **fields)

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Save the page as a PNG."""
        shot = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    @property
    def requests(self) -> list[str]:
        """Return the addresses of everything that pages requested."""
        sent = (e for e in self.events if e.get("method") == "Network.requestWillBeSent")
        return [each["params"]["request"]["url"] for each in sent]

    @property
    def faults(self) -> list[str]:
        """Return what the browser reported as wrong: exceptions, violations of the policy."""
        exceptions = [e["params"] for e in self.events if e.get("method") == "Runtime.exceptionThrown"]
        logged = [e["params"]["entry"] for e in self.events if e.get("method") == "Log.entryAdded"]
        return [str(each) for each in (*exceptions, *(entry for entry in logged if entry["level"] == "error"))]


@contextlib.contextmanager
def browser(*flags: str, online: bool = False) -> Iterator[Page]:
    """Start Chromium with a new profile and yield its page; online: it reaches this machine, but no other."""
    assert PROGRAM is not None
    (theirs, to), (answers, other) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [PROGRAM, *_FLAGS, f"--user-data-dir={profile}", *flags]
        start = f'exec 3<&{theirs} 4>&{other}; exec "$@"'
        child = subprocess.Popen(  # noqa: S603
            ["bash", "-c", start, "bash", *command],  # noqa: S607
            pass_fds=(theirs, other),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        os.close(other)
        try:
            with os.fdopen(to, "wb") as writing, os.fdopen(answers, "rb") as reading:
                yield Page(writing, reading, online=online)
        finally:
            child.terminate()
            child.wait(20)
