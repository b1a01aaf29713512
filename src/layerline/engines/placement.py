"""RUN: where the torch engine computes, and in which precision. Nothing here imports PyTorch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, final

from layerline.errors import RecipeError, other_words
from layerline.numbers import display

PRECISIONS: Final = ("float32", "bf16")
_DEVICE: Final = re.compile(r"auto|cpu|mps|cuda(:[0-9]{1,3})?")
_NUMBERED: Final = re.compile(r"[0-9]{1,3}")


@final
@dataclass(frozen=True)
class Placement:
    """The requested device and precision; `engines.torch_device` finds the device."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps; auto: CUDA if available, else MPS, else the CPU."""
    precision: str = "float32"
    """float32, or bf16: forward and backward passes under autocast."""

    def check(self, engine: str = "torch") -> None:
        """Raise RecipeError if a value is unknown, or if the engine does not support it."""
        if not _DEVICE.fullmatch(self.device):
            raise RecipeError(f"--device {display.name(self.device)}: unknown", _device_hint(self.device))
        if self.precision not in PRECISIONS:
            hint = other_words.hint("precision", self.precision, PRECISIONS)
            raise RecipeError(f"--precision {display.name(self.precision)}: unknown", hint)
        if engine == "compiled" and self.device not in ("auto", "cpu"):
            raise RecipeError(f"--device {self.device}: the compiled engine runs on the CPU", "add --engine torch")
        if engine == "compiled" and self.precision != "float32":
            raise RecipeError(
                f"--precision {self.precision}: the compiled engine computes in float32", "add --engine torch"
            )


def _device_hint(word: str) -> str:
    if _NUMBERED.fullmatch(word):
        return f"did you mean cuda:{word}?"
    meant = other_words.our_value("device", word)
    return "use auto, cpu, cuda, cuda:1 or mps" if meant is None else f"did you mean {meant}?"
