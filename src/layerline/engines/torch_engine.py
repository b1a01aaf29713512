"""The torch engine, on PyTorch's layers, loss and optimizers: on the CPU or a GPU, and the reference of the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, final
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch.nn import functional

from layerline.engines.interface import Engine, Outputs, Running, State
from layerline.engines.placement import Placement
from layerline.engines.ranks import ALONE
from layerline.engines.torch_device import TorchDevice
from layerline.engines.torch_dropout import put_keyed_dropout
from layerline.engines.torch_images import TorchBatch, TorchEpoch, TorchImages
from layerline.engines.torch_running import TorchRunning
from layerline.engines.torch_steps import TorchSteps
from layerline.engines.torch_sums import add_up, add_up_gradients, put_ranks_batch_norm
from layerline.network import initial_weights
from layerline.system.cores import cores
from layerline.system.workers import check

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.data.dataset import ImageSet, Scaling, Split
    from layerline.engines.epoch import Epoch
    from layerline.engines.ranks import Ranks
    from layerline.network import Network
    from layerline.recipe import Recipe

AT_ONCE = 256
"""Images evaluated in one call."""


@final
class TorchEngine(Engine):
    """A network in PyTorch. With dtype="float64" everything after the scaling of the images is in double precision.

    Unlike the compiled engine's, its results may depend on the number of threads, on the device and on the version of
    PyTorch. On a GPU, steps are only started by `train`; it reads their losses every few steps. So the steps after one
    whose loss was not finite, of which there may be a few, change the weights (which are NaN then), but nothing else.
    """

    name: ClassVar[str] = "torch"

    def __init__(
        self,
        network: Network,
        scaling: Scaling,
        recipe: Recipe,
        threads: int | None = None,
        dtype: Literal["float32", "float64"] = "float32",
        *,
        place: TorchDevice | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        """Build the modules on a device (by default the CPU) and load the recipe's initial weights.

        ranks: the processes that train together; then `train` and `evaluate` are collective.
        """
        self._scaling, self._recipe, self.ranks = scaling, recipe, ranks
        self._threads = threads or cores()
        self._place = place or TorchDevice.of(Placement("cpu"))
        self._dtype = {"float32": torch.float32, "float64": torch.float64}[dtype]
        module = network.to_torch()
        self._dropouts = put_keyed_dropout(module, network, recipe.seed)
        if ranks.size > 1:
            put_ranks_batch_norm(module, ranks, self._place)
        self._module = self._place.module(module, self._dtype)
        self._images: WeakKeyDictionary[ImageSet, TorchImages] = WeakKeyDictionary()
        self._stopping = False
        self._stops = torch.zeros(())
        """How many ranks asked to stop, in the last step."""
        self._done = 0
        self._diverged: int | None = None
        self.set_running(Running(0.0, np.zeros((3, network.classes), np.int64)))
        self._classes = network.classes
        self._load_weights(initial_weights(network, recipe.seed, recipe.init))
        self._steps = TorchSteps(self._module, recipe, network.rate_factors(recipe.backbone_rate))

    def prepare(self, images: ImageSet) -> None:
        """Copy the images to the device. Raises UserError if its memory is too small."""
        with self._place.computing():
            self._on_device(images)

    def train(self, epoch: Epoch, first: int) -> int:
        """Run steps `first`, `first`+1, … of an epoch; return the number of steps done.

        Raises UserError if the device runs out of memory.
        """
        if self.ranks.size == 1:
            return self._train(epoch, first)
        return self.counted_together(lambda: self._train(epoch, first))

    def _train(self, epoch: Epoch, first: int) -> int:
        """Do what `train` does; of several ranks, each counts the tallies of its own images."""
        torch.set_num_threads(self._threads)
        self._done, self._diverged = first, None
        self._module.train()
        self._running.begin()
        with self._place.computing():
            images, B = self._on_device(epoch.images), self._recipe.batch_size
            plan = TorchEpoch(epoch, images, self._place, B, self.ranks)
            for step in range(first, self._recipe.steps(len(epoch.order))):
                check()
                self._step(plan, step)
                self._done = step + 1
                if self._ends(first):
                    break
            self._diverged = self._running.diverged
        self._stopping = False
        if self._diverged is not None:
            self._done = self._diverged + 1
        return self._done - first

    def _ends(self, first: int) -> bool:
        """Return whether `train` is to return: on a GPU, every few steps; ranks agree on it."""
        reads = (self._done - first) % self._place.unread == 0
        if self.ranks.size > 1:
            return reads and (bool(self._stops > 0) or self._running.diverged is not None)
        return self._stopping or (reads and self._running.diverged is not None)

    def progress(self) -> int:
        """Return the number of steps of the epoch started by the current or last call of `train`."""
        return self._done

    def stop(self) -> None:
        """Ask a running `train` to return after its current step; if none is running, the next one does one step."""
        self._stopping = True

    @property
    def diverged_step(self) -> int | None:
        """Return the step of the last `train` call whose loss was not finite, or None."""
        return self._diverged

    def running(self) -> Running:
        """Return what the steps since `reset_running` have accumulated."""
        return self._running.read()

    def set_running(self, running: Running) -> None:
        """Continue accumulating from there, as if this engine had done the earlier steps."""
        self._running = TorchRunning(running, self._place)

    def evaluate(self, split: Split) -> Outputs:
        """Return probabilities and losses of every image of `split`, with the current weights or their averages."""
        torch.set_num_threads(self._threads)
        n, place = len(split), self._place
        probabilities = torch.empty((n, self._classes), device=place.device)
        losses = torch.empty(n, dtype=place.double, device=place.device)
        self._module.eval()
        with torch.no_grad(), place.computing():
            images, indices = self._on_device(split.source), place.put(split.indices)
            first, last = self.ranks.part(n, AT_ONCE)
            for start in range(first, last, AT_ONCE):
                check()
                part = slice(start, min(start + AT_ONCE, last))
                batch = images.batch(indices[part])
                logits = self._logits(batch.x, self._steps.averages).to(place.double)
                probabilities[part] = torch.softmax(logits, 1).float()
                losses[part] = functional.cross_entropy(logits, batch.labels, reduction="none")
        outputs = Outputs(_array(probabilities), _array(losses).astype(np.float64))
        bounds = self.ranks.bounds(n, AT_ONCE)
        self.ranks.complete(outputs.probabilities, bounds)
        self.ranks.complete(outputs.losses, bounds)
        return outputs

    def state(self) -> State:
        """Return a copy of the weights and the optimizer's tensors; float64 for an engine of float64."""
        weights = {name: _array(value) for name, value in self._module.state_dict().items()}
        return State(weights, self._steps.state())

    def set_state(self, state: State) -> None:
        """Set weights and optimizer tensors; names and shapes must be the network's."""
        self._load_weights(state.weights)
        self._steps.set_state(state.optimizer)

    def gradients(self, images: ImageSet, indices: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return the gradient of the mean loss of these images by parameter name; no weight changes.

        Dropout drops the same elements as in the first epoch.
        """
        torch.set_num_threads(self._threads)
        self._module.train()
        with self._place.computing():
            batch = self._on_device(images).batch(self._place.put(indices))
            self._set_batch(1, batch)
            parameters = {name: each for name, each in self._module.named_parameters() if each.requires_grad}
            loss = functional.cross_entropy(self._logits(batch.x), batch.labels)
            found = torch.autograd.grad(loss, list(parameters.values()))
        return {name: _array(gradient) for name, gradient in zip(parameters, found, strict=True)}

    def facts(self) -> dict[str, Any]:
        """Return what the results depend on besides network, data and recipe."""
        facts = {"torch": torch.__version__, "threads": self._threads, **self._place.facts}
        return facts if self.ranks.size == 1 else {**facts, "ranks": self.ranks.size}

    def _step(self, plan: TorchEpoch, step: int) -> None:
        """Take one step and accumulate its metrics; nothing here waits for the device."""
        batch = plan.batch(step)
        self._set_batch(plan.plan.number, batch)
        self._module.zero_grad()
        loss = self._loss(plan, step, batch)
        loss.backward()  # type: ignore[no-untyped-call]  # PyTorch leaves it untyped
        if self.ranks.size > 1:
            add_up_gradients(self.ranks, self._module.parameters())
        # A rate known on the host needs no tensor: it is an argument of the kernels, and nothing waits for it.
        self._steps.take(float(plan.plan.learning_rates[step]), plan.plan.first_step + step + 1)

    def _loss(self, plan: TorchEpoch, step: int, batch: TorchBatch) -> torch.Tensor:
        """Return the loss of a batch, or of this rank's part of it, and count it."""
        logits = self._logits(batch.x)
        loss = self._objective(logits, batch.labels, plan) / plan.divisor(step)
        with torch.no_grad():
            total = self._objective(logits.to(self._place.double), batch.labels, plan)
            whole = loss
            if self.ranks.size > 1:
                stop = torch.tensor(float(self._stopping), dtype=total.dtype, device=total.device)
                sums = torch.stack([loss.detach().to(total.dtype), total, stop])
                add_up(self.ranks, sums)
                whole, total, self._stops = sums.unbind()
            self._running.add(step, whole, total, logits, batch.labels)
        return loss

    def _logits(self, x: torch.Tensor, weights: dict[str, torch.Tensor] | None = None) -> torch.Tensor:
        """Return the network's logits, in the engine's type. weights: used instead of the current ones."""
        with self._place.autocast():
            logits: torch.Tensor = (
                torch.func.functional_call(self._module, weights, (x,)) if weights else self._module(x)
            )
        return logits.to(self._dtype)

    def _objective(self, logits: torch.Tensor, labels: torch.Tensor, plan: TorchEpoch) -> torch.Tensor:
        """Return the sum over a batch of class weight times smoothed cross-entropy."""
        weights = None if plan.class_weights is None else plan.class_weights.to(logits.dtype)
        smoothing = self._recipe.label_smoothing
        return functional.cross_entropy(logits, labels, weights, reduction="sum", label_smoothing=smoothing)

    def _set_batch(self, epoch: int, batch: TorchBatch) -> None:
        for dropout in self._dropouts:
            dropout.set_batch(epoch, batch.indices)

    def _on_device(self, images: ImageSet) -> TorchImages:
        """Return the images on the device, copied on the first call; they are freed together with the ImageSet."""
        found = self._images.get(images)
        if found is None:
            found = self._images[images] = TorchImages(images, self._scaling, self._place, self._dtype)
        return found

    def _load_weights(self, weights: dict[str, NDArray[Any]]) -> None:
        self._module.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})


def _array(tensor: torch.Tensor) -> NDArray[Any]:
    """Return a copy of a tensor in main memory."""
    return np.array(tensor.detach().cpu().numpy(), order="C")
