"""The torch engine, on PyTorch's layers, loss and optimizers on the CPU: also the reference of the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
import torch
from torch.nn import functional

from layerline.data.augment.augmentation import apply
from layerline.engines.interface import Engine, Outputs, Running, State
from layerline.engines.torch_dropout import put_keyed_dropout
from layerline.engines.torch_steps import TorchSteps
from layerline.network import initial_weights
from layerline.system.cores import cores
from layerline.system.workers import check

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.data.dataset import ImageSet, Scaling, Split
    from layerline.engines.epoch import Epoch
    from layerline.network import Network
    from layerline.recipe import Recipe

AT_ONCE = 256
"""Images evaluated in one call."""


@final
class TorchEngine(Engine):
    """A network in PyTorch. With dtype="float64" everything after the scaling of the images is in double precision.

    Unlike the compiled engine's, its results may depend on the number of threads and on the version of PyTorch.
    """

    name: ClassVar[str] = "torch"

    def __init__(
        self,
        network: Network,
        scaling: Scaling,
        recipe: Recipe,
        threads: int | None = None,
        dtype: Literal["float32", "float64"] = "float32",
    ) -> None:
        """Build the modules and load the recipe's initial weights."""
        self._classes = network.classes
        self._scaling, self._recipe = scaling, recipe
        self._threads = threads or cores()
        self._dtype = {"float32": torch.float32, "float64": torch.float64}[dtype]
        self._module = network.to_torch().to(self._dtype)
        self._dropouts = put_keyed_dropout(self._module, network, recipe.seed)
        self._stopping = False
        self._done = 0
        self._diverged: int | None = None
        self.set_running(Running(0.0, np.zeros((3, network.classes), np.int64)))
        self._load_weights(initial_weights(network, recipe.seed, recipe.init))
        self._steps = TorchSteps(self._module, recipe)

    def train(self, epoch: Epoch, first: int) -> int:
        """Run steps `first`, `first`+1, … of an epoch; return the number of steps done."""
        torch.set_num_threads(self._threads)
        self._done, self._diverged = first, None
        self._module.train()
        for step in range(first, self._recipe.steps(len(epoch.order))):
            check()
            finite = self._step(epoch, step)
            self._done = step + 1
            if not finite:
                self._diverged = step
            if not finite or self._stopping:
                break
        self._stopping = False
        return self._done - first

    def progress(self) -> int:
        """Return the number of steps of the epoch done by the current or last call of `train`."""
        return self._done

    def stop(self) -> None:
        """Ask a running `train` to return after its current step; if none is running, the next one does one step."""
        self._stopping = True

    @property
    def diverged_step(self) -> int | None:
        """Return the step of the last `train` call whose loss was not finite, or None."""
        return self._diverged

    def running(self) -> Running:
        """Return what the steps since `reset_running` have gathered."""
        return Running(self._loss, self._tallies.copy())

    def set_running(self, running: Running) -> None:
        """Go on gathering from there, as if the steps before had been done by this engine."""
        self._loss, self._tallies = running.loss, running.tallies.copy()

    def evaluate(self, split: Split) -> Outputs:
        """Return probabilities and losses of every image of `split`, weights as they are now, or their averages."""
        torch.set_num_threads(self._threads)
        n = len(split)
        outputs = Outputs(np.empty((n, self._classes), np.float32), np.empty(n, np.float64))
        self._module.eval()
        with torch.no_grad():
            for start in range(0, n, AT_ONCE):
                check()
                part = slice(start, start + AT_ONCE)
                x, labels = self._batch(split.source, split.indices[part])
                logits = torch.func.functional_call(self._module, self._steps.averages, (x,)).double()
                outputs.probabilities[part] = torch.softmax(logits, 1).numpy()
                outputs.losses[part] = functional.cross_entropy(logits, labels, reduction="none").numpy()
        return outputs

    def state(self) -> State:
        """Return a copy of the weights and the optimizer's tensors; float64 for an engine of float64."""
        weights = {name: value.numpy().copy() for name, value in self._module.state_dict().items()}
        return State(weights, self._steps.state())

    def set_state(self, state: State) -> None:
        """Take over weights and optimizer tensors; names and shapes must be the network's."""
        self._load_weights(state.weights)
        self._steps.set_state(state.optimizer)

    def gradients(self, images: ImageSet, indices: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return the gradient of the mean loss of these images by parameter name; no weight changes.

        Dropout drops the same elements as in the first epoch.
        """
        torch.set_num_threads(self._threads)
        self._module.train()
        self._set_batch(1, indices)
        x, labels = self._batch(images, indices)
        parameters = dict(self._module.named_parameters())
        loss = functional.cross_entropy(self._module(x), labels)
        found = torch.autograd.grad(loss, list(parameters.values()))
        return {name: gradient.numpy().copy() for name, gradient in zip(parameters, found, strict=True)}

    def facts(self) -> dict[str, Any]:
        """Return what the results depend on besides network, data and recipe."""
        capability = torch.backends.cpu.get_cpu_capability()
        return {"torch": torch.__version__, "cpu": capability, "threads": self._threads}

    def _step(self, epoch: Epoch, step: int) -> bool:
        """Take one step, accumulate its metrics, and return whether the loss was finite."""
        B = self._recipe.batch_size
        rows = slice(step * B, (step + 1) * B)
        indices = epoch.order[rows]
        x, labels = self._batch(epoch.images, indices)
        if epoch.drawn is not None:
            augmented = apply(epoch.images.images[indices], epoch.drawn, rows, self._scaling)
            x = torch.from_numpy(np.ascontiguousarray(augmented)).to(self._dtype)
        self._set_batch(epoch.number, indices)
        self._module.zero_grad()
        logits = self._module(x)
        divisor = len(indices) if epoch.weights is None else float(epoch.weights[step])
        loss = self._objective(logits, labels, epoch) / divisor
        self._accumulate(logits.detach(), labels, epoch)
        loss.backward()  # type: ignore[no-untyped-call]  # PyTorch leaves it untyped
        self._steps.take(float(epoch.learning_rates[step]), epoch.first_step + step + 1)
        return bool(torch.isfinite(loss))

    def _objective(self, logits: torch.Tensor, labels: torch.Tensor, epoch: Epoch) -> torch.Tensor:
        """Return the sum over a batch of class weight times smoothed cross-entropy."""
        weights = None if epoch.class_weights is None else torch.tensor(epoch.class_weights, dtype=logits.dtype)
        smoothing = self._recipe.label_smoothing
        return functional.cross_entropy(logits, labels, weights, reduction="sum", label_smoothing=smoothing)

    def _accumulate(self, logits: torch.Tensor, labels: torch.Tensor, epoch: Epoch) -> None:
        self._loss += float(self._objective(logits.double(), labels, epoch))
        prediction = logits.numpy().argmax(axis=1)
        truth = labels.numpy()
        for tally, counted in zip(self._tallies, (truth, prediction, truth[truth == prediction]), strict=True):
            np.add.at(tally, counted, 1)

    def _set_batch(self, epoch: int, indices: NDArray[np.int64]) -> None:
        for dropout in self._dropouts:
            dropout.set_batch(epoch, indices)

    def _batch(self, images: ImageSet, indices: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.from_numpy(np.ascontiguousarray(self._scaling.apply(images.images[indices])))
        return x.to(self._dtype), torch.from_numpy(images.labels[indices].astype(np.int64))

    def _load_weights(self, weights: dict[str, NDArray[Any]]) -> None:
        self._module.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
