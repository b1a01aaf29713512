"""Sections of a darknet .cfg pasted into a network file, and the equivalent lines."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, final

from layerline.layers import Misfit
from layerline.network_file.pasted import write

if TYPE_CHECKING:
    from layerline.network_file.statements import Statement

_HEAD: Final = re.compile(r"\[([A-Za-z_]+)\]", re.ASCII)
_KEY: Final = re.compile(r"([A-Za-z_]+)[ \t]*=[ \t]*(.*)", re.ASCII)
_ACTIVATIONS: Final[dict[str, str]] = {
    "leaky": "LeakyReLU 0.1",
    "relu": "ReLU",
    "logistic": "Sigmoid",
    "tanh": "Tanh",
    "gelu": "GELU",
    "swish": "SiLU",
    "relu6": "ReLU6",
    "elu": "ELU",
    "mish": "Mish",
    "linear": "",
}
_NOT_HERE: Final = ("cost", "crop")
_FLAT: Final = ("connected", "softmax")
"""Sections that need a flat vector; darknet flattens an image automatically."""


@final
@dataclass
class Section:
    """A `[section]` with its `key=value` lines; filled while the file is read."""

    statement: Statement
    name: str
    values: dict[str, str] = field(default_factory=dict)

    def take(self, code: str) -> bool:
        """Add a line `key=value`; return whether it is one."""
        match = _KEY.fullmatch(code.strip())
        if match:
            self.values[match[1].lower()] = match[2].strip()
        return match is not None

    def misfit(self, *, flat: bool) -> Misfit:
        """Return the mistake that describes it; `flat` is whether its input is already a flat vector."""
        try:
            lines = self._lines()
        except (KeyError, ValueError):
            lines = None
        reason = f"[{self.name}] is a darknet section; here a layer is one line"
        if self.name == "shortcut":
            return Misfit(reason, "write the lines of the branch between `Residual` and `End`")
        if self.name == "route":
            return Misfit(reason, "write the lines of its branches between `Concat` and `End`, separated by `Branch`")
        if lines is None:
            return Misfit(reason, "this section has no equivalent: remove it, or use other layers")
        if self.name in _FLAT and not flat:
            lines = ["Flat", *lines]
        return Misfit(reason, write(lines) if lines else "remove it: nothing here corresponds to it")

    @property
    def flattens(self) -> bool:
        """Whether its output is a flat vector."""
        return self.name in _FLAT

    def _lines(self) -> list[str] | None:
        """Return its lines, None if there is no equivalent. Raises KeyError or ValueError for invalid values."""
        match self.name:
            case "net" | "network":
                return [
                    "Input {channels} {height} {width}".format(
                        **{key: int(v) for key, v in self.values.items() if key in ("channels", "height", "width")}
                    )
                ]
            case "convolutional" | "conv":
                return self._convolutional()
            case "connected" | "conn":
                return [f"FC {self._whole('output', 1)}", *self._norm(), *self._activation()]
            case "maxpool" | "max":
                return self._maxpool()
            case "avgpool" | "avg":
                return ["GlobalPool"]
            case "dropout":
                return [f"Dropout {float(self.values.get('probability', '0.5')):g}"]
            case "softmax" | "soft":
                return ["Softmax"]
            case "batchnorm":
                return ["BatchNorm"]
            case "activation":
                return self._activation("linear")
        return [] if self.name in _NOT_HERE else None

    def _whole(self, key: str, default: int) -> int:
        return int(self.values.get(key, default))

    def _norm(self) -> list[str]:
        return ["BatchNorm"] if self._whole("batch_normalize", 0) else []

    def _activation(self, default: str = "logistic") -> list[str]:
        line = _ACTIVATIONS[self.values.get("activation", default)]
        return [line] if line else []

    def _convolutional(self) -> list[str]:
        """In darknet, pad=1 is a padding of half the size; with batch_normalize, BatchNorm has the bias."""
        size, stride, groups = self._whole("size", 1), self._whole("stride", 1), self._whole("groups", 1)
        padding = size // 2 if self._whole("pad", 0) else self._whole("padding", 0)
        parts = [f"Conv {self._whole('filters', 1)} {size}"]
        parts += [
            f"{key}={value}"
            for key, value, usual in (("stride", stride, 1), ("padding", padding, 0), ("groups", groups, 1))
            if value != usual
        ]
        norm = self._norm()
        return [" ".join([*parts, *(["bias=no"] if norm else [])]), *norm, *self._activation()]

    def _maxpool(self) -> list[str] | None:
        """In darknet, the total padding is size − 1: size // 2 on each side of an odd window."""
        stride = self._whole("stride", 1)
        size = self._whole("size", stride)
        padding = self._whole("padding", size - 1)
        if size % 2 == 0 and stride != size:
            return [f"Pool {size} stride=1 padding=same"] if (stride, padding) == (1, size - 1) else None
        parts = [f"Pool {size}"]
        parts += [f"stride={stride}"] if stride != size else []
        parts += [f"padding={padding // 2}"] if padding // 2 and size % 2 else []
        return [" ".join(parts)]


def section(statement: Statement, code: str) -> Section | None:
    """Return the section that starts on this line, or None."""
    head = _HEAD.fullmatch(code.strip())
    return Section(statement, head[1].lower()) if head else None
