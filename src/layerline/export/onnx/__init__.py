"""EXPORT: models as ONNX files, and classifiers in ONNX files as models."""
