"""Models as folders of ONNX graphs, in our layout and in those of others."""

from masklet.export.folder import PRECISIONS, Exported, export_onnx

__all__ = ["PRECISIONS", "Exported", "export_onnx"]
