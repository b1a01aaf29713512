"""Which small models of torchvision and timm `from_torch` carries over, and why it refuses the others.

    pip install torchvision timm
    python benchmarks/torch_corpus.py [--only WORD]

Random weights, images of 3×224×224. A model that is carried over has the same logits within 1e-5: `from_torch` checks
that itself. No weights are downloaded.
"""

from __future__ import annotations

import argparse
import importlib
import time
import warnings
from typing import Any, Final

import torch

import layerline

SHAPE: Final = (3, 224, 224)
TORCHVISION: Final = """
    alexnet convnext_tiny densenet121 efficientnet_b0 googlenet inception_v3 mnasnet0_5 mobilenet_v2 mobilenet_v3_small
    regnet_x_400mf regnet_y_400mf resnet18 resnet50 resnext50_32x4d shufflenet_v2_x0_5 squeezenet1_1 vgg11_bn
    wide_resnet50_2
"""
TIMM: Final = """
    convnext_atto cspdarknet53 darknet53 densenet121 dla34 efficientnet_lite0 fbnetc_100 ghostnet_050 hardcorenas_a
    hrnet_w18_small lcnet_050 mixnet_s mnasnet_small mobilenetv1_100 mobilenetv2_050 mobilenetv3_small_050
    mobilenetv4_conv_small_050 mobileone_s0 regnetx_002 regnety_002 repvgg_a0 res2net50_26w_4s resnest14d resnet10t
    resnet18 resnet18d resnetv2_18 selecsls42 semnasnet_050 seresnet18 spnasnet_100 test_byobnet test_convnext
    test_efficientnet test_mambaout test_nfnet test_resnet test_vit tf_efficientnet_lite0
    tf_mobilenetv3_small_minimal_100 tinynet_e vgg11_bn vit_tiny_patch16_224 xception41
"""


def main() -> None:
    """Print a row per model, then the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="models whose name contains this")
    only = parser.parse_args().only
    warnings.simplefilter("ignore")
    found: list[bool] = []
    for library, listed in (("torchvision", TORCHVISION), ("timm", TIMM)):
        try:
            models = importlib.import_module("torchvision.models" if library == "torchvision" else library)
        except ImportError as error:
            print(f"{library}: not installed ({error})")
            continue
        found += [row(library, name, models) for name in listed.split() if only in name]
    print(f"{sum(found)} of {len(found)} carried over, {len(found) - sum(found)} refused with a reason")


def row(library: str, name: str, models: Any) -> bool:
    """Print whether a model is carried over, or the reasons; return whether it is."""
    torch.manual_seed(0)
    if library == "torchvision":
        options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        module = getattr(models, name)(weights=None, **options)
    else:
        module = models.create_model(name, pretrained=False)
    began = time.perf_counter()
    parts = layerline.torch_support(module, SHAPE)
    parameters = sum(value.numel() for value in module.parameters()) / 1e6
    if parts:
        result = f"refused: {parts[0]}" + f" … and {len(parts) - 1} more" * (len(parts) > 1)
    else:
        result = f"carried over, in {time.perf_counter() - began:.1f} s"
    print(f"{library:11s} {name:34s} {parameters:5.1f}M  {result}", flush=True)
    return not parts


if __name__ == "__main__":
    main()
