"""The torch engine's device: which one is chosen, and that what a GPU computes is what the CPU computes.

No GPU is needed: what is done differently there (steps that are read late, another memory layout, bfloat16) is switched
on for the CPU, through the same code.
"""

from __future__ import annotations

import dataclasses
import gc
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import small_data
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from layerline import engines
from layerline.data.augment.augmentation import Augmentation, apply
from layerline.data.dataset import ImageSet, Scaling, Split
from layerline.engines import torch_device
from layerline.engines.epoch import Epoch, plan_epoch
from layerline.engines.placement import Placement
from layerline.engines.torch_augment import TorchDrawn
from layerline.engines.torch_device import TorchDevice
from layerline.engines.torch_engine import TorchEngine
from layerline.engines.torch_images import TorchImages
from layerline.engines.torch_philox import dropout_keep, philox
from layerline.errors import RecipeError, UserError
from layerline.network import parse
from layerline.numbers import randomness
from layerline.recipe import Recipe
from layerline.runs.checkpoint import Identity

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.engines.interface import Running, State

CPU = torch.device("cpu")
TEXT = "Conv 4 3 1 1\nBatchNorm\nReLU\nDropout 0.3\nPool 2\nFlat\nFC classes\n"
DATA = small_data.dataset()
IMAGES = DATA.train.source
WAITING = ("aten._local_scalar_dense.default", "aten.nonzero.default", "aten.equal.default", "aten.bincount.default")
"""Operations for which the host waits for a GPU."""


def network(text: str = TEXT) -> Any:
    return parse(text, input_shape=DATA.shape, classes=3)


def engine(recipe: Recipe, place: TorchDevice | None = None, text: str = TEXT, dtype: Any = "float32") -> TorchEngine:
    return TorchEngine(network(text), DATA.scaling, recipe, 1, dtype, place=place)


def machine(monkeypatch: pytest.MonkeyPatch, *, cuda: int = 0, mps: bool = False, built: bool = True) -> None:
    """Pretend to be a machine with that many GPUs of NVIDIA, and perhaps one of Apple."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Old GPU")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(torch.version, "cuda", "13.0" if built else None)
    monkeypatch.setattr(torch, "__version__", "2.13.0")


@pytest.mark.parametrize(
    ("word", "cuda", "mps", "expected"),
    [
        *(("auto", 1, True, "cuda"), ("auto", 0, True, "mps"), ("auto", 0, False, "cpu"), ("cpu", 1, True, "cpu")),
        *(("cuda", 2, False, "cuda"), ("cuda:1", 2, False, "cuda:1"), ("mps", 1, True, "mps")),
    ],
)
def test_the_device_is_the_requested_one(
    monkeypatch: pytest.MonkeyPatch, word: str, cuda: int, mps: bool, expected: str
) -> None:
    """auto is CUDA before MPS before the CPU; only CUDA is laid out channels last, only the CPU is read every step."""
    machine(monkeypatch, cuda=cuda, mps=mps)
    found = TorchDevice.of(Placement(word))
    assert found.device == torch.device(expected)
    assert found.channels_last == expected.startswith("cuda")
    assert found.unread == (1 if expected == "cpu" else torch_device.UNREAD)
    assert found.double == (torch.float32 if expected == "mps" else torch.float64)


def test_every_refusal(monkeypatch: pytest.MonkeyPatch, golden: Callable[[str, str], None]) -> None:
    """A device that is not there, or cannot do it, is one message with what to do."""
    said = []

    def refused(about: str, act: Callable[[], object]) -> None:
        with pytest.raises((UserError, RecipeError)) as caught:
            act()
        said.append(f"--- {about}\n{caught.value.with_flags}\n--- in Python\n{caught.value}\n")

    machine(monkeypatch, built=False)
    refused("PyTorch without CUDA", lambda: TorchDevice.of(Placement("cuda")))
    machine(monkeypatch)
    refused("no NVIDIA GPU", lambda: TorchDevice.of(Placement("cuda:0")))
    refused("no Apple GPU", lambda: TorchDevice.of(Placement("mps")))
    machine(monkeypatch, cuda=2)
    refused("the third of two", lambda: TorchDevice.of(Placement("cuda:2")))
    refused("an old GPU", lambda: TorchDevice.of(Placement("cuda", "bf16")))
    for name, placement in (
        *(("compiled", Placement("cuda")), ("compiled", Placement("mps")), ("compiled", Placement("cpu", "bf16"))),
        *(("torch", Placement("tpu")), ("torch", Placement("gpu")), ("torch", Placement("1"))),
        *(("torch", Placement("cpu", "float16")), ("torch", Placement("cpu", "int8"))),
    ):
        refused(f"{name}, {placement.device}, {placement.precision}", lambda: engines.check(name, None, placement))  # noqa: B023

    def full() -> None:
        with TorchDevice(CPU).computing():
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.\nmore lines")

    refused("too little memory", full)
    golden("devices.txt", "\n".join(said))


def test_the_compiled_engine_takes_what_it_does_anyway() -> None:
    """auto, cpu and float32 are no mistake with the compiled engine."""
    for device in ("auto", "cpu"):
        engines.check("compiled", None, Placement(device, "float32"))


def test_tf32_is_off_while_computing_and_restored() -> None:
    """On CUDA, products and convolutions are float32, whatever the program has set; its settings return."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = (matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark)
    try:
        matmul.allow_tf32 = cudnn.allow_tf32 = True
        with TorchDevice(torch.device("cuda")).computing():
            assert (matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic) == (False, False, True)
        assert (matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic) == (True, True, before[2])
        with TorchDevice(CPU).computing():
            assert cudnn.allow_tf32
    finally:
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark = before


def test_philox_in_tensors_has_the_published_bits() -> None:
    """Words of all zeros, all ones and random ones give those of the reference, which has the published vectors."""
    rng = np.random.default_rng(1)
    words = np.concatenate([np.zeros((4, 1)), np.full((4, 1), 2**32 - 1), rng.integers(0, 2**32, (4, 500))], 1)
    for key in ((0, 0), (2**32 - 1, 2**32 - 1), (0xA4093822, 0x299F31D0)):
        expected = randomness.philox(tuple(words.astype(np.uint64)), key)
        found = philox([torch.from_numpy(word.astype(np.int64)) for word in words], key)
        for ours, theirs in zip(found, expected, strict=True):
            assert np.array_equal(ours.numpy().astype(np.uint64), theirs)


@pytest.mark.parametrize("shape", [(5,), (64,), (1000,), (3, 6, 7), (64, 1, 1), (2, 9, 9)])
@pytest.mark.parametrize("p", [0.0, 0.25, 0.5, 0.999])
def test_dropout_masks_in_tensors_are_the_reference_s(shape: tuple[int, ...], p: float) -> None:
    """For large seeds, epochs and images as for small ones."""
    images = np.array([0, 7, 2**32 - 1, 123_456], np.int64)
    for seed, epoch, layer in ((0, 1, 0), (2**64 - 1, 2**32 - 1, 2**24 - 1), (2**33 + 5, 12, 3)):
        expected = randomness.dropout_keep(seed, epoch, images, layer, shape, p)
        found = dropout_keep(seed, epoch, torch.from_numpy(images), layer, shape, p)
        assert np.array_equal(found.numpy(), expected)


@pytest.mark.parametrize(
    "words",
    [
        *("flip", "shift=2", "shift=5,padding=reflect,flip=alternate", "cutout=3,flip", "brightness=0.3"),
        *("contrast=0.4,brightness=0.1,shift=1", "rotate=40", "rotate=180,scale=0.5,padding=reflect,flip"),
        "scale=0.3,shift=2,cutout=4,contrast=0.2",
    ],
)
@pytest.mark.parametrize("shape", [(1, 6, 6), (3, 7, 9)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_augmentation_in_tensors_has_the_reference_s_bits(words: str, shape: Any, dtype: Any) -> None:
    """Every step of it, for bytes and floats, by the tables that the compiled engine reads."""
    source = small_data.images(40, shape=shape)
    values = source.images.astype(dtype)
    scaling = Scaling((1 / 255, 0.01, 0.3)[: shape[0]], (0.0, -0.7, 0.2)[: shape[0]])
    augmentation = Augmentation.parse(words)
    assert augmentation is not None
    order = np.random.default_rng(3).permutation(40).astype(np.int64)
    drawn = augmentation.draw(5, 3, order, shape)
    images = TorchImages(ImageSet(values, source.labels), scaling, TorchDevice(CPU), torch.float32)
    rows = slice(8, 24)
    found = images.batch(torch.from_numpy(order[rows]), TorchDrawn.of(drawn, TorchDevice(CPU)), rows)
    assert np.array_equal(found.x.numpy(), apply(values[order[rows]], drawn, rows, scaling))
    assert np.array_equal(found.labels.numpy(), source.labels[order[rows]])


def test_images_are_shared_read_only_or_not_and_freed() -> None:
    """On the CPU no image is copied, memory-mapped ones are read without a warning, and nothing outlives the set."""
    source = small_data.images(20, shape=(3, 6, 6))
    lying = np.ascontiguousarray(source.images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    for images in (source.images, lying):
        images.flags.writeable = False
        tensor = TorchDevice(CPU).put(images)
        assert tensor.data_ptr() == images.ctypes.data
        assert np.array_equal(tensor.numpy(), images)
    one = ImageSet(lying, source.labels)
    subject = TorchEngine(
        parse(TEXT, input_shape=(3, 6, 6), classes=3), Scaling((1 / 255,) * 3, (0.0,) * 3), Recipe(), 1
    )
    subject.prepare(one)
    subject.evaluate(Split(one, np.arange(20, dtype=np.int64)))
    gone = weakref.ref(one)
    del one
    gc.collect()
    assert gone() is None


def steps(subject: TorchEngine, recipe: Recipe) -> tuple[State, Running]:
    epoch = plan_epoch(recipe, DATA.train, 1, 3)
    assert subject.train(epoch, 0) == recipe.steps(70)
    return subject.state(), subject.running()


@pytest.mark.parametrize("unread", [2, 5, 100])
def test_reading_late_changes_no_bit(unread: int) -> None:
    """Loss, tallies and weights are the same however many steps pass until they are read."""
    recipe = Recipe(batch_size=8, augment="flip,shift=1", class_weights="balanced", label_smoothing=0.1)
    (now, first), (late, second) = (
        steps(engine(recipe, TorchDevice(CPU, unread=each)), recipe) for each in (1, unread)
    )
    assert first.loss == second.loss
    assert np.array_equal(first.tallies, second.tallies)
    assert all(np.array_equal(now.weights[name], late.weights[name]) for name in now.weights)


@pytest.mark.parametrize("unread", [1, 3, 100])
def test_the_diverged_step_is_exact_however_late_it_is_read(unread: int) -> None:
    """Steps after it count neither as done nor in the running metrics, and the next call starts afresh."""
    rates = np.array([0.01, 0.01, np.inf, 0.01, 0.01, 0.01, 0.01])
    recipe = Recipe(batch_size=10)
    subject = engine(recipe, TorchDevice(CPU, unread=unread))
    start = subject.state()
    done = subject.train(Epoch(IMAGES, DATA.train.indices, rates), 0)
    assert (done, subject.progress(), subject.diverged_step) == (4, 4, 3)
    assert subject.running().images == 40
    subject.set_state(start)
    assert subject.train(Epoch(IMAGES, DATA.train.indices, np.full(7, 0.01)), 0) == 7
    assert subject.diverged_step is None


def test_stop_counts_the_steps_done() -> None:
    """A stop while results are unread ends after the step it came in; all steps started are counted."""
    subject = engine(Recipe(batch_size=10), TorchDevice(CPU, unread=100))
    before = subject.running().images
    subject.stop()
    assert subject.train(Epoch(IMAGES, DATA.train.indices, np.full(7, 0.01)), 0) == 1
    assert subject.running().images - before == 10
    assert subject.train(Epoch(IMAGES, DATA.train.indices, np.full(7, 0.01)), 1) == 6


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_another_memory_layout_gives_the_same_steps(optimizer: str) -> None:
    """Channels last as on CUDA: weights and optimizer tensors differ only by rounding and are read in one layout."""
    recipe = Recipe(batch_size=8, optimizer=optimizer, learning_rate=0.01, ema=0.9, augment="flip")
    text = "Conv 4 3 1 1\nBatchNorm\nReLU\nConv 3 3 1 1\nTanh\nFlat\nFC classes\n"
    (plain, first), (other, second) = (
        steps(engine(recipe, TorchDevice(CPU, channels_last=each), text, "float64"), recipe) for each in (False, True)
    )
    assert first.loss == pytest.approx(second.loss, rel=1e-12)
    for ours, theirs in ((plain.weights, other.weights), (plain.optimizer, other.optimizer)):
        for name, value in ours.items():
            assert theirs[name].flags.c_contiguous
            # float64: 9 steps of sums of at most 300 terms, in another order; AdamW divides by roots of squares.
            np.testing.assert_allclose(theirs[name], value, rtol=1e-7, atol=1e-10)


def test_bfloat16_is_near_float32() -> None:
    """Under autocast the loss is that of float32 up to the 8 bits of bfloat16, and weights stay float32."""
    recipe = Recipe(batch_size=70)
    (_, exact), (rounded, near) = (steps(engine(recipe, TorchDevice(CPU, bf16=each)), recipe) for each in (False, True))
    assert near.loss != exact.loss
    assert near.loss == pytest.approx(exact.loss, rel=4 * 2**-8)  # two layers, each rounds its inputs and its output
    assert {value.dtype.name for value in rounded.weights.values()} == {"float32", "int64"}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_no_step_waits_for_the_device(optimizer: str) -> None:
    """Between two readings no value is fetched from the device: only the step counts of AdamW, which PyTorch keeps on
    the host."""
    recipe = Recipe(
        batch_size=8,
        optimizer=optimizer,
        clip_norm=1.0,
        ema=0.9,
        class_weights="balanced",
        label_smoothing=0.1,
        augment="flip,shift=1,cutout=2,contrast=0.1",
    )
    subject = engine(recipe, TorchDevice(CPU, unread=1000))
    epoch = plan_epoch(recipe, DATA.train, 1, 3)
    seen: list[str] = []

    class Watching(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            del types
            counted = [state.get("step") for state in _adamw_states(subject)]
            if str(function) in WAITING and not any(args[0] is step for step in counted):
                seen.append(str(function))
            return function(*args, **(kwargs or {}))

    with Watching():
        subject.train(epoch, 0)
    assert seen == ["aten._local_scalar_dense.default"]  # the reading at the end


def _adamw_states(subject: TorchEngine) -> list[Any]:
    optimizer = subject._steps._optimizer
    return [] if optimizer is None else list(optimizer.state.values())


def test_the_facts_name_the_device() -> None:
    """A run's record has the device and the precision, and the CPU only if it computed there."""
    made = engines.make("torch", network(), DATA.scaling, Recipe(), 1, placement=Placement("cpu", "bf16"))
    assert {"device": "cpu", "precision": "bf16"}.items() <= made.facts().items()
    assert "cpu" in made.facts()
    assert "gpu" not in made.facts()


def test_a_checkpoint_of_an_older_version_was_on_the_cpu() -> None:
    """Its identity has no device: it goes on on the CPU in float32, and nowhere else."""
    now = Identity.of(network(), DATA, Recipe(), engine(Recipe()))
    older = dataclasses.replace(
        now, engine={key: value for key, value in now.engine.items() if key not in ("device", "precision")}
    )
    assert now.differences(older) == []
    half = Identity.of(network(), DATA, Recipe(), engine(Recipe(), TorchDevice(CPU, bf16=True)))
    assert half.differences(older) == half.differences(now) == ["precision: bf16, was float32"]
