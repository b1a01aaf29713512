"""EXPORT: a trained model as a file for other programs; ONNX files are read, too."""
