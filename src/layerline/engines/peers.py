"""PyTorch in other processes, with each setting that may be its fastest, for `layerline engine bench`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, final

import numpy as np

from layerline.compiler.machine import host
from layerline.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from layerline.compiler.machine import Machine
    from layerline.data.dataset import Dataset
    from layerline.network import Network
    from layerline.recipe import Recipe

KEEP_MEMORY: Final = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "4294967296"}
"""Environment variables by which glibc keeps freed memory instead of returning it to the system."""
INSTRUCTIONS: Final = {
    4: {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
    8: {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
}
"""Environment variables that hold PyTorch and oneDNN to vectors of that many float32 values."""


@dataclass(frozen=True, eq=False)
class Assignment:
    """What each side trains."""

    network: Network
    data: Dataset
    recipe: Recipe
    order: NDArray[np.int64]
    """The images of an epoch."""
    weights: dict[str, NDArray[Any]]
    """Those that each epoch starts with."""
    compared: int
    """Of how many images of the epoch, the first, the loss is computed after it."""
    threads: int
    machine: Machine
    """The CPU whose instructions both sides may use."""


@dataclass(frozen=True)
class Setting:
    """A way to run PyTorch."""

    channels_last: bool
    keep_memory: bool
    compiled: bool = False

    @property
    def name(self) -> str:
        """Return it in words."""
        words = ("compiled " * self.compiled, "channels_last" if self.channels_last else "default")
        return "".join(words) + " + keep" * self.keep_memory


SETTINGS: Final = (
    *(Setting(last, keep) for last in (False, True) for keep in (False, True)),
    *(Setting(last, keep_memory=True, compiled=True) for last in (False, True)),
)
"""torch.compile needs a C++ compiler; where it fails, its settings are left out."""


@final
class Peer:
    """PyTorch with one setting, in a separate process."""

    def __init__(self, folder: Path, setting: Setting, assignment: Assignment, log: IO[bytes]) -> None:
        """Start it. folder: with what `_write` writes. log: what it writes to standard error."""
        self.setting, self._log, self._weights = setting, log, folder / f"{setting.name}.npz"
        command = [sys.executable, "-m", "layerline.engines.torch_peer", str(folder)]
        command += ["--weights", str(self._weights), "--threads", str(assignment.threads)]
        command += ["--channels-last"] * setting.channels_last + ["--compiled"] * setting.compiled
        held = {} if assignment.machine == host() else INSTRUCTIONS.get(assignment.machine.lanes, {})
        kept = KEEP_MEMORY if setting.keep_memory else {}
        pipe, environment = subprocess.PIPE, {**os.environ, **kept, **held}
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            command, stdin=pipe, stdout=pipe, stderr=self._log, text=True, env=environment
        )

    def ready(self) -> str | None:
        """Wait until it is ready; return the version of PyTorch, or None if it has exited."""
        answer = self._answer()
        return None if answer is None else str(answer["version"])

    def weights(self) -> dict[str, NDArray[Any]]:
        """Return its weights after the first step, once it is ready."""
        with np.load(self._weights) as found:
            return dict(found)

    def epoch(self) -> tuple[float, float]:
        """Return the seconds of an epoch, and the loss after it."""
        assert self._process.stdin  # noqa: S101 - it is a pipe
        self._process.stdin.write("epoch\n")
        self._process.stdin.flush()
        answer = self._answer()
        if answer is None:
            raise RuntimeError(f"PyTorch ({self.setting.name}) exited: {self.last_words()}")
        return answer["seconds"], answer["loss"]

    def last_words(self) -> str:
        """Return the last line that it wrote to standard error."""
        self._log.seek(0)
        written = self._log.read().decode("utf-8", "replace").strip()
        return written.splitlines()[-1][:200] if written else "without a message"

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> Any:
        assert self._process.stdout  # noqa: S101 - it is a pipe
        line = self._process.stdout.readline()
        return json.loads(line) if line else None


@dataclass(frozen=True)
class Peers:
    """Those that are ready, and why others are not."""

    ready: tuple[Peer, ...]
    version: str
    failed: Mapping[str, str]
    """The name of a setting → the last line of its error."""


@contextmanager
def peers(
    assignment: Assignment, say: Callable[[str], None], settings: Sequence[Setting] = SETTINGS
) -> Iterator[Peers]:
    """Start a process per setting, one after the other, and end all at the end. Raises UserError if none starts."""
    ready, failed, version = [], {}, ""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _write(folder, assignment)
        for setting in settings:
            say(f"starting PyTorch: {setting.name}")
            log = stack.enter_context(tempfile.TemporaryFile())
            peer = Peer(folder, setting, assignment, log)
            stack.callback(peer.end)
            found = peer.ready()
            if found is None:
                failed[setting.name] = peer.last_words()
            else:
                version = found
                ready.append(peer)
        if not ready:
            raise UserError(f"--against torch: PyTorch exited: {next(iter(failed.values()))}")
        yield Peers(tuple(ready), version, failed)


def _write(folder: Path, assignment: Assignment) -> None:
    """Write the images of the epoch, numbered anew, and everything else that the peers read."""
    network, data, recipe = assignment.network, assignment.data, assignment.recipe
    used, places = np.unique(assignment.order, return_inverse=True)
    np.save(folder / "images.npy", data.scaling.apply(data.train.source.images[used]))
    np.save(folder / "labels.npy", data.train.source.labels[used].astype(np.int64))
    np.save(folder / "order.npy", places.astype(np.int64))
    for number, (name, array) in enumerate(assignment.weights.items()):
        np.save(folder / f"{number}.{name}.npy", array)
    facts = {
        "network": network.text,
        "input_shape": network.input_shape,
        "classes": network.classes,
        "weights": list(assignment.weights),
        "batch_size": recipe.batch_size,
        "learning_rate": recipe.learning_rate,
        "momentum": recipe.momentum,
        "compared": assignment.compared,
    }
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
