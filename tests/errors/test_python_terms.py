"""Messages in Python's terms: every option is an argument, and what is not ours stays as it is."""

from __future__ import annotations

import inspect

import pytest
from places import PACKAGE

import layerline
from layerline.errors import DataError
from layerline.errors.python_terms import OPTIONS, PHRASES, in_python
from layerline.experiment.options import BY_KEY
from layerline.export.export_options import ExportArguments

TERMS = {
    "--epochs 0: must be a whole number": "epochs=0: must be a whole number",
    "--optimizer adam: unknown": 'optimizer="adam": unknown',
    "--data my photos: no file or folder": '"my photos": no file or folder',
    "use --data photos/a.npz": 'use "photos/a.npz"',
    "--warmup: --schedule one-cycle has its own": 'warmup: schedule="one-cycle" has its own',
    "--within decides, but --epochs does too": "within= decides, but epochs= does too",
    "choose another fraction, or use --test none": 'choose another fraction, or use test="none"',
    "use --epochs 3 or a smaller --batch-size": "use epochs=3 or a smaller batch_size=",
    "(--size, --fit)": "(size=, fit=)",
    "exclude them with --exclude '*_mask*'": 'exclude them with exclude="*_mask*"',
    "train on it with --allow leak,mask": "train on it with allow=['leak', 'mask']",
    "--gray yes: the network": "gray=True: the network",
    "--augment flip=3: must be": 'augment="flip=3": must be',
    "--augment flip,shift=4 --seed 3": 'augment="flip,shift=4", seed=3',
    "try --optimizer sgd --learning-rate 0.05.": 'try optimizer="sgd", learning_rate=0.05.',
    "--batch-size 1,000: needs 20 GB": "batch_size=1,000: needs 20 GB",
    "the table: layerline data info p --labels 'a b.csv'": 'the table: load_data("p", labels="a b.csv")',
    "layerline data info '/a b' --exclude x,y; or rename": 'load_data("/a b", exclude="x,y"); or rename',
    "layerline data info p --label-by '([^/]+)_' (3 classes: a, b and c)": 'load_data("p", label_by="([^/]+)_") '
    "(3 classes: a, b and c)",
    "use the archive in it: layerline data info a.zip": 'use the archive in it: load_data("a.zip")',
    "to list every image: layerline data check 'a b' --size 8; fix the data": "fix the data",
    "export to another format (--to c, --to web)": 'export to another format (to="c", to="web")',
    "--pixels int8: must be uint8": 'pixels="int8": must be uint8',
    "for example --name my_net": 'for example name="my_net"',
    "(run layerline data check)": "(run layerline data check)",
    "`layerline train --resume run` writes the rest": "`layerline train --resume run` writes the rest",
    "add --checkpoint-every 5m": "add --checkpoint-every 5m",
    "a--epochs 3, ---epochs": "a--epochs 3, ---epochs",
}


@pytest.mark.parametrize("flags", TERMS)
def test_flags_are_arguments_in_python(flags: str) -> None:
    """A message has its options as Python writes them; commands to run, and flags without an argument, stay."""
    assert in_python(flags) == TERMS[flags]
    assert in_python(TERMS[flags]) == TERMS[flags]


def test_an_error_displays_python_and_keeps_the_flags() -> None:
    """`str` is what a traceback displays; the command line prints `with_flags`."""
    error = DataError("--test 2: wrong", "use --test none")
    assert str(error) == 'test=2: wrong\n  help: use test="none"'
    assert error.with_flags == "--test 2: wrong\n  help: use --test none"


def test_the_options_are_those_of_python() -> None:
    """Every option named here is an argument of a public function, and every option of the table is named here."""
    arguments = {key for key in BY_KEY if key not in ("data", "split_seed", "from", "unfreeze")} | {
        "out",
        "force",
        "seeds",
        "split",
        "data",
        "to",
        *ExportArguments.__annotations__,
    }
    assert {name.replace("-", "_") for name in OPTIONS} == arguments | {"split_seed"}
    functions = (
        layerline.load_data,
        layerline.train_seeds,
        layerline.train,
        layerline.Model.evaluate,
        layerline.Model.export,
        layerline.Recipe,
    )
    known = {name for function in functions for name in inspect.signature(function).parameters}
    known |= ExportArguments.__annotations__.keys()
    assert arguments <= known


def test_every_phrase_with_other_words_occurs() -> None:
    """A phrase that is replaced is still in a message."""
    sources = " ".join(
        path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py") if path.stem != "python_terms"
    )
    joined = sources.replace('"\n            "', "").replace('"\n        "', "")
    assert [phrase for phrase in PHRASES if phrase not in joined] == []
