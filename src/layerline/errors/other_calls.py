"""Arguments, functions and attributes of other libraries in Python: what to write here instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_TESTED: Final = "load_data has it: load_data((x, y), validation=(xv, yv))"
_AUGMENT: Final = 'it is an option of layerline.train: augment="flip,shift=4"'
_ONE_BATCH: Final = "omit it: the result does not depend on a batch size"
TRAIN: Final = {
    **dict.fromkeys(
        ("callbacks", "callback", "cbs"), "on_epoch= is called after each epoch, and stops by returning True"
    ),
    **dict.fromkeys(("validation_data", "val_data", "eval_set", "valid_data"), _TESTED),
    **dict.fromkeys(("verbose", "progress_bar"), "nothing is printed: on_epoch=print prints each epoch"),
    **dict.fromkeys(("log_every", "log_interval", "print_every"), "on_epoch=print prints each epoch"),
    **dict.fromkeys(("devices", "gpu", "gpus", "accelerator"), 'engine="torch" uses a GPU, if there is one'),
    **dict.fromkeys(("amp", "fp16", "bf16", "half", "mixed_precision"), "omit it: it is always float32"),
    **dict.fromkeys(("loss", "loss_fn", "loss_func", "criterion"), "omit it: the loss is cross-entropy"),
    **dict.fromkeys(
        ("cv", "folds", "n_folds", "k_folds", "n_splits"),
        'load_data(…, test="1/5").folds() has the data for each of five trainings',
    ),
    "metrics": "omit it: accuracy and macro F1 are always measured",
    "shuffle": "omit it: the images are shuffled before every epoch",
    "pretrained": 'the network is then layerline.read("lite0", data); start_from=run takes the weights of another run',
    **dict.fromkeys(("weights", "checkpoint", "warm_start"), "start_from= takes a run, a model, or the path of one"),
    **dict.fromkeys(("initial_epoch", "start_epoch", "resume"), "layerline.resume(folder) continues a stopped run"),
    **dict.fromkeys(("freeze", "freeze_layers"), "layers between the lines Freeze and End of a network are frozen"),
    **dict.fromkeys(("dropout", "drop_rate"), "it is a line of the network: Dropout 0.5"),
    **dict.fromkeys(("steps_per_epoch", "max_steps"), "omit it: an epoch uses every training image once"),
    "sample_weight": "images are weighted by class only: class_weights=",
    "project": "out= is the folder of the run",
    **dict.fromkeys(("num_classes", "n_classes"), "omit it: the number of classes follows from the data"),
}
"""Arguments of functions that train."""
LOAD_DATA: Final = {
    **dict.fromkeys(("train", "subset"), "omit it: all splits are loaded together, as data.train and data.test"),
    "root": "data_dir= is the folder of the named data sets",
    "train_size": "pass the other sizes: test=0.15, validation=0.1",
    **dict.fromkeys(("valid_pct", "val_pct"), "did you mean validation=?"),
    "shuffle": "omit it: splits are random, and the images are shuffled before every epoch",
    "stratify": "omit it: every class is in every split",
    "download": "in a shell, layerline data fetch mnist downloads a data set",
    "label_mode": "omit it: labels are class numbers or names, also one-hot",
    "color_mode": "gray=True reads images as grayscale, gray=False as RGB",
    **dict.fromkeys(("data", "path", "directory", "folder"), 'pass it without a name: load_data("photos/")'),
    **dict.fromkeys(("x", "y", "X", "images"), "pass images and labels together: load_data((x, y))"),
    **dict.fromkeys(("batch_tfms", "transform", "transforms"), _AUGMENT),
    "item_tfms": "size= resizes the images",
}
"""Arguments of functions that load images."""
PREDICT: Final = {
    **dict.fromkeys(("batch_size", "bs"), _ONE_BATCH),
    **dict.fromkeys(("verbose", "steps", "callbacks"), "omit it: nothing is printed"),
    **dict.fromkeys(("imgsz", "size", "image_size"), "omit it: files are resized as in training"),
    **dict.fromkeys(("source", "x", "X", "img"), "pass it without a name: model.predict(images)"),
    **dict.fromkeys(("device", "half"), "omit it"),
    "conf": "model.predict_proba(images) returns the probabilities",
}
"""Arguments of functions that predict."""
EVALUATE: Final = {
    **dict.fromkeys(("batch_size", "bs"), _ONE_BATCH),
    **dict.fromkeys(("verbose", "steps", "callbacks"), "omit it: nothing is printed"),
}
"""Arguments of functions that evaluate."""

_TRAIN: Final = "use layerline.train(network, data)"
_LOAD: Final = 'use layerline.load("model.safetensors")'
_TEXT: Final = 'a network is text: layerline.parse("Conv 6 5\\nReLU\\nFlat\\nFC classes", data)'
_DATA: Final = 'use layerline.load_data("mnist")'
_ESTIMATOR: Final = "use from layerline.sklearn import ConvNetClassifier"
_OPTIONS: Final = "omit it: layerline.train takes optimizer= and learning_rate="
_WITH_MODEL: Final = {
    "predict": "use run.model.predict(images)",
    "predict_proba": "use run.model.predict_proba(images)",
    **dict.fromkeys(("evaluate", "score", "test"), "use run.model.evaluate(data); run.result has the test results"),
    "save": 'use run.model.save("model.safetensors")',
}
_ON_DEVICE: Final = dict.fromkeys(("eval", "to", "cuda", "cpu"), "omit it: a model only predicts")
_SAVED: Final = 'use model.save("model.safetensors"); PyTorch can load the file'
ATTRIBUTES: Final[dict[str, dict[str, str]]] = {
    "layerline": {
        **dict.fromkeys(("fit", "Trainer", "Learner", "YOLO", "cnn_learner", "vision_learner"), _TRAIN),
        **dict.fromkeys(("load_model", "from_pretrained"), _LOAD),
        **dict.fromkeys(("load_dataset", "datasets", "ImageDataLoaders", "ImageFolder"), _DATA),
        **dict.fromkeys(("predict", "evaluate"), 'it is a method of a model: layerline.load("model.safetensors")'),
        **dict.fromkeys(("Sequential", "nn", "Conv2d", "Conv2D", "Dense", "Linear"), _TEXT),
        **dict.fromkeys(("summary", "describe"), "use print(network)"),
        **dict.fromkeys(("ConvNetClassifier", "Classifier", "CNNClassifier"), _ESTIMATOR),
    },
    "Model": {
        "fit": _TRAIN,
        "compile": _OPTIONS,
        "summary": "use print(model.network)",
        "predict_classes": "use model.predict(images)",
        "score": "use model.evaluate(data).test_accuracy",
        **dict.fromkeys(("test", "val"), "use model.evaluate(data)"),
        **_ON_DEVICE,
        **dict.fromkeys(("state_dict", "parameters", "get_weights"), "use model.weights"),
        **dict.fromkeys(("save_weights", "save_pretrained"), _SAVED),
        **dict.fromkeys(("load", "load_weights", "load_state_dict", "from_pretrained"), _LOAD),
    },
    "Network": {
        **dict.fromkeys(("fit", "train"), _TRAIN),
        "compile": _OPTIONS,
        "summary": "use print(network)",
        **dict.fromkeys(("predict", "evaluate"), "train it first: layerline.train(network, data).model"),
        "count_params": "use network.parameter_count",
        **dict.fromkeys(
            ("parameters", "state_dict"), "network.weights has their shapes; a trained model has the numbers"
        ),
        "layers": "use network.nodes",
        **dict.fromkeys(("to", "cuda", "forward"), "use network.to_torch()"),
    },
    "Run": {
        **_WITH_MODEL,
        "fit": _TRAIN,
        "accuracy": "use run.result.test_accuracy",
        "loss": "use run.result.test_loss",
    },
    "Dataset": {
        "class_names": "use data.classes",
        **dict.fromkeys(("show_batch", "plot"), "use data.show()"),
        **dict.fromkeys(("x_train", "train_images", "X"), "use data.train.images"),
        **dict.fromkeys(("y_train", "train_labels", "y", "targets"), "use data.train.labels"),
        **dict.fromkeys(("x_test", "test_images"), "use data.test.images"),
        **dict.fromkeys(("y_test", "test_labels"), "use data.test.labels"),
        "images": "use data.train.images or data.test.images",
        "labels": "use data.train.labels or data.test.labels",
        **dict.fromkeys(("train_loader", "dataloaders", "dls"), "layerline.train(network, data) makes its own batches"),
    },
}
"""Names that are used of other libraries' modules and objects: by ours, what to write here."""


def advice(name: str, attribute: str) -> str:
    """Return the help line for a missing attribute of ours, by the name of its owner; "" if there is none."""
    known = ATTRIBUTES[name].get(attribute)
    return f"\n  help: {known}" if known else ""


def missing(name: str) -> Callable[[Any, str], Any]:
    """Return `__getattr__` of a class: AttributeError, with what to write if other libraries have the attribute."""

    def __getattr__(self: Any, attribute: str) -> Any:  # noqa: N807
        reason, helps = f"{name!r} object has no attribute {attribute!r}", advice(name, attribute)
        if helps:
            raise AttributeError(reason + helps)
        raise AttributeError(reason, name=attribute, obj=self)  # Python adds the closest name

    return __getattr__
