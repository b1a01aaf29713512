"""What people type who come from other tools: it is understood, or answered by what works when pasted."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

import click
import pytest

from layerline.cli import entry_point, foreign
from layerline.cli.arguments import MistypedError
from layerline.cli.commands import COMMANDS
from layerline.errors import UserError, other_words
from layerline.experiment import toml_file
from layerline.training import by_name, train

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TRAIN = "train lenet5 --data digits"
OPTIONS = (
    *(
        "--lr0 0.01",
        "--learn_rate 0.1",
        "--device cuda",
        "--device cuda:0",
        "--device 0",
        "--device tpu --engine torch",
        "--device gpu --engine torch",
        "--precision bf16",
        "--dtype float16",
        "--gpu 0 --gpus",
        "--no-cuda",
        "--workers 4",
    ),
    *(
        "--num_workers=4",
        "-j 4",
        "--jobs",
        "--val 0.2",
        "--val-split 0.2",
        "--validation-split 0.2",
        "--test-split 0.1",
    ),
    *("--imgsz 64", "--img-size 64", "--image-size 64", "--grayscale", "--pretrained", "--pretrained True"),
    *(
        "--weights yolo.pt",
        "--optimizer adam --weight-decay 0.1",
        "--optimizer rmsprop",
        "--optim adam",
        "--name exp1",
        "--project mine",
    ),
    *("--output-dir my-run", "-o 'my run'", "--save", "--exist-ok --out a", "--patience", "--early-stopping"),
    *("--early-stopping 7", "--resume", "--resume --epochs 30", "--epoch 3", "--num-epochs 3", "-e 10 -b 32"),
    *("-epochs 3", "-lr 0.1", "\N{EM DASH}epochs 3", "epochs=3", "imgsz=64", "--random-seed 1", "--dataset mnist"),
    *("--model resnet20", "--augmentation", "--fliplr 0.5", "--degrees 15", "--mixup 0.2", "--dropout 0.5"),
    *("--num-classes 10", "--verbose", "-v", "--silent", "--scheduler cosine", "--lr-scheduler onecycle", "--cos-lr"),
    *("--schedule cosin", "--schedule xyz", "--schedule onecycle", "--schedule plateau", "--step-size 5 --gamma 0.1"),
    *("--amp", "--precision 16", "--deterministic", "--shuffle", "--pin-memory", "--loss cross_entropy", "--wandb"),
    *("--save-best-only", "--clip-grad-norm 1", "--init kaiming", "--best val_acc", "--monitor val_loss", "--compile"),
    *(
        "--split 0.2",
        "--freeze 10",
        "--max-time 5m",
        "--xyz 3",
        "--z",
        "--epcoh 3",
        "--limit --epochs 3",
        "--bs 3 --batch 4",
    ),
    *("--weights runs/a", "--finetune m.safetensors", "--from-scratch", "--freeze-layers 2", "--rgb", "--no-gray=1"),
    *("--log-interval 10", "--test-batch-size 1000", "--no-accel", "--dry-run", "--save-period 5", "--min-lr 1e-5"),
    *("--start-epoch 3", "--steps-per-epoch 100", "--distributed", "--world-size 2", "--test-only", "--mean 0.5"),
    *("--max-iter 200", "--class-weight balanced", "--n-iter-no-change 5", "--optimizer SGD", "--gray maybe"),
    *("--auto-augment randaugment", "--color-jitter 0.4", "--erasing 0.4", "--hflip 0.5 --vflip 0.5", "--no-augment"),
    *("--translate 0.1 --scale 0.5 --fliplr 0.5", "--val False", "--no-val", "--early-stopping True", "--time 0.5"),
    *("--timeout 5m", "--fraction 0.1", "--cv 5", "--stratify", "--warmup-steps 100", "--max-steps 1000", "--lr-find"),
    *("--gradient-accumulation-steps 4", "--evaluation-strategy epoch", "--report-to wandb", "--bn-momentum 0.1"),
    *("--labels-file x.csv", "--device -1", "--decay-epochs 30 --decay-rate 0.1", "--lr0 0.1 --epcoh 3 --box 7.5"),
)
LINES = (
    *(f"{TRAIN} {typed}" for typed in OPTIONS),
    "train --model lenet5 --dataset digits --bs 32 --lr0 0.01 --optim adam --name exp1 --workers 4",
    "train model=lenet5 data=digits epochs=3 imgsz=28 device=cpu workers=2",
    "train lenet5 --train-dir photos/train --val-dir photos/val",
    "train --data photos --pretrained",
    "train --data photos --transfer --epochs 3",
    "train --data photos --backbone resnet18 --freeze",
    "train resnet50 --data photos --pretrained=True",
    "train --data photos --weights resnet18.pth",
    "train lenet5 mnist",
    "train lenet5 photos/ --lr0 0.1",
    "train lenet5 other.cnn",
    "evaluate runs/a photos --bs 32",
    *(
        "val",
        "eval",
        "test",
        "test m.safetensors --data 'my photos'",
        "fit",
        "fit lenet5 --data digits",
        "finetune runs/a --epochs 5",
        "summary",
    ),
    *("summary lenet5", "plot", "plot runs/x", "inference m.safetensors a.png", "classify", "resume", "download"),
    *(
        "export runs/a --format onnx --dry-run",
        "serve",
        "tune",
        "info",
        "list",
        "show",
        "benchmark",
        "init",
        "diff runs/a runs/b",
    ),
    *("trin", "frobnicate", "data ls", "data download", "data doctor photos", "data preview", "data frobnicate"),
    "predict --model m.safetensors --source a.jpg --conf 0.5",
    "predict --weights m.safetensors a.jpg --json --device cuda",
    "evaluate --weights m.safetensors --data digits --batch_size 3 --workers 2",
    "describe --model lenet5 --data digits --imgsz 32",
)


def answer(capsys: pytest.CaptureFixture[str], line: str) -> str:
    code = entry_point.main(shlex.split(line))
    said = capsys.readouterr()
    assert (code, said.out) == (2, ""), line
    return said.err


def parsed(words: list[str]) -> list[tuple[click.Command, dict[str, object]]]:
    """Return the commands that click reads out of these words, each with its values. Raises UsageError."""
    context = entry_point.layerline.make_context("layerline", list(words))
    found = []
    while isinstance(context.command, click.Group):
        _, command, rest = context.command.resolve_command(context, [*context._protected_args, *context.args])
        assert command is not None
        context = command.make_context(command.name, rest, parent=context)
        found.append((command, context.params))
    return found


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_answer(capsys: pytest.CaptureFixture[str], golden: Callable[[str, str], None]) -> None:
    """Exit 2 before anything is read, and the words of each answer."""
    golden("other-words.txt", "\n".join(f"$ layerline {line}\n{answer(capsys, line)}" for line in LINES))


@pytest.mark.parametrize("line", LINES)
def test_a_command_in_an_answer_works(capsys: pytest.CaptureFixture[str], line: str) -> None:
    """What a help line tells to type is read without a further mistake, and each value of train is valid."""
    said = answer(capsys, line)
    suggested = said.rstrip().rpartition("help: ")[2]
    if not suggested.startswith("layerline "):
        return
    words = shlex.split(suggested)[1:]
    assert parsed(words)
    unfinished = {"N", "RUN", "--start-from", "--labels"}  # to be filled in, or files that are read first
    if words[0] == "train" and "--data" in words and not unfinished & {*words}:
        words[words.index("--data") + 1] = "nowhere"  # which is looked for after every value has been checked
        assert answer(capsys, shlex.join(words)).startswith("--data nowhere: no file")


@pytest.mark.parametrize("name", foreign.OPTIONS)
def test_every_foreign_option_is_answered(name: str) -> None:
    """Every row of the table ends in a command that is read; none hides an option of ours."""
    for word in foreign.OPTIONS[name]:
        start = "train" if name == "train" else f"{name} x"
        option, _, value = word.partition(" ")
        with pytest.raises(MistypedError) as caught:
            parsed([*start.split(), f"--{option}", *([value] if value else [])])
        if name != "predict":  # which needs images
            assert parsed(shlex.split(caught.value.help)[1:]), word


def test_every_other_name_is_answered() -> None:
    """Every other name of an option of train ends in a command that is read, and is no option itself."""
    command, _ = parsed(["train"])[0]
    flags = {flag for one in command.params for flag in one.opts} | {"--batch", "--bs", "--wd"}
    for word, ours in other_words.OURS.items():
        if f"--{ours}" not in flags or f"--{word}" in flags or word in foreign.OPTIONS["train"]:
            continue
        with pytest.raises(MistypedError) as caught:
            parsed(["train", f"--{word}"])
        assert f"--{ours}" in caught.value.help
        assert parsed(shlex.split(caught.value.help)[1:]), word


def test_every_other_command_is_answered() -> None:
    """Every command of others leads to one of ours, and none is one of ours."""
    for word in [*foreign.CALLED["layerline"], *foreign.ABSENT]:
        assert word not in COMMANDS
        with pytest.raises(MistypedError) as caught:
            parsed([word])
        assert parsed(shlex.split(caught.value.help)[1:]), word


@pytest.mark.parametrize(
    "typed",
    ["--batch_size 3 --weight_decay 0.1", "--batch 3 --wd 0.1", "--bs=3 --weight-decay=0.1", "--batch_size=3 --wd=0.1"],
)
def test_abbreviations_and_underscores_are_taken(typed: str) -> None:
    """They mean one option, and nothing is said."""
    [(_, values)] = parsed([*TRAIN.split(), *typed.split()])
    assert (values["batch_size"], values["weight_decay"]) == ("3", "0.1")


def test_a_value_is_never_taken_for_an_option() -> None:
    """What follows an option is its value, whatever it looks like; what follows -- is not touched."""
    [(_, values)] = parsed(["train", "--out", "--batch_sizes", "--exclude", "epochs=3", "--seed", "-1", "--", "--bs"])
    assert [values[key] for key in ("out", "exclude", "seed", "net")] == ["--batch_sizes", "epochs=3", "-1", "--bs"]


def test_a_file_with_an_equals_sign_is_a_file(tmp_path: Path) -> None:
    """`size=3.png` is an image where it is there."""
    (tmp_path / "data=3.cnn").write_text("Flat\nFC 10\n")
    [(_, values)] = parsed(["train", "data=3.cnn"])
    assert values["net"] == "data=3.cnn"


@pytest.mark.parametrize(
    ("typed", "value"),
    [("--gray", "yes"), ("--no-gray", "no"), ("--gray yes", "yes"), ("--gray no", "no"), ("--gray=FALSE", "no")],
)
def test_a_switch_has_two_forms_and_takes_a_value(typed: str, value: str) -> None:
    """With or without yes and no; what follows is not its value if it is neither."""
    for line in (f"train {typed} lenet5 --nesterov", f"train lenet5 --no-nesterov {typed}"):
        [(_, values)] = parsed(line.split())
        assert (values["gray"], values["net"]) == (value, "lenet5")
        assert values["nesterov"] == ("no" if "--no-nesterov" in line else "yes")


@pytest.mark.parametrize("typed", ["train --help", "train -h", "help train", "train lenet5 -h --seed 3"])
def test_the_first_screen_of_train_fits_a_terminal(capsys: pytest.CaptureFixture[str], typed: str) -> None:
    """At most 39 lines of 80 columns, so that the prompt fits too; its examples are read, and the rest is one more."""
    assert entry_point.main(typed.split()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 40
    assert max(map(len, lines)) <= 80
    for example in lines[lines.index("Examples:") + 1 :]:
        assert parsed(shlex.split(example)[1:])
    assert entry_point.main(["train", "--help-all"]) == 0
    everything = capsys.readouterr().out
    assert "--checkpoint-every" in everything
    assert "[none] [none]" not in " ".join(everything.split())
    [(command, _)] = parsed(["train"])
    assert all(flag in everything for one in command.params for flag in one.opts if flag.startswith("--"))


@pytest.mark.parametrize(
    "typed", ["help", "-h", "help train", "train -h", "version", "-V", "data help", "help data info"]
)
def test_help_and_version_are_understood(capsys: pytest.CaptureFixture[str], typed: str) -> None:
    """They do what the options do."""
    assert entry_point.main(typed.split()) == 0
    said = capsys.readouterr()
    assert said.out.startswith(("Usage: layerline", "layerline "))
    assert said.err == ""


def test_the_newest_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--resume` alone names the newest run that can be resumed."""
    assert "layerline train --resume RUN\n" in answer(capsys, "train --resume")
    for when, name in enumerate(("b", "new run", "a"), 1_000_000):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "history.jsonl").write_text("")
        (folder / "experiment.toml").write_text('[network]\nfile = "lenet5"\n')
        os.utime(folder / "experiment.toml", (when, when))
    (tmp_path / "runs" / "a" / "ending.json").write_text('{"ended": "diverged"}')
    assert "layerline train --resume 'runs/new run'\n" in answer(capsys, "train --resume")


@pytest.mark.parametrize(
    ("key", "ours"), [("lr", "learning_rate"), ("bs", "batch_size"), ("early_stopping", "patience")]
)
def test_a_file_and_python_know_the_other_names(tmp_path: Path, key: str, ours: str) -> None:
    """A key of experiment.toml and an argument are answered as an option is."""
    (tmp_path / "e.toml").write_text(f'[network]\nfile = "lenet5"\n[train]\n{key} = 1\n')
    with pytest.raises(UserError, match=f"did you mean {ours}"):
        toml_file.read(tmp_path / "e.toml")
    if key == "lr":  # which the command line has too
        assert by_name.options_of({key: 1}, train) == {ours: 1}
        return
    with pytest.raises(UserError, match=f"did you mean {ours}"):
        by_name.options_of({key: 1}, train)
