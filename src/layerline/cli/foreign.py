"""Options and commands of other tools that Layerline lacks or has elsewhere, with what to type instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final


@final
@dataclass(frozen=True)
class Foreign:
    """An option of other tools that corresponds to none of ours."""

    reason: str
    """What the answer says, {} for the option as typed."""
    instead: str = ""
    """What to type instead, {} for the value; empty if it is simply omitted."""
    value: bool = False
    """Whether any word that follows is its value; otherwise only one such as True, or a number."""
    default: str = ""
    """The value to suggest if none was specified."""
    replaces_net: bool = False
    """Whether NET is omitted, because what is typed instead chooses the network."""
    command: str = ""
    """The whole command to type instead, if it is another one; RUN in it is the newest run."""


_CPU: Final = Foreign("{}: Layerline trains on the CPU by default; omit this")
_GPU: Final = Foreign("{}: Layerline trains on the CPU; only its PyTorch engine uses a GPU", "--engine torch")
_HALF: Final = Foreign(
    "{}: Layerline computes in float32; its PyTorch engine also in bfloat16", "--precision bf16 --engine torch"
)
_PRETRAINED: Final = Foreign(
    "{}: `--from lite0` instead of NET classifies photos by the features of a pretrained network",
    "--from lite0",
    replaces_net=True,
)
_BACKBONE: Final = Foreign(
    "{} is called `--from` here, instead of NET", "--from {}", value=True, default="lite0", replaces_net=True
)
_FROZEN: Final = Foreign(
    "{}: `--from lite0` freezes a pretrained network; in a network file, the lines from Freeze to End are frozen"
)
_WEIGHTS: Final = Foreign(
    "{} is called `--start-from` here, and takes a run or model file of Layerline; for weights of PyTorch, "
    "`layerline weights add FILE`",
    "--start-from {}",
    value=True,
    default="RUN",
)
_REPEATABLE: Final = Foreign("{}: runs are always deterministic; `--seed` changes the result")
_PRINTED: Final = Foreign("{}: everything is printed by default; `--quiet` prints less")
_SAVED: Final = Foreign("{}: the weights of the best epoch are always saved")
_RESUMED: Final = Foreign(
    "{}: `--resume` continues a run where it stopped", value=True, command="layerline train --resume RUN"
)
_TESTED: Final = Foreign("{}: `layerline evaluate` tests a model", command="layerline evaluate RUN")
_STATISTICS: Final = Foreign(
    "{}: mean and standard deviation are computed from the training images", "--normalize standard", value=True
)
_EVERY_EPOCH: Final = Foreign("{}: every epoch is printed", value=True)
_VALIDATED: Final = Foreign("{}: the validation set is evaluated after every epoch", value=True)
_EACH_SAVED: Final = Foreign(
    "{}: a checkpoint is saved after every epoch; `--checkpoint-every` also saves within an epoch", value=True
)
_TEST_BATCH: Final = Foreign("{}: validation and test results do not depend on a batch size", value=True)
_SCHEDULED: Final = Foreign("{}: the schedule sets it; all except `constant` and `step` end near 0", value=True)
_ONE_PROCESS: Final = Foreign("{}: `torchrun` starts several processes (docs/several-machines.md)", value=True)
_ONE_BATCH: Final = Foreign("{}: gradients are not accumulated; each step has `--batch-size` images", value=True)
_IN_EPOCHS: Final = Foreign("{}: the length of a run is in epochs, `--epochs`", "--epochs 10", value=True)
_WARMUP: Final = Foreign("{}: warmup is in epochs, `--warmup`", "--warmup 1", value=True)
_FOLDS: Final = Foreign("{} is called `--folds` here", "--folds {}", value=True, default="5")
_IN_THE_FILE: Final = Foreign("{} is set in the network file", value=True)
_IN_THE_DATA: Final = Foreign("{} follows from the data", value=True)
_PICTURED: Final = Foreign("{}: every run's folder has its history and graphs")
_LOADED: Final = Foreign("{}: all images are kept in memory")
_AUGMENTS: Final = "{} is part of `--augment`"
_NO_AUGMENT: Final = Foreign("{} is not available in `--augment`")
_NO_POLICY: Final = Foreign("{}: there are no augmentation policies; `--augment` names each change", value=True)
_JITTER: Final = Foreign(_AUGMENTS, "--augment brightness=0.2,contrast=0.2", value=True)
_NET: Final = Foreign("{}: the network is an argument, not an option", "{}", value=True, default="lenet5")
_MODEL: Final = Foreign("{}: the model is an argument, not an option", "{}", value=True, default="RUN")
_SET: Final = Foreign("{}: train, val and test are in one folder, set by `--data`", value=True)
_FORMATS: Final = {"onnx": "onnx to-onnx", "web": "web html", "wasm": "wasm webassembly js", "c": "c arduino"}
"""A format of `export` → options of that name."""
_FREE_BATCH: Final = Foreign("{}: the number of images is always free; omit this")
_NO_DEVICE: Final = Foreign("{}: this command runs on the CPU; omit this")

_TRAIN: Final[dict[str, Foreign]] = {
    **dict.fromkeys(("no-cuda", "no-gpu", "cpu", "disable-cuda", "no-accel"), _CPU),
    **dict.fromkeys(("gpu", "gpus", "cuda", "use-gpu", "use-cuda", "mps", "gpu-id", "accelerator"), _GPU),
    **dict.fromkeys(("amp", "half", "fp16", "bf16", "mixed-precision", "use-amp"), _HALF),
    **dict.fromkeys(("fp32", "tf32", "no-amp"), Foreign("{}: Layerline computes in float32 by default; omit this")),
    "dtype": Foreign("{}: Layerline computes in float32; `--engine torch --precision bf16` in bfloat16", value=True),
    **dict.fromkeys(("weights", "init-weights", "finetune", "fine-tune", "load", "checkpoint", "ckpt"), _WEIGHTS),
    **dict.fromkeys(("init-from", "initial-checkpoint", "load-weights", "warm-start"), _WEIGHTS),
    **dict.fromkeys(("pretrained", "use-pretrained", "transfer", "transfer-learning", "imagenet"), _PRETRAINED),
    **dict.fromkeys(("feature-extract", "feature-extraction", "linear-probe"), _PRETRAINED),
    **dict.fromkeys(("backbone", "pretrained-weights", "pretrained-model", "base-model"), _BACKBONE),
    **dict.fromkeys(
        ("from-scratch", "no-pretrained"), Foreign("{}: a network that you name with NET starts from scratch")
    ),
    **dict.fromkeys(("freeze", "freeze-layers", "freeze-backbone"), _FROZEN),
    **dict.fromkeys(
        ("unfreeze-layers", "trainable-layers"),
        Foreign("{} is called `--unfreeze` here", "--unfreeze {}", value=True, default="1"),
    ),
    **dict.fromkeys(("log-interval", "print-freq", "log-every", "print-every", "log-frequency"), _EVERY_EPOCH),
    "logging-steps": _EVERY_EPOCH,
    **dict.fromkeys(
        ("evaluation-strategy", "eval-strategy", "eval-steps", "eval-interval", "val-interval"), _VALIDATED
    ),
    **dict.fromkeys(("test-batch-size", "val-batch-size", "eval-batch-size"), _TEST_BATCH),
    **dict.fromkeys(("save-period", "save-every", "save-freq", "save-interval", "checkpoint-freq"), _EACH_SAVED),
    **dict.fromkeys(("save-strategy", "save-steps"), _EACH_SAVED),
    **dict.fromkeys(("dry-run", "fast-dev-run"), Foreign("{}: for a quick test, train on a few images", "--limit 100")),
    **dict.fromkeys(("min-lr", "lrf", "final-lr", "end-lr", "eta-min", "warmup-lr"), _SCHEDULED),
    **dict.fromkeys(("warmup-steps", "warmup-iters", "warmup-ratio"), _WARMUP),
    **dict.fromkeys(
        ("lr-find", "find-lr", "auto-lr-find", "auto-lr"),
        Foreign("{}: without `--learning-rate`, a test chooses the learning rate"),
    ),
    **dict.fromkeys(("start-epoch", "initial-epoch"), _RESUMED),
    "steps-per-epoch": Foreign(
        "{}: an epoch uses every training image once; `--limit` trains on fewer images", value=True
    ),
    "fraction": Foreign("{}: `--limit` takes a number of images", "--limit 1000", value=True),
    **dict.fromkeys(("max-steps", "iterations", "iters", "num-steps", "max-iters", "num-iterations"), _IN_EPOCHS),
    **dict.fromkeys(("accumulate", "grad-accum", "gradient-accumulation-steps", "accum-iter", "nbs"), _ONE_BATCH),
    **dict.fromkeys(("world-size", "dist-url", "local-rank", "nproc-per-node", "nodes"), _ONE_PROCESS),
    **dict.fromkeys(("distributed", "ddp", "sync-bn", "multi-gpu"), Foreign(_ONE_PROCESS.reason)),
    **dict.fromkeys(("test-only", "eval-only"), _TESTED),
    **dict.fromkeys(("cv", "k-fold", "k-folds", "kfold", "n-splits", "cross-validation"), _FOLDS),
    **dict.fromkeys(("stratify", "stratified"), Foreign("{}: the splits are always stratified by class")),
    **dict.fromkeys(("mean", "std"), _STATISTICS),
    **dict.fromkeys(("deterministic", "reproducible"), _REPEATABLE),
    **dict.fromkeys(("verbose", "v", "vv", "debug", "progress"), _PRINTED),
    **dict.fromkeys(("save-best", "save-best-only", "save-model", "save-weights"), _SAVED),
    **dict.fromkeys(("dropout", "dropout-rate", "drop", "drop-rate"), _IN_THE_FILE),
    **dict.fromkeys(("activation", "layers", "num-layers", "filters", "kernel-size", "hidden-size"), _IN_THE_FILE),
    **dict.fromkeys(("batch-norm", "batchnorm", "depth"), Foreign(_IN_THE_FILE.reason)),
    **dict.fromkeys(("bn-momentum", "bn-eps"), _IN_THE_FILE),
    **dict.fromkeys(("num-classes", "n-classes", "nc", "channels", "in-channels", "input-channels"), _IN_THE_DATA),
    **dict.fromkeys(("plots", "plot", "tensorboard", "wandb", "log", "csv-log", "plot-history"), _PICTURED),
    **dict.fromkeys(("logger", "report-to"), Foreign(_PICTURED.reason, value=True)),
    **dict.fromkeys(("pin-memory", "prefetch", "persistent-workers", "prefetch-factor"), _LOADED),
    **dict.fromkeys(("shuffle", "no-shuffle"), Foreign("{}: the images are always shuffled before every epoch")),
    **dict.fromkeys(("loss", "loss-fn", "criterion"), Foreign("{}: the loss is always cross-entropy", value=True)),
    **dict.fromkeys(("metrics", "metric"), Foreign("{}: accuracy and macro F1 are always measured", value=True)),
    "compile": Foreign("{}: the network is always compiled"),
    **dict.fromkeys(("model", "arch", "a", "net", "network", "architecture", "m", "cfg", "config"), _NET),
    "project": Foreign("{}: a run has one folder, set by `--out`", "--out {}/1", value=True, default="runs"),
    **dict.fromkeys(("flip", "hflip", "fliplr", "horizontal-flip"), Foreign(_AUGMENTS, "--augment flip")),
    **dict.fromkeys(("rotation", "degrees", "rotate"), Foreign(_AUGMENTS, "--augment rotate={}", default="10")),
    **dict.fromkeys(("translate", "random-crop", "shift"), Foreign(_AUGMENTS, "--augment shift=4")),
    **dict.fromkeys(("scale", "zoom"), Foreign(_AUGMENTS, "--augment scale=0.1")),
    **dict.fromkeys(("erasing", "random-erase", "reprob", "cutout"), Foreign(_AUGMENTS, "--augment cutout=8")),
    **dict.fromkeys(("color-jitter", "brightness", "contrast", "hsv-v"), _JITTER),
    **dict.fromkeys(("mixup", "cutmix", "mosaic", "copy-paste", "flipud", "vflip", "hsv-h", "hsv-s"), _NO_AUGMENT),
    **dict.fromkeys(("auto-augment", "autoaugment", "aa", "randaugment"), _NO_POLICY),
    **dict.fromkeys(
        ("no-augment", "no-aug", "no-augmentation", "no-augs"),
        Foreign("{}: `--augment none` turns augmentation off", "--augment none"),
    ),
    **dict.fromkeys(
        ("no-val", "noval", "no-validation"), Foreign("{} is `--validation none` here", "--validation none")
    ),
    **dict.fromkeys(("cos-lr", "cosine"), Foreign("{} is a value of `--schedule`", "--schedule cosine")),
    **dict.fromkeys(("rgb", "color", "colour"), Foreign("{}: `--no-gray` reads images as RGB", "--no-gray")),
    **dict.fromkeys(
        ("train-dir", "train-data", "train-path", "train", "traindir"),
        Foreign(_SET.reason, "--data {parent}", value=True, default="photos/train"),
    ),
    **dict.fromkeys(("val-dir", "val-data", "val-path", "validation-dir", "validation-data", "valdir"), _SET),
    **dict.fromkeys(("test-dir", "test-data", "test-path"), _SET),
    "split": Foreign("{}: `--test` and `--validation` set the splits", "--test {}", value=True, default="0.15"),
}
_USE: Final[dict[str, Foreign]] = {
    **dict.fromkeys(("model", "weights", "m", "checkpoint", "ckpt", "model-path", "load"), _MODEL),
    **dict.fromkeys(("gpu", "cuda", "no-cuda", "cpu", "half", "fp16", "amp"), _NO_DEVICE),
    "device": Foreign(_NO_DEVICE.reason, value=True),
    **dict.fromkeys(("verbose", "v"), Foreign("{}: everything is printed by default")),
}
OTHERS: Final = (".pt", ".pth", ".ckpt", ".h5", ".hdf5", ".keras", ".onnx", ".pkl")
"""Suffixes of weights that Layerline cannot read: a command that is suggested names a run instead."""
OPTIONS: Final[dict[str, dict[str, Foreign]]] = {
    "train": _TRAIN,
    "evaluate": _USE
    | dict.fromkeys(
        ("batch-size", "batch", "bs"), Foreign("{}: the result does not depend on a batch size", value=True)
    ),
    "predict": _USE
    | dict.fromkeys(
        ("source", "input", "image", "images", "img", "i", "data", "path"),
        Foreign("{}: the images are arguments after the model, not an option", "{last}", value=True, default="IMAGE"),
    )
    | {
        "json": Foreign("{} is a value of `--format`", "--format jsonl"),
        "csv": Foreign("{} is a value of `--format`", "--format csv"),
    },
    "export": dict.fromkeys(
        ("format", "type", "target"), Foreign("{} is called `--to` here", "--to {}", value=True, default="onnx")
    )
    | {
        word: Foreign("{}: the format is the value of `--to`", f"--to {name}")
        for name, words in _FORMATS.items()
        for word in words.split()
    }
    | dict.fromkeys(("opset", "opset-version"), Foreign("{}: the file is of opset 9, which runtimes read", value=True))
    | dict.fromkeys(("dynamic", "dynamic-axes", "dynamic-batch"), _FREE_BATCH)
    | dict.fromkeys(("batch", "batch-size", "bs"), Foreign(_FREE_BATCH.reason, value=True))
    | dict.fromkeys(("quantize", "quantized", "quantization", "quant"), Foreign("{} is `--int8` here", "--int8"))
    | dict.fromkeys(("half", "fp16", "fp32"), Foreign("{}: weights are exported in float32; omit this"))
    | dict.fromkeys(
        ("imgsz", "img-size", "image-size", "input-size", "input-shape"),
        Foreign("{}: the input has the size of the network's; omit this", value=True),
    )
    | dict.fromkeys(("model", "weights", "m", "checkpoint", "ckpt", "model-path"), _MODEL),
    "describe": dict.fromkeys(("model", "net", "network", "arch", "m"), _NET),
}
"""Options of other tools, by command."""

_COMMANDS: Final = {
    "train": "fit learn run training finetune fine-tune",
    "predict": "classify infer inference detect test-image label prediction",
    "evaluate": "eval val valid validate validation test score",
    "rerun": "repeat reproduce replay retrain",
    "runs": "history logs experiments status ls",
    "compare": "diff versus vs",
    "export": "onnx convert save to-onnx",
    "import": "from-onnx load",
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
    "export": "RUN --out model.onnx",
    "import": "net.onnx",
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

_NO_SERVER: Final = (
    "{}: there is no server; a script can run `layerline predict`",
    "layerline predict RUN IMAGE --format jsonl",
)
_NO_SEARCH: Final = (
    "{}: there is no hyperparameter search; what you don't set is chosen automatically, the learning rate by a test",
    "layerline train digits --data digits",
)
ABSENT: Final[dict[str, tuple[str, str]]] = {
    **dict.fromkeys(("serve", "server", "deploy", "api", "app", "gradio", "demo"), _NO_SERVER),
    **dict.fromkeys(("tune", "hpo", "search", "sweep", "optimize", "lr-find", "find-lr"), _NO_SEARCH),
    "info": ("{}: `describe` is for networks, `data info` for data", "layerline describe lenet5 --data digits"),
    "list": ("{}: `runs` lists runs, `data list` lists data sets", "layerline runs"),
    "show": ("{}: `data show` is for images, `engine show` for machine code", "layerline data show digits"),
    "benchmark": (
        "{}: there is no benchmark; every training run prints its speed",
        "layerline train digits --data digits",
    ),
}
"""Commands of other tools without an equivalent: why, {} for the command as typed, and the closest command."""
