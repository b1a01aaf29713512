"""A Layerline network as a scikit-learn classifier: `ConvNetClassifier`. It is documented in docs/scikit-learn.md.

Importing this package imports scikit-learn (the extra `sklearn`); importing `layerline` does not.
"""

from __future__ import annotations

try:
    from sklearn.utils.validation import validate_data  # noqa: F401 - the newest of the names used
except ImportError as error:
    raise ImportError(
        "layerline.sklearn needs scikit-learn 1.6 or newer\n  help: pip install 'scikit-learn>=1.6'"
    ) from error

from layerline.sklearn.classifier import ConvNetClassifier

__all__ = ["ConvNetClassifier"]
