"""Lines as they are typed or pasted from other tools: what is said of each is in golden/network-lines.txt."""

from __future__ import annotations

from layerline.errors import NetworkError
from layerline.network import notes
from layerline.network_file import formatted

LINES = {
    "PyTorch": (
        "nn.Conv2d(3, 16, kernel_size=3, stride=2, padding=1, bias=False)",
        "Conv2d 3 16 3 padding=1",
        "Conv2d 16 kernel_size=3 padding=1 bias=False",
        "Conv2d out_channels=16 kernel_size=3 padding_mode=reflect",
        "nn.BatchNorm2d(16),",
        "MaxPool2d kernel_size=2 stride=2",
        "MaxPool2d 3 2 ceil_mode=True",
        "ReLU inplace=True",
        "nn.ReLU6(inplace=True)",
        "LeakyReLU negative_slope=0.2",
        "AdaptiveAvgPool2d 1",
        "AdaptiveAvgPool2d 6 6",
        "nn.AdaptiveAvgPool2d((7, 7))",
        "Dropout2d 0.25",
        "Dropout2d",
        "Hardswish",
        "Hardsigmoid",
        "PReLU",
        "SELU",
        "GroupNorm 8 32",
        "nn.Identity()",
        "LogSoftmax dim=1",
        "Linear 512 10",
        "self.fc1 = nn.Linear(16 * 5 * 5, 120)",
        "x = F.elu(self.conv1(x))",
        "x = torch.cat([a, b], 1)",
        "x = x.view(x.size(0), -1)",
        "nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2),",
        "(conv1): Conv2d(3, 64, kernel_size=(7, 7), stride=(2, 2), padding=(3, 3), bias=False)",
        "out += self.shortcut(x)",
        "x = x + residual",
        "BasicBlock(64, 128, 2)",
        "ConvBNReLU 16 3",
        "criterion = nn.CrossEntropyLoss()",
        "net = LeNet5()",
        "transforms.ToTensor(),",
        "Linear in=512 out=10",
        "Conv(16, 3, padding=1)",
        "Conv 16 3 s=2 p=1",
        "Conv: 16 3",
        "lr = 0.01",
        "batch_size: 64",
    ),
    "Keras": (
        "Conv2D 32 3x3 activation=relu",
        "Conv2D 32 3 strides=2 padding=same use_bias=False",
        "Conv2D 32 (3,3) padding='same'",
        "BatchNormalization",
        "BatchNormalization momentum=0.9 epsilon=1e-5",
        "BatchNormalization 1",
        "MaxPooling2D",
        "MaxPooling2D pool_size=3 strides=2 padding=same",
        "AveragePooling2D 2 padding=valid",
        "SeparableConv2D 64 3 padding=same depth_multiplier=2",
        'layers.SeparableConv2D(64, 3, padding="same", activation="relu")',
        "DepthwiseConv2D 3 depth_multiplier=2 use_bias=False",
        "GlobalAveragePooling2D",
        "SpatialDropout2D rate=0.2",
        "Dropout 50%",
        "LeakyReLU alpha=0.2",
        "Dense units=10 activation=softmax",
        "Activation relu",
        "ZeroPadding2D 1",
        "RandomFlip horizontal",
        "Rescaling 0.00392",
        "UpSampling2D 2",
        "Conv1D 32 3",
        "Concatenate",
        "Conv2D 32 (3, 3)",
        "Conv2D 32 3 relu",
        "Conv2D 32 3 same",
        "Dense 10 softmax",
        "layers.ReLU(max_value=6)",
        "keras.Input((28, 28, 1)),",
        "Input(28, 28, 1)",
        "layers.Reshape((28, 28, 1))",
        "model = keras.Model(inputs, outputs)",
        "model.add(Conv2D(32, (3, 3), activation='relu', input_shape=(28, 28, 1)))",
        "layers.Lambda(lambda x: x / 255)",
    ),
    "darknet": (
        "[convolutional]\nbatch_normalize=1\nfilters=32\nsize=3\nstride=1\npad=1\nactivation=leaky",
        "[maxpool]\nsize=2\nstride=1",
        "[shortcut]\nfrom=-3\nactivation=linear",
        "convolutional 32 3 pad=1",
        "batch_normalize=1",
    ),
    "tiny-dnn": (
        "net << convolutional_layer(32, 32, 5, 1, 6) << relu_layer()",
        "average_pooling_layer(28, 28, 6, 2)",
        "fully_connected_layer(120, 10)",
        "conv(32, 32, 5, 1, 6)",
    ),
    "Caffe": (
        "layer {",
        'type: "Convolution"',
        "convolution_param { num_output: 20 kernel_size: 5 stride: 1 }",
        "InnerProduct num_output=500",
        "LRN 5",
    ),
}
"""By the tool that they are written for."""


def said(lines: str) -> str:
    """Return how the lines are read and what is noted of that, or why they are not."""
    try:
        answer = ["reads: " + formatted(lines, "net.cnn").rstrip("\n").replace("\n", "\n       ")]
    except NetworkError as error:
        return str(error)
    return "\n".join([*answer, *(note.partition("\n")[0] + note[note.find("\n  help") :] for note in notes(lines))])


def test_lines_of_other_tools_are_read_as_they_are_meant_or_refused_with_the_line_to_write(golden):
    """What each says was read as the person who typed the line, and found good."""
    parts = []
    for tool, lines in LINES.items():
        parts.append(f"=== {tool} ===")
        parts += [f"> {line.replace(chr(10), f'{chr(10)}> ')}\n{said(line)}" for line in lines]
    golden("network-lines.txt", "\n\n".join(parts))
