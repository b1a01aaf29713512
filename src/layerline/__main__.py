"""`python -m layerline` is the command `layerline`."""

from __future__ import annotations

import sys

from layerline.cli import main

if __name__ == "__main__":
    sys.exit(main())
