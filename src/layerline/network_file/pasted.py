"""PyTorch and Keras code pasted into a network file, and the equivalent lines."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

from layerline.layers import Misfit
from layerline.network_file.python_call import Call, Name, read_call
from layerline.network_file.unknown import training_option, unknown_word

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from layerline.layers import Word

_PROGRAM: Final = re.compile(
    r"(?:import|from|class|def|return|super|if|for|with|print|self|model|@\w+)\b.*|[()\[\]{},: \t]+", re.ASCII
)
"""The lines of a Python program that are not layers."""
PROGRAM: Final = Misfit(
    "this is Python, not a layer",
    "remove it and everything else that is not a layer: import, class, def, return, brackets",
)
_SETTINGS: Final = re.compile(r"[A-Za-z_]\w*[ \t]*(?:\{.*|:[ \t]*\S.*)", re.ASCII)
"""A line of a Caffe prototxt: `layer {`, `type: "Convolution"`."""
SETTINGS: Final = Misfit(
    "this is a block of settings, as in a Caffe prototxt; here a layer is one line",
    "write a line for each layer: `Conv 20 5` for a Convolution with num_output 20 and kernel_size 5, `Pool 2` for a "
    "Pooling, `FC 500` for an InnerProduct, `ReLU`, `Softmax`",
)
_SUM: Final = re.compile(r"\w+[ \t]*(?:\+=|=[ \t]*\w+[ \t]*\+)[ \t]*[A-Za-z_].*", re.ASCII)
"""A line such as `x = x + residual` or `out += self.shortcut(x)`."""
_BRANCH: Final = Misfit(
    "this is Python: the sum of two branches", "write the lines of the branch between `Residual` and `End`"
)
_PRODUCT: Final = re.compile(r"\w+[ \t]*(?:\*=|=[ \t]*\w+[ \t]*\*)[ \t]*[A-Za-z_].*", re.ASCII)
"""A line such as `x = x * scale` or `x *= self.se(x)`."""
_GATE: Final = Misfit(
    "this is Python: the product of a value and what is computed from it",
    "write the lines that compute the factors between `Gate` and `End`",
)
_CONCAT: Final = Misfit(
    "this is Python: branches whose channels are concatenated",
    "write `Concat`, the lines of each branch with `Branch` between two of them, then `End`",
)
_JOINS: Final = {
    **dict.fromkeys(("cat", "concat", "concatenate", "Concatenate"), _CONCAT),
    **dict.fromkeys(("multiply", "Multiply"), _GATE),
}
"""Functions of several branches → the mistake of a line that calls one."""
_NO_LAYER: Final = re.compile(
    r"\w*(?:Model|Net\d*|Network|Module|Loss|Loader|Learner|Trainer|CNN)|Adam\w*|SGD|RMSprop|Compose|ImageFolder"
    r"|EarlyStopping|ModelCheckpoint|YOLO|ToTensor|Normalize|Resize|\w*Classifier",
    re.ASCII,
)
"""Names of classes that a program uses, and that are not layers."""
_REASON: Final = "this is Python; here a layer is a word and its values, without parentheses"
_CLASSES: Final = frozenset({"classes", "num_classes", "n_classes", "nb_classes", "num_class"})
_KERAS: Final = re.compile(r"\b(?:keras|layers|tf)\b")
_FUNCTIONS: Final = re.compile(r"F|K|torch|tf|np|(?:\w+\.)*(?:nn|functional|activations|ops)", re.ASCII)
"""Modules whose functions are applied to their first argument; any other prefix is a value with a method."""
_ACTIVATIONS: Final[dict[str, str | None]] = {
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU 0.2",
    "gelu": "GELU",
    "silu": "SiLU",
    "swish": "SiLU",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "relu6": "ReLU6",
    "elu": "ELU",
    "mish": "Mish",
    "hardsigmoid": "HardSigmoid",
    "hard_sigmoid": "HardSigmoid",
    "hardswish": "HardSwish",
    "hard_swish": "HardSwish",
    "hard_silu": "HardSwish",
    "softmax": "Softmax",
    "log_softmax": "Softmax",
    "linear": None,
}
"""An activation's name in Keras or torch.nn.functional → its line."""


class _Untranslatable(Exception):  # noqa: N818 - nobody's error: there is no such line here
    """A call without an equivalent, or with a value that is not on the line; its text is the function's name."""


def activation(name: str) -> str | None:
    """Return the line for an activation of that name, or None."""
    return _ACTIVATIONS.get(name.strip("'\"").lower())


def pasted(code: str, words: Mapping[str, Word]) -> Misfit | None:
    """Return the mistake for a line of PyTorch or Keras, with the lines to write instead; None for any other line.

    `words` maps the lower-case spellings to our words.
    """
    call = read_call(code)
    if call is None:
        return _not_a_call(code.strip(), words)
    if call.function in _JOINS:
        return _JOINS[call.function]
    try:
        lines = _of_ours(call, words) or _lines(call, keras=bool(_KERAS.search(call.prefix)))
    except _Untranslatable as error:
        return _untranslatable(str(error), words)
    return Misfit(_REASON, write(lines)) if lines else PROGRAM


def _not_a_call(code: str, words: Mapping[str, Word]) -> Misfit | None:
    if _PROGRAM.fullmatch(code):
        return PROGRAM
    if _SUM.fullmatch(code):
        return _BRANCH
    if _PRODUCT.fullmatch(code):
        return _GATE
    if not _SETTINGS.fullmatch(code):
        return None
    word, _, values = code.partition(":")
    option = training_option(word)
    if option is not None:
        return option
    if word.strip().lower() not in words or not re.fullmatch(r"[\w.= \t]+", values, re.ASCII):
        return SETTINGS
    line = " ".join([words[word.strip().lower()].name, *values.split()])
    return Misfit("here a layer is a word and its values, without a colon", f"write `{line}`")


def _of_ours(call: Call, words: Mapping[str, Word]) -> list[str]:
    """Return the lines for one of our own words with parentheses, `Conv(16, 3, padding=1)`; none for other calls."""
    word = words.get(call.function.lower())
    if word is None or call.prefix or call.inner or call.function in _LAYERS:
        return []
    named = {name: value for name, value in call.named.items() if name != "activation"}
    try:
        parts = [*map(_value, call.positional), *(f"{name}={_value(value)}" for name, value in named.items())]
        return [" ".join([word.name, *parts]), *_activation(call.named)]
    except _Untranslatable:
        raise _Untranslatable(call.function) from None


def _value(value: Any) -> str:
    """Return a value as a line has it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return _number(value)
    return value.lower() if value in ("same", "valid") else _size(value)


def _untranslatable(function: str, words: Mapping[str, Word]) -> Misfit:
    """Return the mistake for a call that cannot be translated."""
    word = words.get(function.lower())
    if word is not None:
        return Misfit(_REASON, f"write it like this, with a number for each value: {word.usage()}")
    known = function[:1].isupper() and not _NO_LAYER.fullmatch(function)
    return unknown_word(function, words) if known else PROGRAM


def write(lines: list[str]) -> str:
    """Return a help text with the lines to write."""
    quoted = [f"`{line}`" for line in lines]
    if len(quoted) == 1:
        return f"write {quoted[0]}"
    return f"write the lines {', '.join(quoted[:-1])} and {quoted[-1]}"


def _lines(value: Any, *, keras: bool) -> list[str]:
    """Return the lines equivalent to a value, those of the innermost call first; none for a name."""
    if isinstance(value, tuple):
        return [line for each in value for line in _lines(each, keras=keras)]
    if not isinstance(value, Call):
        return []
    before = [line for each in value.inner for line in _lines(each, keras=keras)]
    if value.function == "add" and value.prefix:
        return before + [line for each in value.positional for line in _lines(each, keras=True)]
    if value.function in ("Sequential", "ModuleList"):
        inside = keras or bool(_KERAS.search(value.prefix))
        return before + [line for each in value.positional for line in _lines(each, keras=inside)]
    keras = keras or bool(_KERAS.search(value.prefix)) or value.function.endswith("2D")
    if value.function in _APPLIED:
        method = value.inner or (value.prefix and not _FUNCTIONS.fullmatch(value.prefix))
        on = [] if method else value.positional[:1]  # F.relu(x), but x.relu()
        rest = value.positional[len(on) :]
        before += [line for each in on for line in _lines(each, keras=keras)]
        return before + _APPLIED[value.function](Call("", value.function, rest, value.named))
    if value.prefix == "self":  # a layer that is made on another line
        return before + [line for each in value.positional for line in _lines(each, keras=keras)]
    make = (_KERAS_LAYERS.get(value.function) if keras else None) or _LAYERS.get(value.function)
    if make is None:
        raise _Untranslatable(value.function)
    try:
        return before + make(value)
    except _Untranslatable:
        raise _Untranslatable(value.function) from None


def _bind(call: Call, *names: str) -> dict[str, Any]:
    """Return the values by name, without those that have no name here."""
    return {**dict(zip(names, call.positional, strict=False)), **call.named}


def _whole(value: Any) -> str:
    if isinstance(value, Name) and value.text.rpartition(".")[2].lower() in _CLASSES:
        return "classes"
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Untranslatable
    return str(value)


def _size(value: Any) -> str:
    """Return `3` for 3 and (3, 3), `3x5` for (3, 5)."""
    if isinstance(value, tuple) and len(value) == 2:
        one, two = map(_whole, value)
        return one if one == two else f"{one}x{two}"
    if isinstance(value, tuple) and len(value) == 1:
        return _whole(value[0])
    return _whole(value)


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _Untranslatable
    return re.sub(r"e([+-])0+", r"e\1", f"{value:.12g}")


def _named(given: dict[str, Any], name: str, key: str, default: str) -> list[str]:
    """Return `stride=2` if the value is not the default."""
    text = _size(given[key]) if given.get(key) is not None else default
    return [] if text == default else [f"{name}={text}"]


def _padding(given: dict[str, Any]) -> list[str]:
    """Return the padding, which may be a word."""
    value = given.get("padding", 0)
    word = value.lower() if isinstance(value, str) else ""
    if word == "valid" or value == 0:
        return []
    return ["padding=same" if word == "same" else f"padding={_size(value)}"]


def _activation(given: dict[str, Any]) -> list[str]:
    name = given.get("activation")
    if name is None:
        return []
    name = name.text.rpartition(".")[2] if isinstance(name, Name) else name
    if not isinstance(name, str) or name.lower() not in _ACTIVATIONS:
        raise _Untranslatable
    line = activation(name)
    return [line] if line else []


def _bias(given: dict[str, Any], key: str) -> list[str]:
    return ["bias=no"] if given.get(key) is False else []


def _conv(given: dict[str, Any], filters: str, stride: str, dilation: str, bias: str) -> str:
    kernel = _size(given.get("kernel_size"))
    if given.get("padding_mode", "zeros") != "zeros" or given.get("data_format") == "channels_first":
        raise _Untranslatable
    parts = ["Conv", _whole(given.get(filters)), kernel, *_named(given, "stride", stride, "1")]
    parts += [*_padding(given), *_named(given, "dilation", dilation, "1")]
    return " ".join([*parts, *_named(given, "groups", "groups", "1"), *_bias(given, bias)])


_CONV: Final = ("out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "bias", "padding_mode")
_CONV_KERAS: Final = ("filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate", "groups")


def _torch_conv(call: Call) -> list[str]:
    names = _CONV if call.function.startswith("Lazy") else ("in_channels", *_CONV)
    return [_conv(_bind(call, *names), "out_channels", "stride", "dilation", "bias")]


def _keras_conv(call: Call) -> list[str]:
    given = _bind(call, *_CONV_KERAS, "activation", "use_bias")
    return [_conv(given, "filters", "strides", "dilation_rate", "use_bias"), *_activation(given)]


def _separable(call: Call) -> list[str]:
    given = _bind(call, *_CONV_KERAS[:4])
    return [_depthwise_line(given, f"SeparableConv {_whole(given.get('filters'))}"), *_activation(given)]


def _depthwise(call: Call) -> list[str]:
    given = _bind(call, "kernel_size", "strides", "padding")
    return [_depthwise_line(given, "Depthwise"), *_activation(given)]


def _depthwise_line(given: dict[str, Any], start: str) -> str:
    if given.get("dilation_rate", 1) not in (1, (1, 1)) or given.get("data_format") == "channels_first":
        raise _Untranslatable
    stride, multiplier = (
        _named(given, name, key, "1") for name, key in (("stride", "strides"), ("multiplier", "depth_multiplier"))
    )
    parts = [start, _size(given.get("kernel_size")), *stride, *_padding(given), *multiplier]
    return " ".join([*parts, *_bias(given, "use_bias")])


def _fc(given: dict[str, Any], outputs: str, bias: str) -> list[str]:
    """Return the FC line; a single output, which is for two classes elsewhere, becomes one per class."""
    if given.get(outputs) == 1:
        return [" ".join(["FC", "classes", *_bias(given, bias)])]
    return [" ".join(["FC", _whole(given.get(outputs)), *_bias(given, bias)]), *_activation(given)]


def _linear(call: Call) -> list[str]:
    names = ("out_features", "bias") if call.function.startswith("Lazy") else ("in_features", "out_features", "bias")
    return _fc(_bind(call, *names), "out_features", "bias")


def _dense(call: Call) -> list[str]:
    return _fc(_bind(call, "units", "activation", "use_bias"), "units", "use_bias")


def _pool(word: str, names: tuple[str, str, str], default: int | None = None) -> Callable[[Call], list[str]]:
    window, stride, padding = names

    def make(call: Call) -> list[str]:
        given = _bind(call, window, stride, padding)
        if given.get("ceil_mode") is True or given.get("dilation", 1) != 1 or given.get("data_format"):
            raise _Untranslatable
        size = _size(given.get(window, default))
        parts = [word, size, *_named(given, "stride", stride, size)]
        return [" ".join([*parts, *_padding(given)])]

    return make


def _adaptive(word: str) -> Callable[[Call], list[str]]:
    def make(call: Call) -> list[str]:
        if _size(_bind(call, "output_size").get("output_size")) != "1":
            raise _Untranslatable
        return [word]

    return make


def _torch_norm(call: Call) -> list[str]:
    names = ("eps", "momentum") if call.function.startswith("Lazy") else ("num_features", "eps", "momentum")
    return _norm(_bind(call, *names), "eps", lambda momentum: momentum)


def _keras_norm(call: Call) -> list[str]:
    given = {"momentum": 0.99, "epsilon": 0.001, **_bind(call, "axis", "momentum", "epsilon")}
    return _norm(given, "epsilon", lambda momentum: round(1 - momentum, 12))


def _norm(given: dict[str, Any], eps: str, ours: Callable[[float], float]) -> list[str]:
    momentum, small = given.get("momentum", 0.1), given.get(eps, 1e-5)
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in (momentum, small)):
        raise _Untranslatable
    parts = [("momentum", ours(momentum), 0.1), ("eps", small, 1e-5)]
    return [" ".join(["BatchNorm", *(f"{name}={_number(value)}" for name, value, usual in parts if value != usual)])]


def _dropout(word: str = "Dropout") -> Callable[[Call], list[str]]:
    def make(call: Call) -> list[str]:
        given = _bind(call, "p")
        return [f"{word} {_number(given.get('p', given.get('rate', 0.5)))}"]

    return make


def _elu(call: Call) -> list[str]:
    alpha = _bind(call, "alpha").get("alpha", 1)
    return ["ELU" if alpha == 1 else f"ELU {_number(alpha)}"]


def _leaky(slope: float) -> Callable[[Call], list[str]]:
    def make(call: Call) -> list[str]:
        given = _bind(call, "negative_slope")
        return [f"LeakyReLU {_number(given.get('negative_slope', given.get('alpha', slope)))}"]

    return make


def _input(call: Call) -> list[str]:
    given = _bind(call, "shape")
    shape = call.positional if len(call.positional) == 3 else given.get("shape", given.get("input_shape"))
    if not isinstance(shape, tuple | list) or len(shape) != 3:
        raise _Untranslatable
    sizes = [_whole(size) for size in shape]
    first = shape[0] in _CHANNELS and shape[2] not in _CHANNELS  # with the channels first, as in PyTorch
    return [" ".join(["Input", *(sizes if first else (sizes[2], *sizes[:2]))])]


def _keras_relu(call: Call) -> list[str]:
    given = _bind(call, "max_value", "negative_slope", "threshold")
    most, slope = given.get("max_value"), given.get("negative_slope") or 0
    if given.get("threshold") or most not in (None, 6) or (most and slope):
        raise _Untranslatable
    return ["ReLU6" if most else f"LeakyReLU {_number(slope)}" if slope else "ReLU"]


def _always(*lines: str) -> Callable[[Call], list[str]]:
    return lambda call: list(lines) * (call is not None)


def _global(word: str) -> Callable[[Call], list[str]]:
    return lambda call: [word] if call.named.get("keepdims") is True else [word, "Flat"]


_CHANNELS: Final = (1, 3, 4)
_TORCH_POOL: Final = ("kernel_size", "stride", "padding")
_KERAS_POOL: Final = ("pool_size", "strides", "padding")
_LAYERS: Final = {
    "ReLU": _always("ReLU"),
    "GELU": _always("GELU"),
    "SiLU": _always("SiLU"),
    "Tanh": _always("Tanh"),
    "Sigmoid": _always("Sigmoid"),
    "Softmax": _always("Softmax"),
    "LogSoftmax": _always("Softmax"),
    "Flatten": _always("Flat"),
    "ReLU6": _always("ReLU6"),
    "Hardswish": _always("HardSwish"),
    "Hardsigmoid": _always("HardSigmoid"),
    "Mish": _always("Mish"),
    "ELU": _elu,
    "Dropout": _dropout(),
    "Dropout2d": _dropout("Dropout2d"),
    "SpatialDropout2D": _dropout("Dropout2d"),
    "LeakyReLU": _leaky(0.01),
    "Dense": _dense,
    "Linear": _linear,
    "LazyLinear": _linear,
    "BatchNormalization": _keras_norm,
    "Activation": lambda call: _activation(_bind(call, "activation")),
    "Input": _input,
    "InputLayer": _input,
    "Conv2d": _torch_conv,
    "LazyConv2d": _torch_conv,
    "MaxPool2d": _pool("Pool", _TORCH_POOL),
    "AvgPool2d": _pool("AvgPool", _TORCH_POOL),
    "AdaptiveAvgPool2d": _adaptive("GlobalPool"),
    "AdaptiveMaxPool2d": _adaptive("GlobalMaxPool"),
    "BatchNorm2d": _torch_norm,
    "BatchNorm1d": _torch_norm,
    "LazyBatchNorm2d": _torch_norm,
    "Conv2D": _keras_conv,
    "SeparableConv2D": _separable,
    "DepthwiseConv2D": _depthwise,
    "MaxPooling2D": _pool("Pool", _KERAS_POOL, 2),
    "MaxPool2D": _pool("Pool", _KERAS_POOL, 2),
    "AveragePooling2D": _pool("AvgPool", _KERAS_POOL, 2),
    "AvgPool2D": _pool("AvgPool", _KERAS_POOL, 2),
    "GlobalAveragePooling2D": _global("GlobalPool"),
    "GlobalAvgPool2D": _global("GlobalPool"),
    "GlobalMaxPooling2D": _global("GlobalMaxPool"),
    "GlobalMaxPool2D": _global("GlobalMaxPool"),
}
"""The name of a class → the function that returns its lines."""
_KERAS_LAYERS: Final = {"LeakyReLU": _leaky(0.3), "ReLU": _keras_relu}
_APPLIED: Final = {
    **{name: _always(line) for name, line in _ACTIVATIONS.items() if line},
    "leaky_relu": _leaky(0.01),
    "elu": _elu,
    "flatten": _always("Flat"),
    "view": _always("Flat"),
    "reshape": _always("Flat"),
    "dropout": _dropout(),
    "dropout2d": _dropout("Dropout2d"),
    "max_pool2d": _pool("Pool", _TORCH_POOL),
    "avg_pool2d": _pool("AvgPool", _TORCH_POOL),
    "adaptive_avg_pool2d": _adaptive("GlobalPool"),
    "adaptive_max_pool2d": _adaptive("GlobalMaxPool"),
}
"""The name of a function that is applied to a value → the function that returns its lines."""
