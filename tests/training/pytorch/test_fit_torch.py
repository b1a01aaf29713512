"""`fit_torch`: the user's module, optimizer and scheduler end as if PyTorch had trained them."""

from __future__ import annotations

import copy
import gc
import os
import signal
import subprocess
import sys
import time
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import torch_loops
from places import SOURCES
from torch import nn, optim
from torch.nn import functional
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, Dataset, Subset, SubsetRandomSampler, TensorDataset
from torch_loops import BATCH, STEPS, assert_equal, module, train

import layerline
from layerline import engines
from layerline.engines.compiled import CompiledEngine

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerline.runs.history import EpochRow

DATA = torch_loops.data()
X, Y = DATA


def sgd(subject: nn.Module) -> optim.Optimizer:
    return optim.SGD(subject.parameters(), lr=0.05, momentum=0.9)


def in_groups(kind: Any, **options: Any) -> Callable[[nn.Module], optim.Optimizer]:
    """Return a maker of optimizers that let biases and norms decay by nothing."""

    def made(subject: nn.Module) -> optim.Optimizer:
        wide = [p for p in subject.parameters() if p.ndim > 1]
        flat = [p for p in subject.parameters() if p.ndim == 1]
        return kind([{"params": flat, "weight_decay": 0.0}, {"params": wide, "weight_decay": 0.1}], **options)

    return made


OPTIMIZERS: dict[str, Callable[[nn.Module], optim.Optimizer]] = {
    "sgd": lambda m: optim.SGD(m.parameters(), lr=0.1),
    "momentum": sgd,
    "nesterov": lambda m: optim.SGD(m.parameters(), lr=0.05, momentum=0.8, nesterov=True, weight_decay=0.01),
    "groups of sgd": in_groups(optim.SGD, lr=0.05, momentum=0.9),
    "adamw": lambda m: optim.AdamW(m.parameters(), lr=0.01, betas=(0.8, 0.95), weight_decay=0.1),
    "adam": lambda m: optim.Adam(m.parameters(), lr=torch.tensor(0.01)),
    "decoupled adam": lambda m: optim.Adam(m.parameters(), lr=0.01, weight_decay=0.1, decoupled_weight_decay=True),
    "groups of adamw": in_groups(optim.AdamW, lr=0.01),
}
SCHEDULERS: dict[str, tuple[Callable[[Any], Any], str | None]] = {
    "step": (lambda o: lr_scheduler.StepLR(o, 2, 0.5), None),
    "milestones": (lambda o: lr_scheduler.MultiStepLR(o, [1, 2], 0.3), None),
    "exponential": (lambda o: lr_scheduler.ExponentialLR(o, 0.7), None),
    "cosine": (lambda o: lr_scheduler.CosineAnnealingLR(o, 3), None),
    "cosine per batch": (lambda o: lr_scheduler.CosineAnnealingLR(o, 3 * STEPS), "batch"),
    "restarts": (lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 2), None),
    "one cycle": (lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=3 * STEPS, cycle_momentum=False), None),
    "cyclic": (lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, step_size_up=4, cycle_momentum=False), None),
    "cyclic per epoch": (lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, 2, cycle_momentum=False), "epoch"),
    "lambda": (lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 1 / (1 + epoch)), None),
    "lambda from 0": (lambda o: lr_scheduler.LambdaLR(o, lambda step: min(1.0, step / 4)), "batch"),
    "multiplied": (lambda o: lr_scheduler.MultiplicativeLR(o, lambda _: 0.9), None),
    "warmup": (
        lambda o: lr_scheduler.SequentialLR(
            o, [lr_scheduler.LinearLR(o, 0.2, total_iters=1), lr_scheduler.ExponentialLR(o, 0.5)], [1]
        ),
        None,
    ),
    "chained": (
        lambda o: lr_scheduler.ChainedScheduler(
            [lr_scheduler.ConstantLR(o, 0.5, 2), lr_scheduler.ExponentialLR(o, 0.9)]
        ),
        None,
    ),
}


def tensors(optimizer: optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return the tensors of an optimizer's state by place and name."""
    state = optimizer.state_dict()["state"]
    return {f"{k} {name}": value for k, held in state.items() for name, value in held.items()}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_three_epochs_are_pytorch_s(name: str) -> None:
    """Weights, BatchNorm statistics and the optimizer's state are those of PyTorch's own loop over the same batches."""
    found, expected = module(), module()
    ours, theirs = OPTIMIZERS[name](found), OPTIMIZERS[name](expected)
    layerline.fit_torch(found, DATA, epochs=3, optimizer=ours, batch_size=BATCH)
    train(expected, theirs)
    assert_equal(found, expected)
    a, b = tensors(ours), tensors(theirs)
    assert a.keys() == b.keys()
    for place, value in b.items():
        torch.testing.assert_close(a[place], value, rtol=1e-4, atol=1e-5 * float(value.abs().max()), msg=place)
    train(found, ours, epochs=(4, 5))
    train(expected, theirs, epochs=(4, 5))
    assert_equal(found, expected)


def gated() -> nn.Module:
    """Return a network with a concatenation and squeeze-and-excitation by matrices, which are convolutions here."""

    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 5, 3, padding=1)
            self.squeeze, self.excite = nn.Linear(6, 3), nn.Linear(3, 6)
            self.out = nn.Linear(6 * 36, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.cat([functional.relu(self.conv(x)), x], 1)
            factors = torch.sigmoid(self.excite(torch.tanh(self.squeeze(x.mean((2, 3))))))
            return self.out((x * factors.view(-1, 6, 1, 1)).flatten(1))

    torch.manual_seed(3)
    return Gated()


@pytest.mark.parametrize("name", ["momentum", "adamw"])
def test_matrices_that_are_convolutions_are_pytorch_s(name: str) -> None:
    """Weights and the optimizer's state have PyTorch's shapes, and a fit may come before and after PyTorch's loop."""
    found, expected = gated(), gated()
    ours, theirs = OPTIMIZERS[name](found), OPTIMIZERS[name](expected)
    layerline.fit_torch(found, DATA, epochs=2, optimizer=ours, batch_size=BATCH)
    layerline.fit_torch(found, DATA, epochs=1, optimizer=ours, batch_size=BATCH)
    train(expected, theirs)
    assert_equal(found, expected)
    a, b = tensors(ours), tensors(theirs)
    assert {place: value.shape for place, value in a.items()} == {place: value.shape for place, value in b.items()}
    for place, value in b.items():
        torch.testing.assert_close(a[place], value, rtol=1e-4, atol=1e-5 * float(value.abs().max()), msg=place)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedulers_are_pytorch_s(name: str) -> None:
    """Every step has the learning rate of PyTorch's own loop, and the scheduler ends in the same state."""
    make, every = SCHEDULERS[name]
    found, expected = module(), module()
    ours, theirs = sgd(found), sgd(expected)
    own, their = make(ours), make(theirs)
    options: Any = {} if every is None else {"scheduler_step": every}
    fit = layerline.fit_torch(found, DATA, epochs=3, optimizer=ours, scheduler=own, batch_size=BATCH, **options)
    per_batch = name in ("one cycle", "cyclic") or every == "batch"
    rates = train(expected, theirs, their, per_batch=per_batch)
    assert [row.learning_rate for row in fit.history] == rates[STEPS - 1 :: STEPS]
    assert_equal(found, expected)
    assert own.get_last_lr() == their.get_last_lr()
    assert own.last_epoch == their.last_epoch if name != "chained" else True
    assert [group["lr"] for group in ours.param_groups] == [group["lr"] for group in theirs.param_groups]


def test_loss_options_are_pytorch_s() -> None:
    """Label smoothing, class weights and clipping are those of cross_entropy and clip_grad_norm_."""
    found, expected = module(), module()
    weights = [1.0, 2.5, 0.5]
    layerline.fit_torch(
        *(found, DATA),
        epochs=3,
        optimizer=sgd(found),
        batch_size=BATCH,
        label_smoothing=0.1,
        class_weights=weights,
        clip_norm=0.5,
    )
    train(expected, sgd(expected), clip=0.5, label_smoothing=0.1, weight=torch.tensor(weights))
    assert_equal(found, expected)


def test_pytorch_may_come_first() -> None:
    """An optimizer that PyTorch has used goes on with its state: momentum, and the steps of AdamW."""
    for name in ("nesterov", "adamw"):
        found, expected = module(), module()
        ours, theirs = OPTIMIZERS[name](found), OPTIMIZERS[name](expected)
        for subject, optimizer in ((found, ours), (expected, theirs)):
            train(subject, optimizer, epochs=(5, 6))
        layerline.fit_torch(found, DATA, epochs=3, optimizer=ours, batch_size=BATCH)
        train(expected, theirs)
        assert_equal(found, expected)


@pytest.mark.parametrize("own", [True, False])
def test_two_calls_are_one_longer_call(own: bool) -> None:
    """Two epochs, then one: weights and rows are those of three, to the last bit, with dropout and augmentation."""

    def fitted(*parts: int) -> tuple[nn.Module, list[EpochRow]]:
        subject = module(dropout=0.3)
        optimizer = optim.AdamW(subject.parameters(), lr=0.01)
        scheduler = lr_scheduler.StepLR(optimizer, 1, 0.5)
        rows: list[EpochRow] = []
        for epochs in parts:
            options: Any = {"optimizer": "adamw", "lr": 0.01, "schedule": "constant"}
            if not own:
                options = {"optimizer": optimizer, "scheduler": scheduler}
            fit = layerline.fit_torch(subject, DATA, epochs=epochs, batch_size=BATCH, augment="shift=1", **options)
            rows += fit.history
        return subject, rows

    (once, one), (twice, two) = fitted(3), fitted(2, 1)
    assert [row.epoch for row in two] == [1, 2, 3]
    assert [row.train_loss for row in one] == [row.train_loss for row in two]
    assert all(torch.equal(a, b) for a, b in zip(once.state_dict().values(), twice.state_dict().values(), strict=True))


def test_a_second_call_does_not_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine of the first call is used again, also with another learning rate and number of epochs."""
    subject, made = module(), []
    make = engines.make

    def counting(*arguments: Any, **options: Any) -> Any:
        made.append(make(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(engines, "make", counting)
    for epochs, lr in ((1, 0.1), (2, 0.01)):
        optimizer = optim.SGD(subject.parameters(), lr=lr)
        layerline.fit_torch(subject, DATA, epochs=epochs, optimizer=optimizer, batch_size=BATCH)
    assert len(made) == 1


def test_weights_changed_between_calls_are_used() -> None:
    """A second call starts from the module's weights as they are then."""
    subject, other = module(), module(seed=7)
    layerline.fit_torch(subject, DATA, epochs=1, optimizer=sgd(subject), batch_size=BATCH, shuffle=False)
    subject.load_state_dict(other.state_dict())
    for each in (subject, other):
        layerline.fit_torch(each, DATA, epochs=1, optimizer=sgd(each), batch_size=BATCH, shuffle=False)
    assert all(
        torch.equal(a, b) for a, b in zip(subject.state_dict().values(), other.state_dict().values(), strict=True)
    )


def test_a_module_is_not_kept_alive() -> None:
    """What is remembered of a fit goes with the module."""
    subject = module()
    layerline.fit_torch(subject, DATA, epochs=1, optimizer="sgd", lr=0.05, schedule="constant", batch_size=BATCH)
    gone = weakref.ref(subject)
    del subject
    gc.collect()
    assert gone() is None


def test_a_deep_copy_is_another_module() -> None:
    """A copy of a trained module starts with epoch 1, and neither disturbs the other."""
    subject = module()
    layerline.fit_torch(subject, DATA, epochs=2, optimizer=sgd(subject), batch_size=BATCH)
    before, copied = copy.deepcopy(subject.state_dict()), copy.deepcopy(subject)
    fit = layerline.fit_torch(copied, DATA, epochs=1, optimizer=sgd(copied), batch_size=BATCH)
    assert [row.epoch for row in fit.history] == [1]
    assert all(torch.equal(a, before[name]) for name, a in subject.state_dict().items())


def test_on_epoch_sees_the_module_and_may_stop() -> None:
    """It is called with the row when everything is written back; True stops, also the scheduler."""
    subject, seen = module(), []
    optimizer = sgd(subject)
    scheduler = lr_scheduler.ExponentialLR(optimizer, 0.5)

    def look(row: EpochRow) -> bool:
        loss = functional.cross_entropy(subject.eval()(X), Y).item()
        subject.train()
        assert row.validation_loss == pytest.approx(loss, rel=1e-5)
        seen.append((row.epoch, optimizer.param_groups[0]["lr"]))
        return row.epoch == 2

    fit = layerline.fit_torch(
        *(subject, DATA),
        epochs=9,
        optimizer=optimizer,
        scheduler=scheduler,
        validation=DATA,
        batch_size=BATCH,
        on_epoch=look,
    )
    assert seen == [(1, 0.025), (2, 0.0125)]
    assert len(fit.history) == scheduler.last_epoch == 2


def test_on_epoch_may_change_weights_and_learning_rate() -> None:
    """Weights and learning rate set in it are those of the next epoch, as in PyTorch's loop."""
    found, expected = module(), module()
    ours, theirs = sgd(found), sgd(expected)

    def change(subject: nn.Module, optimizer: optim.Optimizer) -> None:
        with torch.no_grad():
            for parameter in subject.parameters():
                parameter.mul_(0.5)
        optimizer.param_groups[0]["lr"] *= 0.1

    layerline.fit_torch(found, DATA, epochs=2, optimizer=ours, batch_size=BATCH, on_epoch=lambda _: change(found, ours))
    for epoch in (1, 2):
        train(expected, theirs, epochs=(epoch,))
        change(expected, theirs)
    assert_equal(found, expected)


def test_on_epoch_may_change_the_weights_that_are_tested() -> None:
    """Weights that the module is given after the last epoch are those of the test."""
    subject, other = module(), module(seed=7)

    def load(_: EpochRow) -> bool:
        subject.load_state_dict(other.state_dict())
        return True

    fit = layerline.fit_torch(
        subject, DATA, epochs=2, optimizer=sgd(subject), test=DATA, batch_size=BATCH, on_epoch=load
    )
    loss = functional.cross_entropy(other.eval()(X), Y).item()
    assert fit.test_loss == pytest.approx(loss, rel=1e-5)


def test_other_settings_changed_in_on_epoch_are_refused() -> None:
    """A momentum that changes during the fit would be ignored, so it is an error."""
    subject = module()
    optimizer = sgd(subject)

    def change(_: EpochRow) -> None:
        optimizer.param_groups[0]["momentum"] = 0.5

    with pytest.raises(layerline.RecipeError, match="settings were changed during the fit"):
        layerline.fit_torch(subject, DATA, epochs=2, optimizer=optimizer, batch_size=BATCH, on_epoch=change)


def test_validation_and_test_are_pytorch_s() -> None:
    """Loss and accuracy of both sets are those of the module in eval mode; macro F1 is there too."""
    subject = module()
    xt, yt = torch_loops.data(seed=5, images=31)
    fit = layerline.fit_torch(
        subject, DATA, epochs=2, optimizer=sgd(subject), validation=(xt, yt), test=(xt, yt), batch_size=BATCH
    )
    logits = subject.eval()(xt)
    row = fit.history[-1]
    assert fit.test_loss == pytest.approx(functional.cross_entropy(logits, yt).item(), rel=1e-5)
    assert fit.test_accuracy == row.validation_accuracy == (logits.argmax(1) == yt).float().mean().item()
    assert fit.test_loss == row.validation_loss
    assert fit.test_macro_f1 == row.validation_macro_f1
    lines = repr(fit).splitlines()
    assert lines[0] == "2 epochs"
    assert lines[1].startswith("    1  validation ")
    assert lines[3].startswith(f"test {fit.test_loss:.4f} {fit.test_accuracy:.4f}")


def test_the_module_is_changed_in_place_and_its_mode_stays() -> None:
    """Parameters are the same objects without gradients, and training or eval mode is what it was."""
    for mode in (True, False):
        subject = module().train(mode)
        before = {name: (id(p), p.data_ptr()) for name, p in subject.named_parameters()}
        layerline.fit_torch(subject, DATA, epochs=1, optimizer=sgd(subject), batch_size=BATCH)
        assert {name: (id(p), p.data_ptr()) for name, p in subject.named_parameters()} == before
        assert all(part.training == mode for part in subject.modules())
        assert all(p.grad is None for p in subject.parameters())
        assert subject[1].num_batches_tracked == STEPS


class Items(Dataset[Any]):
    """A data set that returns one image and label per index, and counts how often."""

    def __init__(self, noise: float = 0.0) -> None:
        self.reads, self.noise = 0, noise

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        self.reads += 1
        return X[index] + self.noise * torch.rand(1), int(Y[index])


SOURCES_OF_DATA: dict[str, Callable[[], Any]] = {
    "arrays": lambda: (X.numpy(), Y.numpy()),
    "float64": lambda: (X.double().numpy(), Y.int()),
    "channels last": lambda: (X.contiguous(memory_format=torch.channels_last), Y),
    "a view": lambda: (X.repeat_interleave(2, 0)[::2], Y),
    "TensorDataset": lambda: TensorDataset(X, Y),
    "Dataset": Items,
    "Subset": lambda: Subset(Items(), range(len(X))),
    "a list of items": lambda: list(zip(X, Y, strict=True)),
    "DataLoader": lambda: DataLoader(TensorDataset(X, Y), batch_size=BATCH, shuffle=True),
    "DataLoader of items": lambda: DataLoader(Items(), batch_size=BATCH, shuffle=True, num_workers=2),
}


@pytest.mark.parametrize("name", SOURCES_OF_DATA)
def test_data_in_any_form_trains_the_same(name: str) -> None:
    """The same images in another form give the same weights, to the last bit."""
    weights = []
    for data in (DATA, SOURCES_OF_DATA[name]()):
        subject = module()
        size = {} if isinstance(data, DataLoader) else {"batch_size": BATCH}
        layerline.fit_torch(subject, data, epochs=1, optimizer=sgd(subject), **size)
        weights.append(subject.state_dict())
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


def test_pytorch_s_generator_is_left_alone() -> None:
    """Nothing is drawn from torch's global generator, nor is it seeded."""
    subject = module(dropout=0.3)
    before = torch.get_rng_state()
    layerline.fit_torch(subject, DATA, epochs=1, optimizer=sgd(subject), batch_size=BATCH, augment="shift=1")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_fit_may_be_planned_for_a_million_epochs() -> None:
    """The check of a scheduler keeps no number per step, so that on_epoch may decide when to stop."""
    subject = module()
    fit = layerline.fit_torch(
        subject, DATA, epochs=1_000_000, optimizer=sgd(subject), batch_size=1, on_epoch=lambda _: True
    )
    assert len(fit.history) == 1


def test_uint8_images_reach_the_module_as_they_are() -> None:
    """uint8 images train like floats of the same values."""
    pixels = (X * 40 + 100).clamp(0, 255).to(torch.uint8)
    weights, notes = [], []
    for images in (pixels, pixels.float()):
        subject = module()
        optimizer = optim.SGD(subject.parameters(), lr=1e-4)
        fit = layerline.fit_torch(subject, (images, Y), epochs=1, optimizer=optimizer, batch_size=BATCH)
        weights.append(subject.state_dict())
        notes.append(fit.notes)
    assert notes == [("data: images; uint8 reaches the module as it is, from 0 to 255",), ()]
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


@pytest.mark.parametrize("drop_last", [True, False])
def test_a_loader_without_shuffle_is_followed(drop_last: bool) -> None:
    """Batches are exactly those of the loader, in its order, with or without the last; the loss is of those seen."""
    found, expected = module(), module()
    loader = DataLoader(Items(), batch_size=BATCH, drop_last=drop_last)
    fit = layerline.fit_torch(found, loader, epochs=2, optimizer=sgd(found), class_weights=[1, 2, 1])
    optimizer, weights, losses = sgd(expected), torch.tensor([1.0, 2, 1]), []
    for _ in range(2):
        total = seen = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = functional.cross_entropy(expected(x), y, weights)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total, seen = total + loss.item() * weights[y].sum().item(), seen + weights[y].sum().item()
        losses.append(total / seen)
    assert_equal(found, expected)
    assert [row.train_loss for row in fit.history] == pytest.approx(losses, rel=1e-5)


def test_a_sampler_of_some_items_is_followed() -> None:
    """SubsetRandomSampler: only its images are read and trained on; once each, and 32 of them a second time."""
    items = Items()
    loader = DataLoader(items, batch_size=8, sampler=SubsetRandomSampler(range(10, 50)))
    fit = layerline.fit_torch(module(), loader, epochs=1, optimizer="sgd", lr=0.05, schedule="constant")
    assert items.reads == 1 + 40 + 32
    assert fit.notes[0] == "data: read once: 40 images of 1×6×6, float32, 5.76 kB of memory"


def test_random_transforms_are_noticed() -> None:
    """A data set that draws at random is refused, and accepted with read_once=True."""
    subject = module()
    with pytest.raises(layerline.DataError, match="item 0 differs when it is read twice"):
        layerline.fit_torch(subject, Items(noise=1e-3), epochs=1, optimizer=sgd(subject))
    layerline.fit_torch(subject, Items(noise=1e-3), epochs=1, optimizer=sgd(subject), read_once=True)


def test_a_dataset_of_layerline_keeps_its_splits() -> None:
    """What load_data returns is scaled as always; validation is evaluated each epoch, test at the end."""
    pixels = (X[:, 0] * 40 + 100).clamp(0, 255).to(torch.uint8).numpy()
    data = layerline.load_data((pixels, Y.numpy()), test=(pixels[:9], Y[:9]), validation=(pixels[9:20], Y[9:20]))
    subject, expected = module(), module()
    fit = layerline.fit_torch(subject, data, epochs=1, optimizer=sgd(subject), batch_size=BATCH)
    scaled = (torch.from_numpy(data.scaling.apply(pixels[:, None])), Y)
    layerline.fit_torch(expected, scaled, epochs=1, optimizer=sgd(expected), batch_size=BATCH)
    assert_equal(subject, expected, 1e-6)
    assert None not in (fit.history[0].validation_loss, fit.test_loss)


def test_values_that_are_not_set_are_chosen() -> None:
    """Without an optimizer everything is chosen for the data, except augmentation and class weights, and noted."""
    fit = layerline.fit_torch(module(), DATA, epochs=2)
    chosen = {note.partition("=")[0] for note in fit.notes}
    assert chosen == {"batch_size", "learning_rate", "schedule", "optimizer"}
    assert 'optimizer="muon": ' in repr(fit)


def test_after_divergence_everything_is_that_of_the_last_epoch() -> None:
    """If the loss becomes infinite in epoch 2, module, optimizer and scheduler are as after epoch 1."""
    found, expected = module(), module()
    ours, theirs = sgd(found), sgd(expected)
    own, their = (lr_scheduler.StepLR(each, 1, 1e30) for each in (ours, theirs))
    with pytest.raises(layerline.DivergedError, match=r"of epoch 2; the module has the weights from epoch 1") as error:
        layerline.fit_torch(found, DATA, epochs=3, optimizer=ours, scheduler=own, batch_size=BATCH)
    assert "the learning rate 5e+28 is probably too high: try 0.02" in str(error.value)
    train(expected, theirs, their, epochs=(1,))
    assert_equal(found, expected)
    assert own.last_epoch == their.last_epoch == 1
    for place, value in tensors(theirs).items():
        torch.testing.assert_close(tensors(ours)[place], value, rtol=1e-4, atol=1e-5)


def test_pixels_that_are_not_scaled_are_named_as_the_cause() -> None:
    """If the first step diverges on values up to 255, the module is untouched and the message says what to do."""
    subject = module()
    before = copy.deepcopy(subject.state_dict())
    optimizer = optim.SGD(subject.parameters(), lr=1e30)
    with pytest.raises(layerline.DivergedError, match="scale them, such as x / 255") as error:
        layerline.fit_torch(subject, (X * 100, Y), epochs=1, optimizer=optimizer, batch_size=BATCH)
    assert "the module has its weights from before" in str(error.value)
    assert all(torch.equal(value, before[name]) for name, value in subject.state_dict().items())


def test_ctrl_c_between_epochs_ends_the_fit() -> None:
    """After a Ctrl-C no further epoch starts, nothing is tested, and the result has the signal."""
    subject = module()
    fit = layerline.fit_torch(
        *(subject, DATA),
        epochs=5,
        optimizer=sgd(subject),
        batch_size=BATCH,
        test=DATA,
        on_epoch=lambda _: signal.raise_signal(signal.SIGINT),
    )
    assert (len(fit.history), fit.stopped, fit.test_loss) == (1, signal.SIGINT, None)
    assert repr(fit).splitlines()[0] == "1 epoch, stopped"


def test_ctrl_c_within_an_epoch_leaves_the_last_complete_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in the second epoch, everything is as after the first; the next call trains the second, whole."""
    found, expected = module(), module()
    ours, theirs = sgd(found), sgd(expected)
    run = CompiledEngine.train

    def interrupted(engine: CompiledEngine, epoch: Any, first: int) -> int:
        if epoch.number == 2:
            os.kill(os.getpid(), signal.SIGINT)
            while not engine._stopping:
                time.sleep(0.001)
        return run(engine, epoch, first)

    with monkeypatch.context() as patched:
        patched.setattr(CompiledEngine, "train", interrupted)
        fit = layerline.fit_torch(found, DATA, epochs=3, optimizer=ours, batch_size=BATCH)
    assert (len(fit.history), fit.stopped) == (1, signal.SIGINT)
    train(expected, theirs, epochs=(1,))
    assert_equal(found, expected)
    fit = layerline.fit_torch(found, DATA, epochs=1, optimizer=ours, batch_size=BATCH)
    train(expected, theirs, epochs=(2,))
    assert [row.epoch for row in fit.history] == [2]
    assert_equal(found, expected)


def test_an_exception_of_on_epoch_is_the_user_s() -> None:
    """It comes out as it is, and the module has the epoch before it."""
    found, expected = module(), module()

    def fail(_: EpochRow) -> None:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        layerline.fit_torch(found, DATA, epochs=3, optimizer=sgd(found), batch_size=BATCH, on_epoch=fail)
    train(expected, sgd(expected), epochs=(1,))
    assert_equal(found, expected)


def test_without_pytorch_the_message_names_the_extra() -> None:
    """`layerline.fit_torch` can be looked up without importing PyTorch, and called without it says what to install."""
    code = (
        "import sys; sys.modules['torch'] = None\nimport layerline\nf = layerline.fit_torch\n"
        "try: f(1, 2)\nexcept layerline.UserError as error: print(error)"
    )
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.startswith("fit_torch(): PyTorch is not installed\n  help: pip install 'layerline[torch]'")


def test_help_lists_the_options() -> None:
    """The signature has every option by name, for help and for completion."""
    import inspect

    parameters = inspect.signature(layerline.fit_torch).parameters
    assert {"epochs", "optimizer", "scheduler", "validation", "test", "lr", "augment", "seed"} <= parameters.keys()
    assert "patience" not in parameters
    assert np.all([parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters.values()])
