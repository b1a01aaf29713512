"""Layers of other tools that are not available here: what to use in their place."""

from __future__ import annotations

from typing import Final

_ACTIVATIONS: Final = (
    "the activations are `ReLU`, `LeakyReLU`, `ReLU6`, `ELU`, `GELU`, `SiLU`, `HardSwish`, `HardSigmoid`, "
    "`Mish`, `Tanh` and `Sigmoid`"
)
_NORMS: Final = "the only normalization layer is `BatchNorm`"
_LARGER: Final = "no layer makes images larger"
_SEQUENCES: Final = "there are no recurrent or attention layers: networks here are for images"
_BRANCHES: Final = "branches can be added (`Residual`), concatenated (`Concat`) or multiplied with their input (`Gate`)"
_CONCAT: Final = "write `Concat`, the lines of each branch with `Branch` between two of them, then `End`"
_GATE: Final = "write `Gate`, the lines that compute the factors, then `End`: it multiplies them with its input"
_SQUEEZE: Final = "write `Gate`, `GlobalPool`, `Conv 4 1`, `ReLU`, `Conv 16 1`, `Sigmoid`, `End` (for 16 channels)"
_NOISE: Final = "use `Dropout` or `Dropout2d`"
_AUGMENT: Final = "remove this line: augmentation is a training option, --augment"
_DECAY: Final = "remove this line: regularization is a training option, --weight-decay"

UNAVAILABLE: Final[dict[str, str | None]] = {
    **dict.fromkeys(
        (
            *("selu", "celu", "rrelu", "glu", "softplus", "softsign", "softmin", "hardtanh"),
            *("logsigmoid", "softshrink", "hardshrink", "tanhshrink", "threshold"),
            *("thresholdedrelu", "crelu", "loggy", "plse", "lhtan", "hardtan", "ramp"),
        ),
        _ACTIVATIONS,
    ),
    "prelu": "slopes are not learned here; `LeakyReLU 0.25` has PReLU's initial slope in PyTorch",
    "softmax2d": "`Softmax` needs a vector, on the last line only",
    **dict.fromkeys(
        (
            *("layernorm", "layernormalization", "groupnorm", "groupnormalization", "instancenorm2d", "lrn"),
            *("localresponsenorm", "rmsnorm", "rmsnormalization", "syncbatchnorm", "unitnormalization"),
            *("spectralnormalization", "batchnorm3d", "instancenorm"),
        ),
        _NORMS,
    ),
    **dict.fromkeys(
        (
            *("upsample", "upsampling2d", "upsamplingnearest2d", "upsamplingbilinear2d", "convtranspose2d"),
            *("conv2dtranspose", "deconvolution", "deconv", "maxunpool2d", "pixelshuffle", "unpool"),
        ),
        _LARGER,
    ),
    **dict.fromkeys(
        (
            *("lstm", "gru", "rnn", "simplernn", "embedding", "attention", "multiheadattention", "transformer"),
            *("transformerencoderlayer", "timedistributed", "bidirectional"),
        ),
        _SEQUENCES,
    ),
    **dict.fromkeys(
        ("average", "maximum", "minimum", "subtract"),
        _BRANCHES,
    ),
    **dict.fromkeys(("concatenate", "cat", "fire", "inception", "denselayer", "denseblock", "hstack"), _CONCAT),
    **dict.fromkeys(("multiply", "mul"), _GATE),
    **dict.fromkeys(("se", "squeezeexcitation", "selayer", "seblock", "squeezeexcite", "seresnet"), _SQUEEZE),
    **dict.fromkeys(("add", "sum", "eltwise"), "write the lines of the branch between `Residual` and `End`"),
    **dict.fromkeys(
        ("gaussiannoise", "gaussiandropout", "alphadropout", "dropblock", "droppath", "stochasticdepth"), _NOISE
    ),
    **dict.fromkeys(
        (
            *("randomflip", "randomrotation", "randomzoom", "randomcrop", "randomtranslation", "randomcontrast"),
            *("randombrightness", "randomhorizontalflip", "randomverticalflip", "randomwidth", "randomheight"),
        ),
        _AUGMENT,
    ),
    **dict.fromkeys(("l1", "l2", "l1l2", "weightdecay"), _DECAY),
    "rescaling": "remove this line: images are scaled on loading (see --normalize)",
    "normalization": "remove this line, and train with --normalize standard",
    **dict.fromkeys(("resizing", "centercrop"), "remove this line: the size of the images is an option, --size"),
    **dict.fromkeys(("zeropadding2d", "zeropad2d"), "put the padding on the next line, as in `Conv 16 3 padding=1`"),
    "adaptiveavgpool2d": "an output of 1×1 is available, as `GlobalPool`; for others, use `AvgPool` with a window",
    "adaptivemaxpool2d": "an output of 1×1 is available, as `GlobalMaxPool`; for others, use `Pool` with a window",
    **dict.fromkeys(("identity", "noop"), "remove this line: it does nothing"),
    **dict.fromkeys(("bilinear", "lambda", "permute", "unflatten"), None),
    **dict.fromkeys(
        ("reshape", "view"), "write `Flat` for a vector; images need no line, because they have the shape of the data"
    ),
    **dict.fromkeys(
        ("basicblock", "bottleneck", "residualblock", "resblock", "resnetblock", "residualunit", "invertedresidual"),
        "write its lines, those of the branch between `Residual` and `End`",
    ),
    **dict.fromkeys(
        (
            *("convbnrelu", "convbnact", "convbn", "conv_bn_relu", "conv_bn", "conv2d_bn", "convblock", "conv_block"),
            *("basicconv2d", "conv2dnormactivation", "convlayer", "convmodule", "doubleconv", "double_conv"),
        ),
        "write its lines, such as `Conv`, `BatchNorm` and `ReLU`",
    ),
    **dict.fromkeys(("pooling", "pool2d"), "write `Pool` for the largest number, `AvgPool` for the mean"),
}
"""The word in lower case → the help, where there is any."""
