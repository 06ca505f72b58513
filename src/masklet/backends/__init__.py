"""Backends: the networks on PyTorch and on onnxruntime."""
