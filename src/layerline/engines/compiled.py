"""The compiled engine: runs the machine code that `compiler` writes for a network, in threads, many steps a call."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np

from layerline.compiler import compilation
from layerline.compiler.dtype import DType
from layerline.compiler.folding import folded_weights
from layerline.compiler.kernels.step_lower import slots_of
from layerline.compiler.machine import host
from layerline.compiler.task import task_of
from layerline.engines.epoch_tables import constants, tables
from layerline.engines.interface import Engine, Outputs, Running, State
from layerline.engines.need import needed
from layerline.engines.predictor import Predictor
from layerline.engines.trainer import Control, Trainer
from layerline.system.cores import cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layerline.compiler.compilation import Compiled
    from layerline.compiler.machine import Machine
    from layerline.compiler.task import Task
    from layerline.data.dataset import ImageSet, Scaling, Split
    from layerline.engines.arena import Memory
    from layerline.engines.epoch import Epoch
    from layerline.network import Network
    from layerline.recipe import Recipe


@final
class CompiledEngine(Engine):
    """Machine code for one network, batch size and CPU. The same bits for every number of threads."""

    name: ClassVar[str] = "compiled"

    def __init__(
        self,
        network: Network,
        scaling: Scaling,
        recipe: Recipe,
        threads: int | None = None,
        *,
        machine: Machine | None = None,
        fuse_updates: bool = True,
    ) -> None:
        """Prepare; code is written when the first images come, for it depends on how they lie in memory.

        machine: what to write code for, the host if not given. fuse_updates=False keeps whole gradients readable.
        """
        self._network, self._scaling, self._recipe = network, scaling, recipe
        self._threads = threads or cores()
        self._machine = machine or host()
        self._fuse_updates = fuse_updates
        self._constants = constants(recipe, scaling)
        self._trainer: Trainer | None = None
        self._weighed: tuple[int, Predictor, Memory] | None = None
        self._version = 0
        self._state = _first_state(network, recipe)
        self._counters = _counters(network, self._state)
        self._running = Running(0.0, np.zeros((3, network.classes), np.int64))
        self._control = Control(self._threads)
        self._stopping = False

    def train(self, epoch: Epoch, first: int) -> int:
        """Run steps `first`, `first`+1, … of an epoch; return how many steps were done."""
        images, last = epoch.images, self._recipe.steps(len(epoch.order))
        if last <= first:
            return 0
        self._check(images, epoch.order)
        self._check_drawn(epoch)
        trainer = self._trainer_for(images)
        self._control.begin(first, last, stop=self._stopping)
        self._stopping, self._version = False, self._version + 1
        trainer.run(epoch, tables(epoch, self._recipe), first, self._control)
        done = self._control["done"] - first
        for counter in self._counters.values():
            counter += done
        return done

    def memory(self, images: ImageSet, batch_size: int) -> int:
        """Return the bytes that training on these images takes: of both Programs, and of the copies of the state."""
        task, predict = self._task(images, training=True), self._task(images, training=False)
        tasks = (replace(task, batch_size=batch_size), predict)
        return needed(self._network, self._recipe, tasks, self._machine, self._threads)

    def prepare(self, images: ImageSet) -> None:
        """Write the machine code that trains on images that lie in memory like these."""
        self._trainer_for(images)

    def prepared(self, images: ImageSet) -> bool:
        """Return whether there is machine code, and memory, to train and evaluate on images that lie like these."""
        predictor = None if self._weighed is None else self._weighed[1]
        made = {each.compiled.task for each in (self._trainer, predictor) if each is not None}
        return {self._task(images, training=training) for training in (True, False)} <= made

    def progress(self) -> int:
        """Return the number of steps of the epoch done by the running or last call of `train`."""
        return self._control["done"]

    def stop(self) -> None:
        """Ask the running `train` to return after the step it is in; if none runs, the next one does one step."""
        self._stopping = True
        self._control.stop()

    @property
    def diverged_step(self) -> int | None:
        """Return the step of the last `train` call whose loss was not finite, or None."""
        step = self._control["diverged"]
        return step - 1 if step else None

    def running(self) -> Running:
        """Return what the steps since `reset_running` have gathered."""
        return self._running if self._trainer is None else self._trainer.running()

    def set_running(self, running: Running) -> None:
        """Go on gathering from there, as if the steps before had been done by this engine."""
        K = self._network.classes
        if running.tallies.shape != (3, K):
            raise ValueError(f"the tallies are {running.tallies.shape}, the network has {K} classes")
        self._running = running
        if self._trainer is not None:
            self._trainer.set_running(running)

    def evaluate(self, split: Split) -> Outputs:
        """Return probabilities and losses of every image of `split`, weights as they are now.

        Any number of threads may call it at once, and a signal handler too, while nobody trains or sets the state.
        """
        self._check(split.source, split.indices)
        predictor, weights = self._predictor_for(self._task(split.source, training=False))
        return predictor.run(weights, split.source, split.indices)

    def state(self) -> State:
        """Return a copy of the weights and the optimizer's tensors."""
        if self._trainer is None:
            return copy.deepcopy(self._state)
        found = self._trainer.memory.state()
        weights = {**found.weights, **{name: counter.copy() for name, counter in self._counters.items()}}
        return State({name: weights[name] for name in self._network.weights}, found.optimizer)

    def set_state(self, state: State) -> None:
        """Take over weights and optimizer tensors; names and shapes must be the network's."""
        _check_state(state, self._state)
        self._state = copy.deepcopy(state)
        self._counters = _counters(self._network, state)
        self._version += 1
        if self._trainer is not None:
            self._trainer.memory.put_state(state)

    def gradients(self) -> dict[str, NDArray[np.float32]]:
        """Return the whole gradient of the last step by parameter; only with fuse_updates=False."""
        if self._trainer is None:
            raise RuntimeError("no step has been taken")
        return self._trainer.memory.gradients()

    def facts(self) -> dict[str, Any]:
        """Return what the bits depend on beside network, data and recipe."""
        m = self._machine
        return {"cpu": m.cpu, "triple": m.triple, "lanes": m.lanes, "fma": m.fma, "threads": self._threads}

    def _task(self, images: ImageSet, *, training: bool) -> Task:
        even = len(set(zip(self._scaling.scale, self._scaling.shift, strict=True))) == 1
        source = {"uint8": DType.U8, "float32": DType.F32}[images.images.dtype.name]
        task = task_of(self._recipe, training=training, source=source, channels_last=images.channels_last)
        return replace(task, even_scaling=even, fuse_updates=self._fuse_updates)

    def _trainer_for(self, images: ImageSet) -> Trainer:
        task = self._task(images, training=True)
        if self._trainer is None or self._trainer.compiled.task != task:
            before = self._trainer
            trainer = Trainer(self._code_for(task), self._network.classes, self._threads, self._constants)
            trainer.memory.put_state(self.state() if before else self._state)
            trainer.set_running(self.running())
            self._trainer = trainer
        return self._trainer

    def _predictor_for(self, task: Task) -> tuple[Predictor, Memory]:
        """Return what predicts, with the weights as they are now: the last one, or a new one, of which calls that are
        under way know nothing."""
        version, kept = self._version, self._weighed
        if kept is not None and kept[0] == version and kept[1].compiled.task == task:
            return kept[1:]
        if kept is None or kept[1].compiled.task != task:
            predictor = Predictor(self._code_for(task), self._network, self._threads, self._constants)
        else:
            predictor = kept[1]
        weights = predictor.weighed(folded_weights(self._network, self.state().averaged))
        self._weighed = (version, predictor, weights)
        return predictor, weights

    def _check(self, images: ImageSet, order: NDArray[np.int64]) -> None:
        """Raise ValueError for what machine code, which checks nothing, would read or write past: a bug of ours."""
        N, *shape = images.images.shape
        if tuple(shape) != self._network.input_shape:
            raise ValueError(f"the images are {shape}, the network's input is {self._network.input_shape}")
        values = images.images.transpose(0, 2, 3, 1) if images.channels_last else images.images
        if not values.flags.c_contiguous:
            raise ValueError("images must follow each other without gaps, each as C, H, W or H, W, C")
        if order.dtype != np.int64 or not order.flags.c_contiguous or images.labels.dtype != np.int32:
            raise ValueError("order must be contiguous int64, labels int32")
        if len(order) and (order.min() < 0 or order.max() >= min(N, len(images.labels))):
            raise ValueError(f"order names images outside 0 … {N - 1}")
        labels = images.labels[order]
        if len(order) and (labels.min() < 0 or labels.max() >= self._network.classes):
            raise ValueError(f"order names images with labels outside 0 … {self._network.classes - 1}")

    def _code_for(self, task: Task) -> Compiled:
        return compilation.compile_network(self._network, self._machine, task)

    def _check_drawn(self, epoch: Epoch) -> None:
        """Raise ValueError where the tables of augmentation are not those that the code reads: a bug of ours."""
        drawn, steps = epoch.drawn, self._task(epoch.images, training=True).augmented
        if steps != (None if drawn is None else drawn.steps):
            raise ValueError(f"the recipe augments by {self._recipe.as_dict()['augment']}, the epoch has other tables")
        for table, columns, dtype in () if drawn is None else drawn.tables:
            if table.shape != (len(epoch.order), columns) or table.dtype != dtype or not table.flags.c_contiguous:
                raise ValueError("the tables of augmentation do not fit the order")


def _first_state(network: Network, recipe: Recipe) -> State:
    """Return the state that a run begins with: averages begin as the weights, everything else beside them as zero."""
    from layerline.network import initial_weights

    weights, kept = initial_weights(network, recipe.seed, recipe.init), {}
    for name, slots in slots_of(network, task_of(recipe)).items():
        for slot in slots:
            kept[f"{slot}.{name}"] = weights[name].copy() if slot == "ema" else np.zeros_like(weights[name])
    return State(weights, kept)


def _counters(network: Network, state: State) -> dict[str, NDArray[Any]]:
    """Return copies of the state's whole numbers: BatchNorm's count of batches, which machine code has no use for."""
    return {name: np.array(state.weights[name]) for name, w in network.weights.items() if w.dtype == "int64"}


def _check_state(state: State, like: State) -> None:
    for given, known in ((state.weights, like.weights), (state.optimizer, like.optimizer)):
        shapes = {name: value.shape for name, value in given.items()}
        if shapes != {name: value.shape for name, value in known.items()}:
            raise ValueError("the state is not of this network and optimizer")
