"""CHECK: to and from PyTorch. PyTorch is only imported by these modules, and they only when they are used."""

from __future__ import annotations

from typing import Final

from layerline.errors import UserError

INSTALL: Final = "pip install 'layerline[torch]'"
"""What to do if PyTorch is not installed."""


def check_installed(function: str) -> None:
    """Raise UserError if PyTorch is not installed, which `function` needs."""
    try:
        import torch  # noqa: F401 - only whether it can be imported
    except ModuleNotFoundError as error:
        raise UserError(f"{function}: PyTorch is not installed", INSTALL) from error
