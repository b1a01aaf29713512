"""The engine on PyTorch's own layers, loss and SGD, on the CPU: the tests' oracle, and an engine like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
import torch
from torch.nn import functional

from layerline.engines.engine import Engine, Outputs, Running, State
from layerline.engines.threads import cores
from layerline.network import initial_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.data.dataset import ImageSet, Scaling, Split
    from layerline.engines.epoch import Epoch
    from layerline.network import Network
    from layerline.recipe import Recipe

AT_ONCE = 256
"""Images evaluated in one call."""

_MOMENTUM = "momentum_buffer"


@final
class TorchEngine(Engine):
    """A network in PyTorch. With dtype="float64" everything behind the scaling of the images is in double precision.

    Its bits may depend on the number of threads and on PyTorch's version; the compiled engine's do not.
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
        """Build the modules and put the first weights of the recipe in."""
        self._classes = network.classes
        self._scaling, self._recipe = scaling, recipe
        self._threads = threads or cores()
        self._dtype = {"float32": torch.float32, "float64": torch.float64}[dtype]
        self._module = network.to_torch().to(self._dtype)
        self._optimizer = torch.optim.SGD(
            self._module.parameters(),
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
        )
        self._dice = torch.Generator().manual_seed(recipe.seed % 2**63).get_state()
        self._stopping = False
        self._done = 0
        self._diverged: int | None = None
        self.reset_running()
        self._load_weights(initial_weights(network, recipe.seed, recipe.init))
        self._load_momenta({})

    def train(self, epoch: Epoch, first: int) -> int:
        """Run steps `first`, `first`+1, … of an epoch; return how many steps were done."""
        torch.set_num_threads(self._threads)
        B = self._recipe.batch_size
        self._done, self._diverged = first, None
        self._module.train()
        with torch.random.fork_rng(devices=[]):  # Dropout draws from PyTorch's global generator: ours, while we train
            torch.set_rng_state(self._dice)
            for step in range(first, self._recipe.steps(len(epoch.order))):
                batch, rate = epoch.order[step * B : (step + 1) * B], float(epoch.learning_rates[step])
                finite = self._step(epoch.images, batch, rate)
                self._done = step + 1
                if not finite:
                    self._diverged = step
                if not finite or self._stopping:
                    break
            self._dice = torch.get_rng_state()
        self._stopping = False
        return self._done - first

    def progress(self) -> int:
        """Return the number of steps of the epoch done by the running or last call of `train`."""
        return self._done

    def stop(self) -> None:
        """Ask the running `train` to return after the step it is in; if none runs, the next one does one step."""
        self._stopping = True

    @property
    def diverged_step(self) -> int | None:
        """Return the step of the last `train` call whose loss was not finite, or None."""
        return self._diverged

    def running(self) -> Running:
        """Return what the steps since `reset_running` have gathered."""
        return Running(self._loss, self._confusion.copy())

    def reset_running(self) -> None:
        """Start gathering anew (a new epoch)."""
        self._loss = 0.0
        self._confusion = np.zeros((self._classes, self._classes), np.int64)

    def evaluate(self, split: Split) -> Outputs:
        """Return probabilities and losses of every image of `split`, weights as they are now."""
        torch.set_num_threads(self._threads)
        n = len(split)
        outputs = Outputs(np.empty((n, self._classes), np.float32), np.empty(n, np.float64))
        self._module.eval()
        with torch.no_grad():
            for start in range(0, n, AT_ONCE):
                part = slice(start, start + AT_ONCE)
                x, labels = self._batch(split.source, split.indices[part])
                logits = self._module(x).double()
                outputs.probabilities[part] = torch.softmax(logits, 1).numpy()
                outputs.losses[part] = functional.cross_entropy(logits, labels, reduction="none").numpy()
        return outputs

    def state(self) -> State:
        """Return a copy of the weights and the optimiser's tensors; float64 for an engine of float64."""
        weights = {name: value.numpy().copy() for name, value in self._module.state_dict().items()}
        momenta: dict[str, NDArray[Any]] = {}
        if self._recipe.momentum:
            for name, parameter in self._module.named_parameters():
                momenta[f"momentum.{name}"] = self._optimizer.state[parameter][_MOMENTUM].numpy().copy()
        return State(weights, momenta)

    def set_state(self, state: State) -> None:
        """Take over weights and optimiser tensors; names and shapes must be the network's."""
        self._load_weights(state.weights)
        self._load_momenta(state.optimizer)

    def gradients(self, images: ImageSet, indices: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return the gradient of the mean loss of these images by parameter name; nothing is updated."""
        torch.set_num_threads(self._threads)
        self._module.train()
        x, labels = self._batch(images, indices)
        parameters = dict(self._module.named_parameters())
        loss = functional.cross_entropy(self._module(x), labels)
        found = torch.autograd.grad(loss, list(parameters.values()))
        return {name: gradient.numpy().copy() for name, gradient in zip(parameters, found, strict=True)}

    def facts(self) -> dict[str, Any]:
        """Return what the bits depend on beside network, data and recipe."""
        capability = torch.backends.cpu.get_cpu_capability()
        return {"torch": torch.__version__, "cpu": capability, "threads": self._threads}

    def _step(self, images: ImageSet, indices: NDArray[np.int64], learning_rate: float) -> bool:
        """Take one step, gather its figures, and return whether the loss was finite."""
        x, labels = self._batch(images, indices)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.zero_grad()
        logits = self._module(x)
        loss = functional.cross_entropy(logits, labels)
        self._gather(logits.detach(), labels)
        loss.backward()  # type: ignore[no-untyped-call]  # PyTorch leaves it untyped
        self._optimizer.step()
        return bool(torch.isfinite(loss))

    def _gather(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        self._loss += float(functional.cross_entropy(logits.double(), labels, reduction="sum"))
        prediction = logits.numpy().argmax(axis=1)
        np.add.at(self._confusion, (labels.numpy(), prediction), 1)

    def _batch(self, images: ImageSet, indices: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.from_numpy(np.ascontiguousarray(self._scaling.apply(images.images[indices])))
        return x.to(self._dtype), torch.from_numpy(images.labels[indices].astype(np.int64))

    def _load_weights(self, weights: dict[str, NDArray[Any]]) -> None:
        self._module.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})

    def _load_momenta(self, momenta: dict[str, NDArray[Any]]) -> None:
        """Set v of every parameter; zero where none is given, which is what SGD starts from (v = 0·μ + g = g)."""
        if not self._recipe.momentum:
            return
        for name, parameter in self._module.named_parameters():
            given = momenta.get(f"momentum.{name}")
            value = torch.zeros_like(parameter) if given is None else torch.tensor(given).to(self._dtype)
            self._optimizer.state[parameter][_MOMENTUM] = value
