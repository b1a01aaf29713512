"""Calls that people write who know Keras, PyTorch, fastai or scikit-learn: each works, or is answered by what does."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import pytest
import torch
from image_files import png

import layerline
from layerline.errors import DivergedError, UserError, other_calls
from layerline.network import fitted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

x: Final = (np.arange(48 * 6 * 6) % 251).reshape(48, 6, 6).astype(np.uint8)
y: Final = np.arange(48) % 3
DATA: Final = layerline.load_data((x, y), test=0.25, validation=0.25)
NET: Final = layerline.parse("Flat\nFC 3\nSoftmax\n", DATA)
RUN: Final = layerline.train(NET, DATA, epochs=1, lr=0.01, schedule="constant")
NAMES: Final[dict[str, Any]] = {
    "np": np,
    "pd": pd,
    "torch": torch,
    "layerline": layerline,
    "Recipe": layerline.Recipe,
    "load_data": layerline.load_data,
    "train": layerline.train,
    "read": layerline.read,
    "parse": layerline.parse,
    "load": layerline.load,
    "x": x,
    "y": y,
    "data": DATA,
    "network": NET,
    "run": RUN,
    "model": RUN.model,
    "loader": torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.from_numpy(x)[:, None].float() / 255, torch.from_numpy(y)), batch_size=16
    ),
}
QUICK: Final = "epochs=1, lr=0.01, momentum=0.9, live=False"
CALLS: Final = (
    "load_data((x, y))",
    "load_data((x, y), test=(x[:9], y[:9]), validation=(x[9:18], y[9:18]))",
    "load_data(((x, y), (x[:9], y[:9])))",
    "load_data((x.tolist(), y.tolist()))",
    "load_data((torch.from_numpy(x), torch.from_numpy(y)))",
    "load_data((x, np.eye(3)[y]))",
    "load_data(loader)",
    "load_data(loader.dataset)",
    'load_data(pd.DataFrame({"path": ["a.png", "b.png", "c.png", "d.png"], "species": list("uvuv")}), test=0.5, '
    'validation="none", size=4)',
    'load_data(["a.png", "b.png", "c.png", "d.png"], list("uvuv"))',
    'load_data((["a.png", "b.png", "e.png", "d.png"], list("uvuv")))',
    'load_data(pd.DataFrame({"path": ["a.png", "b.png"], "species": ["u", None]}))',
    "load_data(x, y)",
    "load_data((y, x))",
    "load_data(x)",
    "load_data((x, None))",
    'load_data({"x": x, "y": y})',
    "load_data((x.reshape(48, -1), y))",
    "load_data((x, y[:40]))",
    "load_data((x, y), test_size=0.2)",
    "load_data((x, y), validation_split=0.2)",
    "load_data((x, y), batch_size=32)",
    "load_data((x, y), transform=None)",
    "load_data((x, y), size=64)",
    "load_data((x, y), test=1.5)",
    'load_data("digits", test=(x, y))',
    'load_data("minst")',
    'load_data("digits", normalize="mean")',
    "read(data, 'lenet5')",
    "read('lenet', data)",
    "read('digits', (x, y))",
    'parse("lenet5", data)',
    'parse("Flat\\nDense(3)\\nSoftmax", data)',
    f'train("Flat\\nFC 3\\n", (x, y), {QUICK})',
    f'train("digits", "digits", {QUICK})',
    "train(data, network)",
    "train(network)",
    "train(network, x, y)",
    'train(network, data, {"epochs": 3})',
    "train(torch.nn.Linear(36, 3), data)",
    "train(network, data, epocs=3)",
    'train(network, data, epochs="3")',
    "train(network, data, epochs=0)",
    "train(network, data, num_epochs=3)",
    "train(network, data, learning_rate=0.1, lr=0.1)",
    'train(network, data, optimizer="adam")',
    "train(network, data, optimizer=torch.optim.SGD)",
    "train(network, data, epochs=3, warmup=5)",
    "train(network, data, batch_size=1000, epochs=1, schedule='one-cycle')",
    "train(network, data, callbacks=[])",
    "train(network, data, validation_data=(x, y))",
    "train(network, data, verbose=0)",
    "train(network, data, device='cuda')",
    "train(network, data, engine='torch', device='tpu')",
    "train(network, data, gpus=1)",
    "train(network, data, test=0.2)",
    "train(network, data, patience='5')",
    "train(network, data, class_weights={0: 1.0, 1: 2.0})",
    "train(network, data, augment=True)",
    "Recipe(lr=0.1)",
    "model.predict(x[:2])",
    "model.predict('e.png')",
    "model.predict(x[:2].reshape(2, -1))",
    "model.evaluate(x, y)",
    "model.evaluate(data, 'val')",
    "model.load_data((x, y), size=32)",
    "model.save('model.pt')",
    "load('model.pt')",
    "load()",
    "load_data('photos', label_mode='categorical')",
    "load_data('photos', valid_pct=0.2)",
    "load_data('digits', download=True)",
    "load_data('mnist', root='.')",
    "load_data(x=x, y=y)",
    "load_data('digits', seed='0')",
    "load_data((x, y), limit='20')",
    "load_data('photos', gray='yes')",
    "train(network, data, threads='4')",
    'train(network, data, lr="1e-3")',
    "train(network, data, optimizer=torch.optim.Adam(torch.nn.Linear(2, 2).parameters()))",
    "train(network, data, optimizer='adam', weight_decay=0.1)",
    "train(network, data, pretrained=True)",
    "train(network, data, resume=True)",
    "train(network, data, amp=True)",
    "train(network, data, dropout=0.5)",
    "train(network, data, steps_per_epoch=100)",
    "train(network, data, folds=5)",
    "train(network, data, on_epoch='print')",
    "train(model, data)",
    "train('.', data)",
    "model.predict(x[:2], batch_size=32)",
    "model.predict(data)",
    "model.predict(data.test)",
    "model.evaluate(data, verbose=0)",
    "model.evaluate(data.test)",
    "model.fit(x, y)",
    "model.compile(optimizer='adam')",
    "model.eval()",
    "model.state_dict()",
    "network.fit(x, y)",
    "network.summary()",
    "run.predict(x)",
    "run.evaluate(data)",
    "data.class_names",
    "data.x_train",
    "layerline.Sequential",
    "layerline.load_model('model.h5')",
    "layerline.predict('a.png')",
    "layerline.nothing",
)


def said(call: str) -> str:
    """Return what a program gets: the value's first line and notes, or the error as a traceback ends."""
    try:
        value = eval(call, dict(NAMES))  # noqa: S307 - the calls above
    except (UserError, DivergedError, TypeError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"
    if isinstance(value, layerline.Run):
        return re.sub(r"[0-9]+\.[0-9]+", "…", repr(value).splitlines()[0])
    return repr(value)


def test_forty_calls_and_more_are_answered(
    golden: Callable[[str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What each call of people from other libraries gives was read as the one who typed it would."""
    monkeypatch.chdir(tmp_path)
    for k, name in enumerate("abcd"):
        (tmp_path / f"{name}.png").write_bytes(png(x[k]))
    assert len(CALLS) >= 40
    with np.errstate(all="raise"):
        golden("python-calls.txt", "\n\n".join(f">>> {call}\n{said(call)}" for call in CALLS))


def test_an_attribute_of_another_library_is_missing_all_the_same() -> None:
    """Where a library asks whether there is an attribute, the answer is no; a copy and a pickle are the same object."""
    for value in (RUN, RUN.model, NET, DATA):
        table = other_calls.ATTRIBUTES[type(value).__name__]
        assert table
        assert not any(hasattr(value, name) for name in table)
    assert pickle.loads(pickle.dumps(RUN.model)).classes == copy.copy(RUN.model).classes  # noqa: S301 - our own
    assert not any(hasattr(layerline, name) for name in other_calls.ATTRIBUTES["layerline"])


@pytest.mark.parametrize("function", [layerline.train, layerline.load_data, RUN.model.predict, RUN.model.evaluate])
def test_no_argument_of_ours_is_answered_as_another_library_s(function: Callable[..., Any]) -> None:
    """A table of other libraries' arguments hides none of ours."""
    table = {"train": "TRAIN", "load_data": "LOAD_DATA", "predict": "PREDICT", "evaluate": "EVALUATE"}
    others = getattr(other_calls, table[function.__name__])
    assert others
    assert not others.keys() & inspect.signature(function).parameters.keys()


@pytest.mark.parametrize("call", [call for call in CALLS if "--" not in call])
def test_no_answer_has_a_flag(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In Python an option is an argument: no answer names one by its flag, unless in a command to run."""
    monkeypatch.chdir(tmp_path)
    assert not re.search(r"(?<!\S)\(?--[a-z]", re.sub(r"layerline [a-z]+ [^;\n]*", "", said(call)))


def test_without_a_network_one_is_chosen_for_the_images() -> None:
    """None stands for the network that the command line chooses for these images, in both functions."""
    images = np.random.default_rng(0).integers(0, 256, (60, 28, 28), np.uint8)
    data = layerline.load_data((images, np.arange(60) % 3))
    name, text = fitted.choose(data.shape, 3, len(data.train))
    options = {"epochs": 1, "learning_rate": 0.01, "optimizer": "sgd", "batch_size": 20}
    expected = layerline.train(text, data, **options)
    for run in (layerline.train(None, data, **options), layerline.train_seeds(None, data, seeds=2, **options).runs[0]):
        assert run.model.network.name == name
        assert run.result.test_loss == expected.result.test_loss
    with pytest.raises(UserError, match=r"needs network\n.*train\(None, data\) chooses a network"):
        layerline.train(data=data)
