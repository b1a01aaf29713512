"""Networks and runs in a notebook: a real one is executed; what it shows is escaped, and loads nothing."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from html.parser import HTMLParser
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
import small_data
from nbclient import NotebookClient
from places import ROOT

import layerline
from layerline.network import parse, read
from layerline.report import notebook
from layerline.runs.history import EpochRow
from layerline.runs.result import Result
from layerline.training.live import Live, live
from layerline.training.watch import Progress, Stage

NOTEBOOK = ROOT / "examples" / "first-network.ipynb"


class Page(HTMLParser):
    """Checks that elements are closed in turn, and that nothing in them is loaded or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []
        assert not re.search(r"https?:|url\(|@import", text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert tag not in {"script", "link", "img", "iframe", "object", "use", "image"}
        for name, _ in attrs:
            assert not name.startswith("on")
            assert name not in {"src", "href", "xlink:href"}
        self.tags.append(tag)
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


def row(epoch: int, loss: float = 0.5, validation: float | None = 0.6, best: bool = False) -> EpochRow:
    share = None if validation is None else 0.75
    return EpochRow(epoch, loss, 0.8, 0.79, validation, share, share, 0.05, 1.0, 1.5, 1000.0, best)


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """Return the outputs of each cell of the notebook, executed from the top."""
    book = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in book.cells), "the file is kept without outputs"
    folder = tmp_path_factory.mktemp("notebook")
    NotebookClient(book, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    assert list(folder.iterdir()) == []
    return {cell["id"]: cell.get("outputs", []) for cell in book.cells}


def test_a_network_shows_its_layers(executed: dict[str, list[Any]]) -> None:
    """The cell that ends in the network shows the table that describe prints: every cell of it."""
    (output,) = executed["read"]
    page = Page(output["data"]["text/html"])
    described = read("digits", input_shape=(1, 8, 8), classes=10).describe()
    body = described.split("─\n", 1)[1].rsplit("\n─", 1)[0].splitlines()
    for line in body:
        for cell in re.split(r"\s{2,}", line.strip()):
            if cell != "–":
                assert cell in page.text
    assert page.tags.count("tr") == 1 + len(body) + 1


def test_one_figure_follows_the_training(executed: dict[str, list[Any]]) -> None:
    """While it trains there is one output, which in the end has the curves of all epochs."""
    (output,) = executed["train"]
    assert output["output_type"] == "display_data"
    page = Page(output["data"]["text/html"])
    assert page.tags.count("svg") == 3
    assert "validation, epoch 5: " in page.text
    assert "finished: 5 epochs" in page.text


def test_a_run_shows_its_test_and_curves(executed: dict[str, list[Any]]) -> None:
    """The run has the test's figures and three charts, and says the same as plain text where nothing can draw."""
    (output,) = executed["run"]
    page = Page(output["data"]["text/html"])
    assert page.tags.count("svg") == 3
    assert "5 epochs in " in page.text
    found = re.search(r"macro F1 (0\.[0-9]{4})", page.text)
    assert found
    assert found[1] in output["data"]["text/plain"]


def test_pandas_takes_the_history(executed: dict[str, list[Any]]) -> None:
    """pandas.DataFrame(run.history) has a row an epoch and a column a field, with their types."""
    assert "validation_macro_f1" in executed["history"][0]["data"]["text/plain"]
    table = pd.DataFrame((row(1, best=True), row(2, validation=None)))
    assert list(table.columns) == [field.name for field in dataclasses.fields(EpochRow)]
    assert table["epoch"].tolist() == [1, 2]
    assert table["best"].tolist() == [True, False]
    assert np.isnan(table["validation_loss"][1])
    assert table.dtypes["train_loss"] == np.float64


def test_predictions_of_the_model(executed: dict[str, list[Any]]) -> None:
    assert executed["predict"][0]["data"]["text/plain"].startswith("array([")


def test_where_there_is_no_notebook_nothing_is_shown() -> None:
    """A plain Python neither imports IPython nor prints anything while it trains; nor does one that has imported it."""
    code = (
        "import sys\n"
        "{first}import layerline\n"
        "data = layerline.load_data('digits', limit=50)\n"
        "run = layerline.train(layerline.read('digits', data), data, epochs=1)\n"
        "run._repr_html_(); layerline.read('digits', data)._repr_html_()\n"
        "print('IPython' in sys.modules, 'matplotlib' in sys.modules)\n"
    )
    for first, expected in (("", "False False\n"), ("import IPython; ", "True False\n")):
        ran = subprocess.run(  # noqa: S603
            [sys.executable, "-c", code.format(first=first)], capture_output=True, text=True, check=True
        )
        assert ran.stdout == expected
        assert ran.stderr == ""
    assert live() is None


def test_names_are_escaped() -> None:
    """What a class, a remark, a folder or a network is called is text and nothing else (hostile case 109)."""
    evil = "<img src=x>&\x1b[31m"
    beside = {"largest_class": {"class": evil, "accuracy": 0.4, "macro_f1": 0.1}}
    result = Result(("a", "b"), 0.5, 0.75, 0.7, baselines=beside, remarks=(evil,))
    page = Page(notebook.run([row(1)], result, 1, stopped=False, folder=evil))
    assert page.text.count("<img src=x>&\\x1b[31m") == 3
    network = parse("Flat\nFC classes", name=evil, input_shape=(1, 2, 2), classes=2)
    assert "<img src=x>&\\x1b[31m" in Page(network._repr_html_()).text


def test_figures_beside_the_test() -> None:
    """Intervals, both baselines and remarks stand beside the test where the run has them."""
    result = Result(
        ("cat", "dog"),
        0.5,
        0.75,
        0.7,
        intervals={"test_accuracy": (0.71, 0.79), "test_macro_f1": (0.65, 0.74)},
        baselines={
            "largest_class": {"class": "cat", "accuracy": 0.4, "macro_f1": 0.1},
            "thumbnails": {"accuracy": 0.55, "macro_f1": 0.5},
            "nearest": {"accuracy": 0.6, "macro_f1": 0.5},
        },
        remarks=("The model never predicts dog.",),
    )
    text = Page(notebook.run([row(1, best=True), row(2)], result, 1, stopped=False, folder="runs/a-1")).text
    assert "accuracy 0.7500" in text
    assert "(0.7100 to 0.7900)" in text
    beside = "always “cat”: 0.4000; logistic regression on 16×16 thumbnails: 0.5500; nearest training image by 16×16"
    assert f"{beside} thumbnails: 0.6000" in text
    assert "The model never predicts dog." in text
    assert "2 epochs in 3.00 s; saved weights: epoch 1" in text
    assert "written to runs/a-1" in text


def test_runs_that_did_not_come_to_their_end() -> None:
    """Stopped before the first epoch, without validation, with losses that are no numbers: there is still a page."""
    assert "stopped after 0 epochs no test" in Page(notebook.run([], Result(("a",)), 0, stopped=True, folder=None)).text
    rows = [row(1, validation=None), row(2, loss=float("nan"), validation=None)]
    page = Page(notebook.run(rows, Result(("a",)), 0, stopped=False, folder=None))
    assert page.tags.count("svg") == 3
    assert "validation" not in page.text
    nothing = [dataclasses.replace(row(1, validation=None), train_loss=float("inf"))]
    assert Page(notebook.run(nothing, Result(("a",)), 1, stopped=False, folder=None)).tags.count("svg") == 2


def test_a_run_in_python_has_all_of_it() -> None:
    """`_repr_html_` of a run that was trained is what the page is made of."""
    data = small_data.dataset()
    run = layerline.train(layerline.parse("Flat\nFC classes", data), data, epochs=2)
    page = Page(run._repr_html_())
    assert page.tags.count("svg") == 3
    assert f"loss {run.result.test_loss:.4f}" in page.text


def test_the_figure_is_drawn_seldom() -> None:
    """The line is drawn at most twice a second of the training, at once when the phase changes, and at each epoch."""
    shown: list[tuple[str, str]] = []
    figure = Live(lambda html, plain: shown.append((html, plain)))
    figure.progress(Progress(Stage.COMPILING, 0, 2, 0, 10, 0, 0.0, 0.0))
    assert [plain for _, plain in shown] == ["compiling"]
    for step in range(10):
        figure.progress(Progress(Stage.TRAINING, 1, 2, step, 10, 64 * step, step / 10, step / 10))
    assert len(shown) == 3  # at 0 s and at 0.5 s
    assert shown[-1][1] == "epoch 1 of 2, 25%, 640 images/s, 1.50 s left"
    figure.epoch(row(1, best=True), None, None)  # type: ignore[arg-type]
    assert len(shown) == 4
    assert shown[-1][1] == "epoch 1 of 2, 1,000 images/s"
    assert Page(shown[-1][0]).tags.count("svg") == 3
    figure.note("no better epoch for 3: ends here (--patience)")
    assert shown[-1][1].endswith("; no better epoch for 3: ends here (--patience)")
