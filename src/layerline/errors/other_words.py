"""Other tools' names for our options and for some of their values, on the command line and in experiment.toml."""

from __future__ import annotations

from typing import Final

from layerline.errors import spelling

_CALLED: Final = {
    "data": "dataset datasets data-path dataset-path data-root dataset-dir root d input source "
    "images image-dir img-dir",
    "test": "test-split test-size test-fraction test-ratio test-frac",
    "validation": "val val-split validation-split val-size validation-size val-fraction validation-fraction val-ratio "
    "valid valid-split val-frac",
    "limit": "subset max-images max-samples num-samples max-train-samples",
    "size": "imgsz img-size image-size img input-size resize resolution target-size crop-size train-crop-size",
    "labels": "labels-file label-file labels-csv csv csv-file annotations annotation-file train-csv",
    "gray": "grayscale greyscale grey",
    "augment": "augmentation augmentations aug data-augmentation transforms transform",
    "epochs": "num-epochs n-epochs nb-epochs no-epochs max-epochs total-epochs e ep num-train-epochs max-iter n-iter",
    "within": "time-limit max-time timeout time",
    "best": "monitor",
    "patience": "early-stopping early-stop early-stopping-patience stop-patience n-iter-no-change",
    "batch-size": "b batch-sz mini-batch-size minibatch-size train-batch-size per-device-train-batch-size batch bs",
    "learning-rate": "lr lr0 initial-lr init-lr base-lr max-lr lr-max eta initial-learning-rate learn-rate",
    "schedule": "scheduler lr-scheduler lr-schedule sched lr-policy lr-scheduler-type",
    "backbone-rate": "backbone-lr lr-backbone lr-mult",
    "warmup": "warmup-epochs lr-warmup-epochs",
    "step-epochs": "step-size lr-step-size decay-epochs",
    "step-factor": "gamma lr-gamma decay-rate",
    "optimizer": "opt optim optimiser",
    "beta1": "adam-beta1",
    "beta2": "adam-beta2",
    "eps": "epsilon adam-epsilon adam-eps",
    "weight-decay": "wd l2 l2-reg weight-decay-rate",
    "clip-norm": "clip grad-clip clip-grad clip-grad-norm max-norm max-grad-norm gradient-clip-val gradient-clipping",
    "ema": "model-ema ema-decay model-ema-decay use-ema",
    "label-smoothing": "smoothing",
    "class-weights": "class-weight weight-classes",
    "init": "initializer weight-init init-method",
    "seed": "random-seed random-state rng-seed manual-seed",
    "threads": "workers num-workers jobs n-jobs j num-threads n-threads nthreads cores num-cores cpus num-cpus",
    "out": "output output-dir out-dir outdir o save save-dir save-path logdir log-dir run-name exp-name name exp "
    "experiment-name model-dir checkpoint-dir ckpt-dir results-dir work-dir",
    "resume": "resume-from resume-from-checkpoint continue restore resume-path",
    "force": "exist-ok overwrite overwrite-output-dir",
    "quiet": "silent q no-progress",
    "top": "top-k topk k",
    "unsure": "conf threshold conf-threshold confidence",
}
OURS: Final = {word: ours for ours, words in _CALLED.items() for word in words.split()}

_VALUES: Final = {
    "test": {"false": "none"},
    "validation": {"false": "none"},
    "augment": {"false": "none"},
    "optimizer": {
        "adam": "adamw",
        **dict.fromkeys(("momentum", "nesterov", "sgdm"), "sgd"),
    },
    "schedule": {
        **dict.fromkeys(("cos", "cosineannealing", "cosineannealinglr", "cosine-annealing", "cosine-decay"), "cosine"),
        **dict.fromkeys(("onecycle", "onecyclelr", "1cycle", "super-convergence"), "one-cycle"),
        **dict.fromkeys(("steplr", "multistep", "multisteplr"), "step"),
        **dict.fromkeys(("poly", "polynomial", "linearlr"), "linear"),
        **dict.fromkeys(("none", "fixed", "flat"), "constant"),
    },
    "best": {
        **dict.fromkeys(("acc", "val-acc", "val-accuracy", "top1"), "accuracy"),
        **dict.fromkeys(("val-loss", "validation-loss"), "loss"),
        **dict.fromkeys(("f1", "val-f1", "f1-macro"), "macro_f1"),
    },
    "init": {
        **dict.fromkeys(("kaiming", "kaiming-normal", "kaiming-uniform", "he-normal", "he-uniform"), "he"),
        **dict.fromkeys(("glorot", "glorot-uniform", "glorot-normal", "xavier-uniform", "xavier-normal"), "xavier"),
        "default": "torch",
    },
    "class-weights": {"auto": "balanced", "inverse": "balanced"},
    "engine": dict.fromkeys(("pytorch", "cuda", "gpu", "mps"), "torch"),
    "device": {"gpu": "cuda", "nvidia": "cuda", "metal": "mps"},
    "precision": {
        **dict.fromkeys(("fp32", "32", "32-true", "float", "single", "full"), "float32"),
        **dict.fromkeys(("bfloat16", "bf16-mixed", "16", "16-mixed", "fp16", "float16", "half", "amp"), "bf16"),
    },
}
_NO_PLATEAU: Final = "there is no plateau schedule; --patience 5 stops training at a plateau"
_HINTS: Final = {
    "optimizer": {
        **dict.fromkeys(("rmsprop", "nadam", "radam", "adamax", "adagrad", "adadelta"), "the closest is adamw"),
    },
    "schedule": dict.fromkeys(("plateau", "reduce-on-plateau", "reducelronplateau"), _NO_PLATEAU),
}
"""Help lines for words that are not just another name of the same thing."""


def ours(word: str) -> str | None:
    """Return our name for an option of other tools, None if it has none: `threads` for `num_workers`."""
    return OURS.get(word.lower().replace("_", "-"))


def hint(option: str, word: str, known: tuple[str, ...]) -> str:
    """Return the help line for an unknown value."""
    special = _HINTS.get(option, {}).get(word.lower().replace("_", "-"))
    if special is not None:
        return special
    same = our_value(option, word)
    return spelling.hint(word, known) if same is None else f"did you mean {same}?"


def our_value(option: str, word: str) -> str | None:
    """Return our word for a value of other tools, None if it has none: for `init`, `kaiming` is `he`."""
    return _VALUES.get(option, {}).get(word.lower().replace("_", "-"))
