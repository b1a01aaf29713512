"""What `fit_torch` makes of data: which values count as bright, and which items a data set or loader stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import torch_loops
from torch import nn, optim
from torch.utils.data import DataLoader, Dataset, Subset, SubsetRandomSampler, TensorDataset

import layerline

if TYPE_CHECKING:
    from collections.abc import Callable

X, Y = torch_loops.data()
UNIT = (X - X.min()) / (X.max() - X.min())
SCALES: dict[str, torch.Tensor] = {
    "0 to 1": UNIT,
    "-1 to 1": UNIT * 2 - 1,
    "normalized": X,
    "0 to 255": UNIT * 255,
    "0 to 16": UNIT * 16,
    "uint8": (UNIT * 255).to(torch.uint8),
}


def linear() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 3))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("augment", ["brightness=0.3", "contrast=0.5"])
def test_brightness_and_contrast_are_those_of_train(scale: str, augment: str) -> None:
    """The maximum pixel value is the one that `layerline.train` uses for the same images."""
    images = SCALES[scale]
    options: Any = {"optimizer": "sgd", "lr": 1e-9, "schedule": "constant", "momentum": 0.0, "epochs": 1}
    options |= {"batch_size": 16, "augment": augment}
    module = linear()
    data = layerline.load_data((images.numpy(), Y.numpy()), validation="none", test="none")
    run = layerline.train(layerline.from_torch(module, (1, 6, 6)), data, **options)
    by = data.train.source.maximum  # train divides by it, so a module that gets the undivided values does it here
    with torch.no_grad():
        module[1].weight.div_(by)
    fit = layerline.fit_torch(module, (images, Y), **options)
    assert fit.history[0].train_loss == pytest.approx(run.history[0].train_loss, rel=1e-4)
    assert any(f"treat {by:.4g} as the maximum" in note for note in fit.notes)


def test_without_brightness_no_maximum_is_noted() -> None:
    """Flips and shifts need none."""
    module = linear()
    optimizer = optim.SGD(module.parameters(), lr=0.1)
    assert layerline.fit_torch(module, (X, Y), epochs=1, optimizer=optimizer, augment="flip,shift=1").notes == ()


class Doubled(TensorDataset):
    """Tensors with a transform."""

    def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]:
        image, label = super().__getitem__(index)
        return image * 2, label


class Fast(Dataset[Any]):
    """A data set that a DataLoader reads by batches."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> Any:
        raise AssertionError("not what a DataLoader calls")

    def __getitems__(self, indices: list[int]) -> list[Any]:
        return [(X[k] * 2, Y[k]) for k in indices]


DOUBLED: dict[str, Callable[[], Any]] = {
    "a subclass": lambda: Doubled(X, Y),
    "a loader of it": lambda: DataLoader(Doubled(X, Y), batch_size=16),
    "a sampler of it": lambda: DataLoader(Doubled(X, Y), batch_size=16, sampler=SubsetRandomSampler(range(70))),
    "a subset of it": lambda: Subset(Doubled(X, Y), range(70)),
    "batches of items": lambda: DataLoader(Fast(), batch_size=16),
}


@pytest.mark.parametrize("name", DOUBLED)
def test_what_a_data_set_does_to_its_items_is_done(name: str) -> None:
    """A data set with tensors, or one that a DataLoader reads by batches, trains with what it returns."""
    weights = []
    for data in ((X * 2, Y), DOUBLED[name]()):
        module = linear()
        size = {} if isinstance(data, DataLoader) else {"batch_size": 16}
        optimizer = optim.SGD(module.parameters(), lr=0.1)
        layerline.fit_torch(module, data, epochs=1, optimizer=optimizer, shuffle=False, **size)
        weights.append(module[1].weight)
    assert torch.equal(*weights)


def test_an_exception_of_a_data_set_names_the_item() -> None:
    """It is the user's exception, with a note."""

    class Broken(Fast):
        def __getitem__(self, index: int) -> Any:
            if index == 7:
                raise ZeroDivisionError("mine")
            return X[index], Y[index]

    with pytest.raises(ZeroDivisionError, match="mine") as error:
        layerline.fit_torch(linear(), (X, Y), epochs=1, validation=Broken())
    assert error.value.__notes__ == ["validation: while reading item 7"]


@pytest.mark.parametrize(
    ("last", "note"),
    [
        (nn.Sigmoid(), "ends with a sigmoid, as for BCELoss; the loss is the cross-entropy of its 3 outputs"),
        (nn.Softmax(1), "the loss is the cross-entropy of the softmax's input"),
        (nn.LogSoftmax(1), None),
        (nn.Identity(), None),
    ],
)
def test_an_end_that_another_loss_expects_is_noted(last: nn.Module, note: str | None) -> None:
    """In the notes of the fit and of the network; a log-softmax trains with the loss that it is made for."""
    module = nn.Sequential(*linear(), last)
    fit = layerline.fit_torch(module, (X, Y), epochs=1, optimizer=optim.SGD(module.parameters(), lr=0.1))
    for notes in (fit.notes, layerline.from_torch(module, (1, 6, 6)).notes):
        assert len(notes) == (note is not None)
        assert note is None or note in notes[0]


@pytest.mark.parametrize(
    ("result", "epochs"),
    [
        (True, 1),
        (np.True_, 1),
        (np.array(True), 1),
        (torch.tensor(True), 1),
        (torch.tensor([True]), 1),
        (torch.tensor(False), 2),
        (np.False_, 2),
        (1, 2),
        ("stop", 2),
        (np.ones(3, bool), 2),
        (None, 2),
    ],
)
def test_on_epoch_stops_a_training_with_any_true(result: Any, epochs: int) -> None:
    """A comparison of tensors or NumPy numbers stops as Python's True does, in `fit_torch` and in `train`."""
    options: Any = {"epochs": 2, "optimizer": "sgd", "lr": 0.01, "batch_size": 16}
    fit = layerline.fit_torch(linear(), (X, Y), **options, on_epoch=lambda _: result)
    assert len(fit.history) == epochs
    data = layerline.load_data((X.numpy(), Y.numpy()))
    assert len(layerline.train("Flat\nFC classes", data, **options, on_epoch=lambda _: result).history) == epochs
