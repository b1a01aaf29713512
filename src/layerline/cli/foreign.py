"""Options and commands of other tools that Layerline lacks or has elsewhere, with what to type instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final


@final
@dataclass(frozen=True)
class Foreign:
    """An option of other tools that corresponds to none of ours."""

    reason: str
    instead: str = ""
    """What to type instead, {} for the value; empty if it is simply omitted."""
    value: bool = False
    """Whether any word that follows is its value; otherwise only one such as True, or a number."""
    default: str = ""
    """The value to suggest if none was specified."""


_CPU: Final = Foreign("Layerline trains on the CPU by default; omit this")
_GPU: Final = Foreign("Layerline trains on the CPU; only its PyTorch engine uses a GPU", "--engine torch")
_FLOAT32: Final = Foreign("Layerline always computes in float32")
_SCRATCH: Final = Foreign("Layerline trains from scratch, without pretrained weights", value=True)
_REPEATABLE: Final = Foreign("runs are always deterministic; --seed changes the result")
_PRINTED: Final = Foreign("everything is printed by default; --quiet prints less")
_SAVED: Final = Foreign("the weights of the best epoch are always saved")
_IN_THE_FILE: Final = Foreign("is set in the network file", value=True)
_IN_THE_DATA: Final = Foreign("comes from the data", value=True)
_PICTURED: Final = Foreign("every run's folder has its history and graphs")
_LOADED: Final = Foreign("all images are kept in memory")
_NET: Final = Foreign("the network is an argument, not an option", "{}", value=True, default="lenet5")
_MODEL: Final = Foreign("the model is an argument, not an option", "{}", value=True, default="RUN")
_SET: Final = Foreign("train, val and test are in one folder, specified by --data", value=True)
_ONE_PATH: Final = Foreign("the images are arguments after the model, not an option", value=True)
_NO_DEVICE: Final = Foreign("this runs on the CPU; omit this")

_TRAIN: Final[dict[str, Foreign]] = {
    **dict.fromkeys(("no-cuda", "no-gpu", "cpu", "disable-cuda"), _CPU),
    "device cpu": Foreign(_CPU.reason, value=True),
    "device": Foreign(_GPU.reason, _GPU.instead, value=True),
    **dict.fromkeys(("gpu", "gpus", "cuda", "use-gpu", "use-cuda", "mps", "gpu-id", "accelerator"), _GPU),
    **dict.fromkeys(("amp", "half", "fp16", "bf16", "mixed-precision", "use-amp"), _FLOAT32),
    **dict.fromkeys(("precision", "dtype"), Foreign(_FLOAT32.reason, value=True)),
    **dict.fromkeys(("weights", "init-weights", "finetune", "load", "checkpoint", "ckpt"), _SCRATCH),
    **dict.fromkeys(("pretrained", "use-pretrained", "fine-tune", "transfer-learning"), Foreign(_SCRATCH.reason)),
    **dict.fromkeys(("freeze", "freeze-layers"), Foreign(_SCRATCH.reason)),
    **dict.fromkeys(("deterministic", "reproducible"), _REPEATABLE),
    **dict.fromkeys(("verbose", "v", "vv", "debug", "progress"), _PRINTED),
    **dict.fromkeys(("save-best", "save-best-only", "save-model", "save-weights"), _SAVED),
    **dict.fromkeys(("dropout", "dropout-rate", "drop", "drop-rate"), _IN_THE_FILE),
    **dict.fromkeys(("activation", "layers", "num-layers", "filters", "kernel-size", "hidden-size"), _IN_THE_FILE),
    **dict.fromkeys(("batch-norm", "batchnorm", "depth"), Foreign(_IN_THE_FILE.reason)),
    **dict.fromkeys(("num-classes", "n-classes", "nc", "channels", "in-channels", "input-channels"), _IN_THE_DATA),
    **dict.fromkeys(("plots", "plot", "tensorboard", "wandb", "log", "csv-log", "plot-history"), _PICTURED),
    "logger": Foreign(_PICTURED.reason, value=True),
    **dict.fromkeys(("pin-memory", "prefetch", "persistent-workers", "prefetch-factor"), _LOADED),
    "shuffle": Foreign("the images are always shuffled before every epoch"),
    **dict.fromkeys(("loss", "loss-fn", "criterion"), Foreign("the loss is always cross-entropy", value=True)),
    **dict.fromkeys(("metrics", "metric"), Foreign("accuracy and macro F1 are always measured", value=True)),
    "compile": Foreign("the network is always compiled"),
    **dict.fromkeys(("model", "arch", "a", "net", "network", "architecture", "m", "cfg", "backbone", "config"), _NET),
    "project": Foreign("a run has one folder, specified by --out", "--out {}/1", value=True, default="runs"),
    **dict.fromkeys(("flip", "hflip", "fliplr", "horizontal-flip"), Foreign("is part of --augment", "--augment flip")),
    **dict.fromkeys(
        ("rotation", "degrees", "rotate"), Foreign("is part of --augment", "--augment rotate={}", default="10")
    ),
    **dict.fromkeys(("mixup", "cutmix", "mosaic", "copy-paste"), Foreign("is not available in --augment")),
    **dict.fromkeys(("cos-lr", "cosine"), Foreign("is a value of --schedule", "--schedule cosine")),
    **dict.fromkeys(("rgb", "color", "colour"), Foreign("--no-gray reads images as RGB", "--no-gray")),
    **dict.fromkeys(
        ("train-dir", "train-data", "train-path", "train", "traindir"),
        Foreign(_SET.reason, "--data {parent}", value=True, default="photos/train"),
    ),
    **dict.fromkeys(("val-dir", "val-data", "val-path", "validation-dir", "validation-data", "valdir"), _SET),
    **dict.fromkeys(("test-dir", "test-data", "test-path"), _SET),
    "split": Foreign("the splits are set by --test and --validation", "--test {}", value=True, default="0.15"),
}
_USE: Final[dict[str, Foreign]] = {
    **dict.fromkeys(("model", "weights", "m", "checkpoint", "ckpt", "model-path", "load"), _MODEL),
    **dict.fromkeys(("gpu", "cuda", "no-cuda", "cpu", "half", "fp16", "amp"), _NO_DEVICE),
    "device": Foreign(_NO_DEVICE.reason, value=True),
    **dict.fromkeys(("verbose", "v"), Foreign("everything is printed by default")),
}
OPTIONS: Final[dict[str, dict[str, Foreign]]] = {
    "train": _TRAIN,
    "evaluate": _USE | {"batch-size": Foreign("the result does not depend on a batch size", value=True)},
    "predict": _USE
    | dict.fromkeys(
        ("source", "input", "image", "images", "img", "i", "data", "path"),
        Foreign("the images are arguments after the model, not an option", "{last}", value=True, default="IMAGE"),
    )
    | {
        "json": Foreign("is a value of --format", "--format jsonl"),
        "csv": Foreign("is a value of --format", "--format csv"),
    },
    "describe": dict.fromkeys(("model", "net", "network", "arch", "m"), _NET),
}
"""Options of other tools, by command."""

_COMMANDS: Final = {
    "train": "fit learn run training",
    "predict": "classify infer inference detect test-image label prediction",
    "evaluate": "eval val valid validate validation test score",
    "rerun": "repeat reproduce replay retrain",
    "runs": "history logs experiments status ls",
    "compare": "diff versus vs",
    "new": "init create models presets networks template",
    "describe": "summary print inspect summarize cat",
    "report": "plot plots graph graphs visualize curves tensorboard html",
    "data fetch": "download fetch get",
    "data check": "check lint-data verify doctor",
    "fmt": "format fmt-check",
    "train --resume": "resume continue",
}
_DATA: Final = {
    "list": "ls sets",
    "fetch": "download get",
    "info": "summary describe stats",
    "check": "verify doctor validate lint",
    "show": "view preview plot display",
}
CALLED: Final = {
    group: {word: command for command, words in table.items() for word in words.split()}
    for group, table in (("layerline", _COMMANDS), ("data", _DATA))
}
"""Names of commands in other tools and our names for them, by group."""

EXAMPLES: Final = {
    "train": "digits --data digits",
    "predict": "RUN IMAGE",
    "evaluate": "RUN",
    "rerun": "RUN",
    "new": "lenet5",
    "compare": "A B",
    "describe": "lenet5 --data digits",
    "report": "RUN",
    "data fetch": "mnist",
    "data check": "digits",
    "fmt": "lenet5",
    "train --resume": "RUN",
    "fetch": "mnist",
    "info": "digits",
    "check": "digits",
    "show": "digits",
}
"""Example arguments of our commands."""

_NO_SERVER: Final = ("there is no server; a script can run predict", "layerline predict RUN IMAGE --format jsonl")
_NO_SEARCH: Final = (
    "there is no search; anything you don't set is chosen automatically, the learning rate by a test",
    "layerline train digits --data digits",
)
_NO_EXPORT: Final = ("not needed: PyTorch can load the model.safetensors in a run's folder", "layerline runs")
ABSENT: Final[dict[str, tuple[str, str]]] = {
    **dict.fromkeys(("serve", "server", "deploy", "api", "app", "gradio", "demo"), _NO_SERVER),
    **dict.fromkeys(("tune", "hpo", "search", "sweep", "optimize", "lr-find", "find-lr"), _NO_SEARCH),
    **dict.fromkeys(("export", "onnx", "convert", "save"), _NO_EXPORT),
    "info": ("describe is for networks, data info for data", "layerline describe lenet5 --data digits"),
    "list": ("runs lists trainings, data list lists data sets", "layerline runs"),
    "show": ("data show is for images, engine show for machine code", "layerline data show digits"),
    "benchmark": ("there is no benchmark; every training prints its speed", "layerline train digits --data digits"),
}
"""Commands of other tools without an equivalent: why, and the closest command."""
