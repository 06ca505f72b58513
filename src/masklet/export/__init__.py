"""Export of models as folders of ONNX graphs, in masklet's layout and in the layouts of other tools.

`folder.py` writes a folder, `layouts.py` the files of other tools. For int8, `calibration.py` measures the ranges of
activations and `quantization_error.py` how much the masks change; both run the model with `sample_run.py`.
"""

from masklet.export.folder import ExportResult, QuantizationOptions, export_layout, export_onnx, read_model
from masklet.export.layouts import LAYOUTS
from masklet.onnx_graphs import PRECISIONS

__all__ = [
    "LAYOUTS",
    "PRECISIONS",
    "ExportResult",
    "QuantizationOptions",
    "export_layout",
    "export_onnx",
    "read_model",
]
