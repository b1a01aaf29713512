"""Where the project's own files are."""

from pathlib import Path
from typing import Final

import layerline

ROOT: Final = Path(__file__).parents[1]
DOCS: Final = ROOT / "docs"
GOLDEN: Final = ROOT / "tests" / "golden"
PACKAGE: Final = Path(layerline.__file__).parent
SOURCES: Final = PACKAGE.parent
"""What PYTHONPATH is where a test starts a process."""
