"""Network files with mistakes, by name. What each is told is in golden/network/<name>.txt."""

from __future__ import annotations

from dataclasses import dataclass

MNIST = (1, 28, 28)


@dataclass(frozen=True)
class Case:
    text: str
    input_shape: tuple[int, int, int] | None = MNIST
    classes: int | None = 10
    memory: int = 16_000_000_000


def _with(line: str) -> Case:
    """A line in a network that is otherwise right."""
    return Case(f"# a network\n{line}\nFlat\nFC classes\n")


CASES = {
    # A1: nothing there
    "empty": Case(""),
    "only-comments": Case("# a network\n\n   # and nothing else\n"),
    "only-input": Case("Input 1 28 28\n"),
    # A5: words
    "unknown-layer": Case("Conv 6 5\nRellu\nPol 2\nFlat\nFC classes\n"),
    "unknown-layer-far": _with("Blorp 8"),
    "unknown-layer-other-word": _with("Convolution 8 3"),
    "called-like-python": Case("nn.Conv2d(1, 6, 5)\nnn.ReLU()\nFlat\nFC classes\n"),
    # lines of PyTorch, Keras and darknet, with what to write
    "pytorch-lines": Case(
        "nn.Conv2d(1, 16, 3, padding=1),\nself.conv1 = nn.Conv2d(1, 32, 3, 1)\nx = F.relu(self.conv1(x))\n"
        "x = F.max_pool2d(F.relu(self.conv2(x)), 2)\nx = x.view(-1, 16*4*4)\nnn.Linear(84, 10)\nnn.BatchNorm2d(16)\n"
        "self.fc = nn.Linear(n * 4, hidden)\nself.act = nn.PReLU()\nnn.Linear(84, num_classes)"
    ),
    "caffe-blocks": Case('layer {\n  name: "conv1"\n  convolution_param { num_output: 20 }\n}\nlayer {\n}\n'),
    "other-tools-words": Case(
        "PReLU\nGroupNorm 4\nUpsample 2\nConcat\nIdentity\nRandomFlip horizontal\nConv1D 8 3\nAdaptiveAvgPool2d 4x4\n"
        "BatchNormalization momentum=1\nActivation linear"
    ),
    "pytorch-program": Case("import torch.nn as nn\nclass Net(nn.Module):\n    def __init__(self):\n    return x\n])"),
    "keras-lines": Case(
        "Conv2D(16, 3, activation=\"relu\")\nmodel.add(Dense(10, activation='softmax'))\n"
        "layers.MaxPooling2D((2, 2))\nBatchNormalization()\nDense(1, activation='sigmoid')\n"
        "x = layers.Conv2D(32, (3, 5), strides=2, padding='same', use_bias=False)(x)\nSeparableConv2D(64, 3)"
    ),
    "darknet": Case(
        "[net]\nheight=28\nwidth=28\nchannels=3\n[convolutional]\nbatch_normalize=1\nfilters=128\nsize=3\n"
        "stride=1\npad=1\n"
        "activation=leaky\n[maxpool]\nsize=2\nstride=2\n[dropout]\nprobability=.5\n[shortcut]\nfrom=-3\n[avgpool]\n"
        "[connected]\noutput=10\nactivation=linear\n[softmax]\n[cost]\ntype=sse"
    ),
    "python-values": Case(
        "Conv 8 (3,5)\nConv 8 3 padding='same'\nConv 8 3 padding='valid'\nPool 2 padding=full\nFlat\n"
        "Dense 9 activation=tanh"
    ),
    # the channels or inputs that arrive come first
    "pytorch-order": Case(
        "Conv2d 1 20 5\nReLU\nPool 2\nConv2d 20 50 5\nBatchNorm2d 50\nFlat\nLinear 1024 240\nFC 240 12"
    ),
    "pytorch-order-too-large": _with("Conv 1 32 5"),
    "pytorch-order-named": _with("Conv2d 1 6 kernel=5"),
    # digits written together
    "kernel-digits-together": _with("Conv 6 512"),
    "pool-three-digits": _with("Pool 321"),
    "unknown-argument": _with("Conv 6 kernal=5"),
    "unknown-argument-far": _with("Conv 6 5 activation=relu"),
    # counts of values
    "kernel-missing": _with("Conv 6"),
    "all-missing": _with("Conv"),
    "too-many": _with("Pool 2 2 0 1"),
    "too-many-for-none": _with("ReLU 6"),
    "named-then-bare": _with("Conv 6 kernel=5 2"),
    "nothing-behind-equals": _with("Conv 6 kernel="),
    # A7: twice
    "given-twice": _with("Conv 6 5 1 stride=2"),
    "given-twice-by-name": _with("Conv 6 5 stride=1 stride=1"),
    "input-twice": Case("Input 1 28 28\nInput 3 28 28\nFlat\nFC classes"),
    "input-late": Case("Flat\nInput 1 28 28\nFC classes"),
    # A8: ranges
    "filters-zero": _with("Conv 0 5"),
    "filters-negative": _with("Conv -6 5"),
    "kernel-zero": _with("Conv 6 0"),
    "kernel-half-zero": _with("Conv 6 3x0"),
    "stride-zero": _with("Conv 6 5 0"),
    "dilation-zero": _with("Conv 6 5 dilation=0"),
    "padding-negative": _with("Conv 6 5 padding=-1"),
    "number-too-long": _with("Conv " + "9" * 5000 + " 5"),
    "number-not-whole": _with("Conv 6 5.0"),
    "number-with-comma": _with("Conv 6, 5"),
    "number-in-other-digits": _with("Conv \uff16 5"),
    "outputs-no-number": Case("Flat\nFC ten"),
    "bias-true": _with("Conv 6 5 bias=1"),
    "repeat-zero": Case("Repeat 0\nReLU\nEnd\nFlat\nFC classes"),
    "input-zero": Case("Input 0 28 28\nFlat\nFC classes", None),
    # A9, A10: windows
    "kernel-too-large": Case("Conv 6 5\nReLU\nPool 2\nConv 16 13\nFlat\nFC classes"),
    "kernel-too-large-padded": _with("Conv 16 33 padding=1"),
    "kernel-too-large-one-way": _with("Conv 16 3x40"),
    "kernel-too-large-dilated": _with("Conv 16 5 dilation=8"),
    "depthwise-too-large": _with("Depthwise 29"),
    "pool-digits-together": Case("Conv 6 5\nReLU\nPool 2\nPool 22\nFlat\nFC classes"),
    "pool-too-large": Case("Conv 6 5\nPool 25\nFlat\nFC classes"),
    "pool-to-nothing": Case("Pool 2\nPool 2\nPool 2\nPool 2\nPool 2\nFlat\nFC classes"),
    "pool-padding": _with("Pool 3 2 2"),
    "dropout2d-after-flat": Case("Flat\nDropout2d 0.2\nFC classes"),
    "separable-too-large": Case("Pool 4\nSeparableConv 8 9\nFlat\nFC classes"),
    # A12, A13: memory
    "products-that-wrap": Case("Flat\nFC 4194305\nFC 4194305\nFC 211106198978564\nFC classes"),
    "memory-parameters": Case("Conv 1000 3\nFlat\nFC 100000\nFC classes"),
    "memory-values": Case("Conv 1000000 1 padding=1000\nGlobalPool\nFlat\nFC classes"),
    # A14: size
    "too-many-layers": Case("Repeat 1000\nRepeat 1000\nReLU\nEnd\nEnd\nFlat\nFC classes"),
    "too-deep": Case("Residual\n" * 60 + "ReLU\n" + "End\n" * 60),
    # A16: branches
    "residual-channels": Case("Conv 8 3\nResidual\nConv 16 3 stride=2 padding=1\nEnd\nFlat\nFC classes"),
    "residual-size": Case("Conv 8 3\nResidual\nConv 8 3\nReLU\nConv 8 3\nEnd\nFlat\nFC classes"),
    "residual-shortcut": Case("Conv 8 3\nResidual\nConv 16 3 1 1\nShortcut\nConv 8 1\nEnd\nFlat\nFC classes"),
    "residual-flat": Case("Flat\nResidual\nFC 100\nEnd\nFC classes"),
    "concat-size": Case("Conv 8 3\nConcat\nReLU\nBranch\nConv 4 3\nBranch\nPool 2\nEnd\nFlat\nFC classes"),
    "concat-sizes": Case("Concat\nConv 8 3x1\nBranch\nConv 8 1x3\nEnd\nFlat\nFC classes"),
    "concat-flat": Case("Concat\nReLU\nBranch\nFlat\nEnd\nFlat\nFC classes"),
    "gate-channels": Case("Conv 8 3\nGate\nGlobalPool\nConv 4 1\nSigmoid\nEnd\nFlat\nFC classes"),
    "gate-size": Case("Conv 8 3\nGate\nConv 8 3\nEnd\nFlat\nFC classes"),
    "gate-flat": Case("Conv 8 3\nGate\nGlobalPool\nFlat\nFC 8\nEnd\nFlat\nFC classes"),
    "gate-vector": Case("Flat\nGate\nFC 8\nEnd\nFC classes"),
    # A17: outputs
    "outputs-not-classes": Case("Flat\nFC 100\nReLU\nFC 12\nSoftmax"),
    "outputs-not-classes-no-fc": Case("GlobalPool\nFlat\n"),
    "ends-in-image": Case("Conv 10 5\nReLU"),
    "ends-in-image-no-data": Case("Conv 10 5\nReLU", MNIST, None),
    "one-output": Case("Flat\nFC 1", MNIST, None),
    # A18: flat or not
    "fc-before-flat": Case("Conv 6 5\nFC classes"),
    "conv-after-flat": Case("Flat\nConv 6 5\nFC classes"),
    "flat-twice": Case("Flat\nFlat\nFC classes"),
    "softmax-before-flat": Case("Conv 10 5\nSoftmax"),
    "softmax-not-last": Case("Flat\nFC 10\nSoftmax\nReLU\nFC classes"),
    "softmax-in-block": Case("Flat\nResidual\nFC 784\nSoftmax\nEnd\nFC classes"),
    # A19, A21: attacks are text like any other
    "python-code": _with("__import__('os').system('touch canary')"),
    "yaml-code": _with("!!python/object/apply:os.system ['touch canary']"),
    "format-code": _with("Conv {0.__class__} ${HOME} `id` %n"),
    "ansi": _with("Conv\x1b[31m 6 5"),
    "ansi-in-comment": _with("ReLU # \x1b]0;title\x07"),
    "not-printable": _with("Re\u202eLU"),
    "no-break-space": _with("Conv\u00a06 5"),
    # A22, A23: other ranges
    "dropout-one": _with("Dropout 1.0"),
    "dropout-large": _with("Dropout 50"),
    "dropout-negative": _with("Dropout -0.1"),
    "dropout-nan": _with("Dropout nan"),
    "batch-norm-eps": _with("BatchNorm eps=0"),
    "batch-norm-momentum": _with("BatchNorm momentum=1.5"),
    "groups-channels": Case("Conv 8 3\nConv 9 3 groups=3\nFlat\nFC classes"),
    "groups-filters": _with("Conv 16 3 groups=3"),
    # blocks
    "end-missing": Case("Residual\nConv 1 3 1 1\nFlat\nFC classes"),
    "end-missing-inner": Case("Residual\nRepeat 2\nConv 1 3 1 1\nEnd\nFlat\nFC classes"),
    "end-of-nothing": Case("ReLU\nEnd\nFlat\nFC classes"),
    "shortcut-outside": Case("ReLU\nShortcut\nFlat\nFC classes"),
    "shortcut-in-repeat": Case("Residual\nRepeat 2\nReLU\nShortcut\nReLU\nEnd\nEnd\nFlat\nFC classes"),
    "shortcut-twice": Case("Residual\nReLU\nShortcut\nReLU\nShortcut\nReLU\nEnd\nFlat\nFC classes"),
    "block-empty": Case("Repeat 3\nEnd\nResidual\nEnd\nResidual\nReLU\nShortcut\nEnd\nFlat\nFC classes"),
    "branch-outside": Case("ReLU\nBranch\nGate\nReLU\nBranch\nReLU\nEnd\nFlat\nFC classes"),
    "branch-in-repeat": Case("Concat\nRepeat 2\nReLU\nBranch\nReLU\nEnd\nBranch\nEnd\nFlat\nFC classes"),
    "concat-one-branch": Case("Concat\nReLU\nEnd\nFlat\nFC classes"),
    "concat-empty": Case("Concat\nEnd\nGate\nConcat\nEnd\nEnd\nFlat\nFC classes"),
    "concat-many-branches": Case("Concat\n" + "ReLU\nBranch\n" * 120 + "End\nFlat\nFC classes"),
    "concat-no-end": Case("Concat\nReLU\nBranch\nReLU\nFlat\nFC classes"),
    "freeze-late": Case("Conv 8 3\nReLU\nFreeze\nConv 8 3\nEnd\nFlat\nFC classes"),
    "freeze-twice": Case("Freeze\nConv 8 3\nEnd\nReLU\nFreeze\nConv 8 3\nEnd\nFlat\nFC classes"),
    "freeze-repeated": Case("Repeat 2\nFreeze\nConv 8 3\nEnd\nConv 8 3\nEnd\nFlat\nFC classes"),
    "freeze-after-branches": Case(
        "Residual\nFreeze\nConv 1 1\nEnd\nShortcut\nConv 1 1\nFreeze\nConv 1 1\nEnd\nEnd\nFreeze\nReLU\nEnd\nFlat\n"
        "FC classes"
    ),
    "freeze-empty": Case("Freeze\nEnd\nFreeze 3\nReLU\nEnd\nFlat\nFC classes"),
    "freeze-no-end": Case("Freeze\nReLU\nFlat\nFC classes"),
    "gate-empty": Case("Gate\nEnd\nFlat\nFC classes"),
    "branches-in-python": Case(
        "x = torch.cat([x, y], 1)\nx = x * self.se(x)\nConcatenate\nMultiply\nSELayer 16\n[route]"
    ),
    # data or no data
    "no-input": Case("Conv 6 5\nFlat\nFC 10", None, None),
    "no-classes": Case("Input 1 28 28\nFlat\nFC classes", None, None),
    "input-not-data": Case("Input 3 32 32\nFlat\nFC classes"),
    # several at once, and places that are hard to point at
    "several": Case("Conv 6\nRelux\nPool 2 2\nConv 16 5 padding=-2 stride=0\nFlat\nFC 12\n"),
    "several-shapes": Case("Conv 6 31\nPool 2\nFlat\nConv 8 3\nFC 12\n"),
    "eleven": Case("Bad\n" * 11),
    "tabs": Case("\tConv\t6\t99\t# a tab\n\tFlat\n\tFC\tclasses"),
    "wide-letters": _with("Conv 畳み込み 5"),
    "long-line": _with("Conv " + "1 " * 200),
    "long-word": _with("x" * 500),
    "in-repeat": Case("Repeat 4\nConv 8 9\nEnd\nFlat\nFC classes"),
}
