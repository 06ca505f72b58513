"""Models as folders of ONNX graphs, in our layout and in those of others."""

from masklet.export.folder import Exported, Trial, export_layout, export_onnx, read_network
from masklet.export.layouts import LAYOUTS
from masklet.onnx_graphs import PRECISIONS

__all__ = ["LAYOUTS", "PRECISIONS", "Exported", "Trial", "export_layout", "export_onnx", "read_network"]
