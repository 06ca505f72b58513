"""Runtimes of the networks: PyTorch and onnxruntime."""
