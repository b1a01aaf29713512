"""What a type checker says of calls of the public functions: misspelled and wrongly typed options are refused."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from places import ROOT

import layerline
from layerline.data.data_options import ModelDataOptions

if TYPE_CHECKING:
    from pathlib import Path

BEFORE = """\
import numpy as np
import torch
import layerline

module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
data = layerline.load_data("digits")
network = layerline.read("lenet5", data)
x, y = np.zeros((9, 8, 8), np.uint8), np.zeros(9, np.int64)
"""
RIGHT = (
    'layerline.train(network, data, epochs=3, batch_size=50, lr=0.1, optimizer="adamw", augment="flip,shift=4")',
    'layerline.train("lenet5", "mnist", epochs=3)',
    'layerline.train("lenet5", (x, y), patience="none", class_weights=[1, 2.5])',
    "layerline.train(network, data, on_epoch=lambda row: row.train_loss < 0.1)",
    'layerline.load_data((x, y), test=(x, y), validation=0.2, normalize="standard")',
    'layerline.load("model.safetensors").load_data("photos/", test="none", limit=100)',
    "images, labels = data.train.images, data.train.labels",
    "layerline.train(network, data).plot().save('curves.png')",
    "layerline.train_seeds(network, data, seeds=3, epochs=2)",
    'layerline.fit_torch(module, (x, y), epochs=3, optimizer="sgd", lr=0.1, on_epoch=print).history[-1].train_loss',
    "layerline.fit_torch(module, (x, y), epochs=3, optimizer=torch.optim.SGD(module.parameters()), test=(x, y))",
)
WRONG = {
    "layerline.train(network, data, epocs=3)": 'keyword argument "epocs" for "train"; did you mean "epochs"',
    'layerline.train(network, data, epochs="3")': 'Argument "epochs" to "train" has incompatible type "str"',
    'layerline.train(network, data, optimizer="adam")': 'Argument "optimizer" to "train" has incompatible type',
    "layerline.train(network)": 'Missing positional argument "data"',
    "layerline.train_seeds(network, data, epocs=3)": 'Unexpected keyword argument "epocs"',
    "layerline.load_data((x, y), val_split=0.2)": 'Unexpected keyword argument "val_split" for "load_data"',
    "layerline.load_data((x, y), limit='9')": 'Argument "limit" to "load_data" has incompatible type "str"',
    "layerline.load_data(x, y)": 'Too many positional arguments for "load_data"',
    'layerline.load("m").load_data("photos/", size=3)': 'Unexpected keyword argument "size" for "load_data" of "Model"',
    "layerline.fit_torch(module, (x, y), epocs=3)": 'Unexpected keyword argument "epocs" for "fit_torch"',
    "layerline.fit_torch(module, (x, y), patience=3)": 'Unexpected keyword argument "patience" for "fit_torch"',
    'layerline.fit_torch(module, (x, y), optimizer="adam")': 'Argument "optimizer" to "fit_torch" has',
    'layerline.read(data, "lenet5")': 'Argument 1 to "read" has incompatible type "Dataset"',
}


def test_mypy_refuses_what_is_misspelled_or_of_another_type(tmp_path: Path) -> None:
    """mypy finds every wrong call in a program, by its line, and no fault in a right one."""
    lines = [*BEFORE.splitlines(), *RIGHT, *WRONG]
    (tmp_path / "program.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "mypy.ini").write_text(
        "[mypy]\nstrict = true\nfollow_imports = silent\nignore_missing_imports = true\n"
    )
    ended = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "program.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    said: dict[int, str] = {}
    for number, text in re.findall(r"program\.py:(\d+): error: (.*)", ended.stdout):
        said.setdefault(int(number), text)
    first = len(lines) - len(WRONG) + 1
    assert set(said) == set(range(first, first + len(WRONG))), ended.stdout
    for number, (call, words) in enumerate(WRONG.items(), first):
        assert words in said[number], call
    assert (ROOT / "src" / "layerline" / "py.typed").exists()


def test_the_typed_options_of_a_model_s_data_are_those_of_load_data() -> None:
    """ModelDataOptions has the options of load_data, and their types, without those that the model determines."""
    parameters = inspect.signature(layerline.load_data).parameters
    own = {"source", "size", "fit", "gray", "input_shape", "sizing"}
    assert set(ModelDataOptions.__annotations__) == set(parameters) - own
    for name, type_ in ModelDataOptions.__annotations__.items():
        assert type_.__forward_arg__ == parameters[name].annotation
