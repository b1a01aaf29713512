"""Lowering of bias gradients, shared by all layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerline.compiler.kernels.bias import BiasSum

if TYPE_CHECKING:
    from layerline.compiler.builder import Builder, LayerValue
    from layerline.compiler.program import Buffer


def bias_sum(b: Builder, name: str, y: LayerValue, dy: Buffer) -> None:
    """Add the gradient of a bias and its optimizer step."""
    b.op(BiasSum(y.plane), dy, b.partial(name))
    b.step(name)
