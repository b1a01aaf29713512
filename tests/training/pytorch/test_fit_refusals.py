"""What `fit_torch` refuses: each with the reason and what to do, before anything is changed."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest
import torch
import torch_loops
from torch import nn, optim
from torch.optim import lr_scheduler
from torch.utils import data as torch_data
from torch.utils.data import DataLoader, TensorDataset

import layerline
from layerline.errors import UserError
from layerline.training.pytorch import torch_data as reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

X, Y = torch_loops.data()
ITEMS: Final = TensorDataset(X, Y)
Call = tuple[Any, Any, dict[str, Any]]
"""Module, data and options."""


class Endless(torch_data.IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(zip(X, Y, strict=True))


class OwnSgd(optim.SGD):
    """A subclass may step differently."""


class OwnSampler(torch_data.Sampler[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(9))


class OwnLoader(DataLoader[Any]):
    """A loader that changes its batches."""

    def __iter__(self) -> Any:
        return ((x * 2, y) for x, y in super().__iter__())


class Frozen(nn.Module):
    """A network whose BatchNorm keeps its statistics."""

    def __init__(self, returned: bool) -> None:
        super().__init__()
        self.body, self.returned = torch_loops.module(), returned

    def forward(self, x: torch.Tensor) -> Any:
        return self.body(x)

    def train(self, mode: bool = True) -> Any:
        super().train(mode)
        self.body[1].eval()
        return self if self.returned else None


class Noisy(Frozen):
    """A network whose dropout stays, for samples of its predictions."""

    def train(self, mode: bool = True) -> Any:
        del mode
        return nn.Module.train(self, True)


def frozen(returned: bool) -> Call:
    module = Frozen(returned)
    module.body[1].train()
    return module, (X, Y), {"epochs": 1}


def call(data: Any = None, **options: Any) -> Call:
    return torch_loops.module(), (X, Y) if data is None else data, {"epochs": 2, **options}


def having(make: Callable[[nn.Module], Any], **options: Any) -> Call:
    """Return a call with an optimizer for the module."""
    module = torch_loops.module()
    return module, (X, Y), {"epochs": 2, "optimizer": make(module), **options}


def scheduled(make: Callable[[Any], Any], **options: Any) -> Call:
    """Return a call with a scheduler for its optimizer."""
    module, data, more = having(lambda m: optim.SGD(m.parameters(), lr=0.1, momentum=0.9), **options)
    return module, data, {**more, "scheduler": make(more["optimizer"])}


def with_module(change: Callable[[nn.Module], Any]) -> Call:
    module = torch_loops.module()
    change(module)
    return module, (X, Y), {"epochs": 2}


class OnDevice:
    """A wrapper that moves the batches of a loader to a device."""

    def __init__(self) -> None:
        self.dl, self.device = loader(), "cpu"

    def __iter__(self) -> Iterator[Any]:
        yield from self.dl

    def __len__(self) -> int:
        return len(self.dl)


class Drawn(torch_data.Dataset[Any]):
    """Random images."""

    def __len__(self) -> int:
        return 9

    def __getitem__(self, index: int) -> Any:
        return torch.rand(1, 6, 6), 0


def single(labels: Any, *, items: bool = False) -> Call:
    """Return a call with a module for BCEWithLogitsLoss."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(36, 1))
    return module, labels if items else (X, labels), {"epochs": 1}


def normalized(data: Any, **options: Any) -> Call:
    """Return a call with a module that has BatchNorm after a matrix."""
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 3), nn.BatchNorm1d(3)), data, {"epochs": 1, **options}


def with_optimizer(call: Call) -> Call:
    return call[0], call[1], {**call[2], "optimizer": optim.SGD(call[0].parameters(), lr=0.1)}


def with_hook(module: nn.Module) -> optim.Optimizer:
    optimizer = optim.SGD(module.parameters(), lr=0.1)
    optimizer.register_step_pre_hook(lambda *_: None)
    return optimizer


def two_groups(module: nn.Module, **second: Any) -> optim.Optimizer:
    first, *others = module.parameters()
    return optim.SGD([{"params": [first]}, {"params": others, **second}], lr=0.1)


def uneven_steps(module: nn.Module) -> optim.Optimizer:
    optimizer = optim.AdamW(module.parameters(), lr=0.1)
    for steps, parameter in enumerate(module.parameters()):
        zero = torch.zeros_like(parameter)
        optimizer.state[parameter] = {"step": torch.tensor(float(steps)), "exp_avg": zero, "exp_avg_sq": zero}
    return optimizer


def loader(**options: Any) -> DataLoader[Any]:
    return DataLoader(ITEMS, **{"batch_size": 16, **options})


def float_labels(images: Any = X) -> list[Any]:
    return [(image, float(label)) for image, label in zip(images, Y, strict=True)]


def of_sizes() -> list[Any]:
    return [(torch.zeros(1, 6, 6 + (k == 3)), 0) for k in range(9)]


CALLS: Final[dict[str, Callable[[], Call]]] = {
    # the module
    "no module": lambda: (lambda x: x, (X, Y), {"epochs": 1}),
    "a class": lambda: (nn.Sequential, (X, Y), {"epochs": 1}),
    "another device": lambda: with_module(lambda m: m.to("meta")),
    "float64": lambda: with_module(lambda m: m.double()),
    "all frozen": lambda: with_module(lambda m: m.requires_grad_(False)),
    "frozen after a trained layer": lambda: with_module(lambda m: m[1].requires_grad_(False)),
    "half a layer frozen": lambda: with_module(lambda m: m[1].bias.requires_grad_(False)),
    "frozen, with a BatchNorm that is not": lambda: with_module(lambda m: (m[0].requires_grad_(False), m[1].eval())),
    "a part in eval mode": lambda: with_module(lambda m: m[1].eval()),
    "a train() that freezes BatchNorm": lambda: frozen(returned=True),
    "a train() that returns nothing": lambda: frozen(returned=False),
    "a train() that freezes BatchNorm, called": lambda: (Frozen(returned=True).train(), (X, Y), {"epochs": 1}),
    "an eval() that changes nothing": lambda: (Noisy(returned=True), (X, Y), {"epochs": 1}),
    "a part in training mode": lambda: with_module(lambda m: m.eval()[1].train()),
    "no parameters": lambda: (nn.Sequential(nn.AvgPool2d(2), nn.Flatten()), (X, Y), {"epochs": 1}),
    "averages of a module": lambda: (optim.swa_utils.AveragedModel(torch_loops.module()), (X, Y), {"epochs": 1}),
    "a tensor hook": lambda: with_module(lambda m: m[0].weight.register_hook(lambda gradient: gradient * 0)),
    "a hook after accumulation": lambda: with_module(
        lambda m: m[5].bias.register_post_accumulate_grad_hook(lambda _: None)
    ),
    "a layer without an equivalent": lambda: (
        nn.Sequential(nn.GroupNorm(1, 1), nn.Flatten(), nn.Linear(36, 3)),
        (X, Y),
        {},
    ),
    # the data
    "a name": lambda: call("mnist"),
    "images of another size": lambda: call((X[:, :, :5], Y)),
    "images alone": lambda: call(X),
    "a number": lambda: call(3),
    "a dictionary": lambda: call({"x": X, "y": Y}),
    "a triple": lambda: call((X, Y, Y)),
    "three tensors": lambda: call(TensorDataset(X, Y, Y)),
    "an endless data set": lambda: call(Endless()),
    "a loader of it": lambda: call(DataLoader(Endless(), batch_size=4)),
    "rows": lambda: call((X.flatten(1), Y)),
    "no channels": lambda: call((X[:, 0], Y)),
    "no images": lambda: call((X[:0], Y[:0])),
    "no items": lambda: call([]),
    "int64 images": lambda: call((X.long(), Y)),
    "NaN": lambda: call((torch.where(torch.arange(70)[:, None, None, None] == 7, torch.nan, X), Y)),
    "ragged": lambda: call(([np.zeros((1, 2, 2)), np.zeros((1, 2, 3))], Y)),
    "one-hot": lambda: call((X, nn.functional.one_hot(Y))),
    "probabilities": lambda: call((X, torch.rand(70, 3).softmax(1))),
    "a column": lambda: call((X, Y[:, None])),
    "float labels": lambda: call((X, Y.float())),
    "fewer labels": lambda: call((X, Y[:60])),
    "too many classes": lambda: call((X, Y + 1)),
    "ignored labels": lambda: call((X, torch.where(Y == 1, -100, Y))),
    "items that are no pairs": lambda: call([X[0], X[1], X[2]]),
    "items with three parts": lambda: call([(X[0], 0, "a.png"), (X[1], 1, "b.png"), (X[2], 2, "c.png")]),
    "items of numbers": lambda: call([(3, 0), (4, 1), (5, 2)]),
    "items with float labels": lambda: call(float_labels()),
    "items with rows as labels": lambda: call([(image, torch.eye(3)[0]) for image in X]),
    "items of several sizes": lambda: call(of_sizes()),
    "other validation images": lambda: call(validation=(X[:, :, :5], Y)),
    "other type of test images": lambda: call(test=(X.to(torch.uint8), Y)),
    "test labels": lambda: call(test=(X, Y + 1)),
    "a Dataset with other splits": lambda: call(layerline.load_data((X[:, 0].numpy(), Y.numpy())), test=(X, Y)),
    "a Dataset with other classes": lambda: call(layerline.load_data((X[:, 0].numpy(), (Y > 0).numpy()))),
    "targets of a regression": lambda: call((X, torch.linspace(0, 5, 210).reshape(70, 3))),
    "several labels per image": lambda: call((X, (torch.arange(210).reshape(70, 3) % 2).float())),
    "one target of a regression": lambda: call((X, torch.linspace(0, 5, 70))),
    "float labels in a column": lambda: call((X, Y.float()[:, None])),
    "text as labels": lambda: call((X, [f"class {k}" for k in Y.tolist()])),
    "objects as labels": lambda: call((X, [None, "a"] * 35)),
    "Boolean labels": lambda: call((X, Y > 0)),
    "float labels in a list": lambda: call((X, Y.float().tolist())),
    "items with targets of a regression": lambda: call([(image, torch.tensor([2.0, 5.0, 1.0])) for image in X]),
    "items with a target of a regression": lambda: call([(image, 0.5) for image in X]),
    "items with text": lambda: call([(image, "cat") for image in X]),
    "items with a column": lambda: call([(image, torch.tensor([1])) for image in X]),
    "batches": lambda: call(list(DataLoader(ITEMS, batch_size=16))),
    "two batches": lambda: call(list(DataLoader(ITEMS, batch_size=35))),
    "a wrapper of a loader": lambda: call(OnDevice()),
    "random validation images": lambda: call(validation=Drawn()),
    "random training images": lambda: call(Drawn()),
    "one output": lambda: single(Y),
    "one output, float labels": lambda: single((Y > 0).float()[:, None]),
    "one output, items": lambda: single([(image, 1.0) for image in X], items=True),
    # loaders
    "a collate function": lambda: call(loader(collate_fn=list)),
    "a loader of one's own": lambda: call(OwnLoader(ITEMS, batch_size=16)),
    "no batches": lambda: call(loader(batch_size=None)),
    "weighted": lambda: call(loader(sampler=torch_data.WeightedRandomSampler([1.0] * 70, 70))),
    "replacement": lambda: call(loader(sampler=torch_data.RandomSampler(ITEMS, replacement=True))),
    "some samples": lambda: call(loader(sampler=torch_data.RandomSampler(ITEMS, num_samples=9))),
    "another sampler": lambda: call(loader(sampler=OwnSampler())),
    "another batch sampler": lambda: call(DataLoader(ITEMS, batch_sampler=[[0, 1], [2, 3]])),
    "two batch sizes": lambda: call(loader(), batch_size=32),
    "no batch left": lambda: call(loader(batch_size=100, drop_last=True)),
    "a last batch of one": lambda: normalized(DataLoader(TensorDataset(X[:33], Y[:33]), batch_size=32)),
    "a loader of single images": lambda: normalized(DataLoader(ITEMS, batch_size=1)),
    "a last batch of one, of tensors": lambda: normalized((X[:33], Y[:33]), batch_size=32),
    "a last batch of one, with an optimizer": lambda: with_optimizer(normalized((X[:65], Y[:65]), batch_size=64)),
    # options
    "no epochs": lambda: having(lambda m: optim.SGD(m.parameters(), lr=0.1), epochs=0),
    "epochs missing": lambda: (lambda c: (c[0], c[1], {"optimizer": c[2]["optimizer"]}))(
        having(lambda m: optim.SGD(m.parameters(), lr=0.1))
    ),
    "lr twice": lambda: having(lambda m: optim.SGD(m.parameters(), lr=0.1), lr=0.1),
    "schedule and optimizer": lambda: having(lambda m: optim.SGD(m.parameters(), lr=0.1), schedule="cosine"),
    "a criterion": lambda: call(criterion=nn.CrossEntropyLoss()),
    "validation data": lambda: call(validation_data=(X, Y)),
    "a device": lambda: call(device="cuda"),
    "patience": lambda: call(patience=3),
    "averages": lambda: call(ema=0.99),
    "a misspelled option": lambda: call(label_smoothin=0.1),
    "unknown optimizer": lambda: call(optimizer="rmsprop"),
    "a batch size of 0": lambda: call(batch_size=0),
    "flips of what cannot be flipped": lambda: call(augment="flop"),
    # optimizers
    "an optimizer class": lambda: call(optimizer=optim.SGD),
    "a function": lambda: call(optimizer=print),
    "Adadelta": lambda: having(lambda m: optim.Adadelta(m.parameters())),
    "RMSprop": lambda: having(lambda m: optim.RMSprop(m.parameters())),
    "Muon": lambda: having(lambda m: optim.Muon([p for p in m.parameters() if p.ndim == 2])),
    "a subclass": lambda: having(lambda m: OwnSgd(m.parameters(), lr=0.1)),
    "hooks": lambda: having(with_hook),
    "dampening": lambda: having(lambda m: optim.SGD(m.parameters(), lr=0.1, momentum=0.9, dampening=0.1)),
    "maximize": lambda: having(lambda m: optim.AdamW(m.parameters(), maximize=True)),
    "amsgrad": lambda: having(lambda m: optim.AdamW(m.parameters(), amsgrad=True)),
    "Adam with weight decay": lambda: having(lambda m: optim.Adam(m.parameters(), weight_decay=0.01)),
    "rates per group": lambda: having(lambda m: two_groups(m, lr=0.2)),
    "momentum per group": lambda: having(lambda m: two_groups(m, momentum=0.5)),
    "decay per group": lambda: having(lambda m: two_groups(m, weight_decay=0.5)),
    "another module's": lambda: having(lambda _: optim.SGD(torch_loops.module().parameters(), lr=0.1)),
    "only the last layer": lambda: having(lambda m: optim.SGD(list(m.parameters())[-2:], lr=0.1)),
    "uneven steps": lambda: having(uneven_steps),
    # schedulers
    "a scheduler alone": lambda: call(scheduler=lr_scheduler.StepLR(optim.SGD([X], lr=0.1), 1)),
    "a scheduler class": lambda: having(lambda m: optim.SGD(m.parameters(), lr=0.1), scheduler=lr_scheduler.StepLR),
    "a function as scheduler": lambda: having(lambda m: optim.SGD(m.parameters(), lr=0.1), scheduler=len),
    "another optimizer's": lambda: having(
        lambda m: optim.SGD(m.parameters(), lr=0.1), scheduler=lr_scheduler.StepLR(optim.SGD([X], lr=0.1), 1)
    ),
    "plateau": lambda: scheduled(lr_scheduler.ReduceLROnPlateau),
    "momentum too": lambda: scheduled(lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=10)),
    "too short": lambda: scheduled(lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=7, cycle_momentum=False)),
    "too short for one epoch": lambda: scheduled(
        lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=3, cycle_momentum=False), epochs=1
    ),
    "negative": lambda: scheduled(lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 0.5 - epoch)),
    "no copies": lambda: scheduled(lambda o: lr_scheduler.LambdaLR(o, _Locked())),
    "an unknown step": lambda: scheduled(lambda o: lr_scheduler.StepLR(o, 1), scheduler_step="step"),
    "a step without scheduler": lambda: call(scheduler_step="batch"),
}


class _Locked:
    """A function of the epoch that cannot be copied."""

    def __init__(self) -> None:
        import threading

        self.lock = threading.Lock()

    def __call__(self, epoch: int) -> float:
        return 1.0 / (1 + epoch)


def refused(make: Callable[[], Call]) -> tuple[str, bool]:
    """Return the message, and whether the module and the optimizer are what they were."""
    module, data, options = make()
    before = copy.deepcopy(module.state_dict()) if isinstance(module, nn.Module) else {}
    if not isinstance(data, DataLoader):
        options.setdefault("batch_size", 16)
    with pytest.raises(UserError) as error:
        layerline.fit_torch(module, data, **options)
    same = not before or all(
        torch.equal(v, before[k]) for k, v in module.state_dict().items() if v.device.type == "cpu"
    )
    return str(error.value), same


def test_refusals_and_their_messages(golden: Callable[[str, str], None]) -> None:
    """Each is answered in Python's terms, and the module is untouched."""
    found = {name: refused(make) for name, make in CALLS.items()}
    assert [name for name, (_, same) in found.items() if not same] == []
    golden("fit-torch.txt", "\n\n".join(f"# {name}\n{message}" for name, (message, _) in found.items()))


def test_a_data_set_that_does_not_fit_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The size is computed from the first item and compared with the free memory."""
    monkeypatch.setattr(reading, "free_bytes", lambda: 10_000)
    with pytest.raises(
        layerline.DataError, match=r"70 images of 1×6×6 need 10\.1 kB of memory, but only 10\.0 kB are free"
    ):
        layerline.fit_torch(torch_loops.module(), list(zip(X, Y, strict=True)), epochs=1)
