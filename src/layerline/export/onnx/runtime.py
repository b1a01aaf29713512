"""onnxruntime, if it is installed: it checks what we write and read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerline.data.dataset import ImageSet
from layerline.engines.features import features
from layerline.errors import UserError
from layerline.numbers import display
from layerline.recipe import Recipe
from layerline.runs.model_file import BYTE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from layerline.data.dataset import Scaling
    from layerline.export.subject import Subject
    from layerline.network import Network

CLOSE: Final = 1e-5
"""The largest difference of a probability in an export."""
IMPORT_CLOSE: Final = 1e-4
"""The same of an import: two programs round differently in deep networks."""
HALF_CLOSE: Final = 0.05
"""The same of a file that computes with 16-bit numbers."""
INSTALL: Final = "pip install 'layerline[onnx]'"
_IMAGES: Final = 4


def installed() -> bool:
    """Return whether onnxruntime can be imported."""
    try:
        import onnxruntime  # noqa: F401 - only whether it can be imported
    except ImportError:
        return False
    return True


def checked(content: bytes, subject: Subject, name: str, *, bytewise: bool, channels_last: bool) -> str:
    """Return a note on the comparison of a file with Layerline's own results on a few images, its input `name`.

    Raises UserError if they differ by more than 1e-5.
    """
    if not installed():
        return f"not checked, because onnxruntime is not installed: {INSTALL}"
    images: NDArray[Any] = sample(subject.network.input_shape)
    if not bytewise:
        images = images.astype(np.float32) * np.float32(subject.card.preprocessing.maximum / BYTE)
    ours = probabilities(subject.network, subject.card.scaling, subject.weights, images)
    theirs = outputs(content, images.transpose(0, 2, 3, 1) if channels_last else images, name)
    difference = float(np.abs(ours - theirs).max())
    if not difference <= CLOSE:
        classes = int((ours.argmax(1) != theirs.argmax(1)).sum())
        raise UserError(
            f"onnxruntime {_version()} computes other probabilities than Layerline from this export: they differ by up "
            f"to {difference:.3g}, at most {CLOSE:g} is accepted, and {classes} of {_IMAGES} classes differ; nothing "
            "was written",
            "update onnxruntime, or export to another format (--to c, --to web)",
        )
    return f"checked with onnxruntime {_version()}: the largest difference of {_IMAGES} images is {difference:.1g}"


def sample(shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return a few images, uint8 (N, C, H, W): a dark one, a bright one, waves, and noise."""
    C, H, W = shape
    c, h, w = np.ogrid[:C, :H, :W]
    waves = (h * h + 3 * w * w) // 16 + 85 * c + (h ^ w) * (c + 1)
    noise = np.random.default_rng(0).integers(0, 256, shape)
    images = np.stack([waves % 40, 255 - waves % 40, waves % 256, noise])
    return images.astype(np.uint8)


def probabilities(
    network: Network, scaling: Scaling, weights: Mapping[str, NDArray[Any]], images: NDArray[Any]
) -> NDArray[np.float64]:
    """Return the softmax of the logits that the compiled engine computes, without Winograd's convolution."""
    held = ImageSet(np.ascontiguousarray(images), np.zeros(len(images), np.int32))
    indices = np.arange(len(images), dtype=np.int64)
    return softmax(features(network.unfrozen, scaling, Recipe(exact=True), weights, held, indices, threads=1))


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Return the probabilities, float64."""
    powers = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    found: NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
    return found


def attempted(
    content: bytes, images: NDArray[Any], name: str, sizes: tuple[int | None, ...] | None
) -> NDArray[np.float32] | str:
    """Return the output of another program's file, or why onnxruntime does not run it. See `outputs`."""
    try:
        return outputs(content, images, name, sizes)
    except Exception as error:  # onnxruntime's have no base of their own
        first = next(iter(str(error).splitlines()), "")
        return f"not checked, because onnxruntime {_version()} cannot run the file: {display.name(first, 120)}"


def agreed(ours: NDArray[Any], theirs: NDArray[Any], place: str, *, halved: bool) -> str:
    """Return a note on an imported file's probabilities and Layerline's. Raises UserError if they differ.

    halved: whether the file computes with 16-bit numbers.
    """
    largest = theirs.max(1, keepdims=True)  # of a thousand classes before a training, all are near 0.001
    difference = float((np.abs(ours - theirs) / largest).max()) if ours.shape == theirs.shape else np.inf
    close = HALF_CLOSE if halved else IMPORT_CLOSE
    if not difference <= close:
        raise UserError(
            f"{place}: onnxruntime {_version()} computes other probabilities than Layerline: they differ by up to "
            f"{difference:.3g} of the largest one, at most {close:g} is accepted",
            "export the model with another opset or exporter, in float32",
        )
    return f"checked with onnxruntime {_version()}: the largest difference of {_IMAGES} images is {difference:.1g}"


def outputs(
    content: bytes, images: NDArray[Any], name: str, sizes: tuple[int | None, ...] | None = None
) -> NDArray[np.float32]:
    """Return the output of a file for images as its input `name` has them, as onnxruntime computes it.

    sizes: of that input, if the number of images may be fixed. Inputs that nothing uses are zeros.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # warnings are about the file's style
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    batch = (sizes or (None,))[0] or len(images)
    filled = np.concatenate([images] * batch)[: -(-len(images) // batch) * batch] if batch > 1 else images
    unused = {
        each.name: np.zeros([size if isinstance(size, int) else 1 for size in each.shape], np.float32)
        for each in session.get_inputs()
        if each.name != name
    }
    parts = [
        session.run(None, {name: np.ascontiguousarray(filled[start : start + batch]), **unused})[0]
        for start in range(0, len(filled), batch)
    ]
    found: NDArray[np.float32] = np.concatenate(parts)[: len(images)].astype(np.float32)
    return found


def _version() -> str:
    import onnxruntime

    return str(onnxruntime.__version__)
