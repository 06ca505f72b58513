"""Record the signatures of PyPI's `sam2` 1.1.0, and its results of `image_program.py`.

Values are those of float64, types those of float32.

It runs where `sam2`, PyTorch, OpenCV and pycocotools are installed, from the root of the repository:

    PYTHONPATH=tests python tests/compat/record_reference.py
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np

from compat import image_program
from compat.call_log import CallLog

HERE = Path(__file__).parent
OVERRIDES = [
    "++model.image_size=256",
    "++model.image_encoder.trunk.embed_dim=32",
    "++model.image_encoder.trunk.stages=[1,2,3,1]",
    "++model.image_encoder.trunk.global_att_blocks=[4]",
    "++model.image_encoder.neck.backbone_channel_list=[256,128,64,32]",
]
SIGNATURES = {
    "build_sam": ["build_sam2", "build_sam2_video_predictor", "build_sam2_hf", "build_sam2_video_predictor_hf"],
    "sam2_image_predictor": ["SAM2ImagePredictor"],
    "sam2_video_predictor": ["SAM2VideoPredictor"],
    "automatic_mask_generator": ["SAM2AutomaticMaskGenerator"],
    "utils.transforms": ["SAM2Transforms"],
    "utils.amg": [
        *("MaskData", "is_box_near_crop_edge", "box_xyxy_to_xywh", "batch_iterator", "mask_to_rle_pytorch"),
        *("rle_to_mask", "area_from_rle", "calculate_stability_score", "build_point_grid"),
        *("build_all_layer_point_grids", "generate_crop_boxes", "uncrop_boxes_xyxy", "uncrop_points", "uncrop_masks"),
        *("remove_small_regions", "coco_encode_rle", "batched_mask_to_box"),
    ],
    "utils.misc": [
        *("get_connected_components", "mask_to_box", "load_video_frames", "load_video_frames_from_jpg_images"),
        *("load_video_frames_from_video_file", "fill_holes_in_mask_scores", "concat_points"),
    ],
}
PRIVATE = ("__init__", "_predict", "_prep_prompts", "_get_image_feature", "_get_orig_video_res_output")
"""Methods with an underscore that client programs use."""


def list_signatures(root: str) -> Iterator[tuple[str, list[list[str]]]]:
    """Yield the parameters of every function and method in `SIGNATURES`: name, kind and default of each.

    Args:
        root: Name of the package: `sam2` or its replacement.
    """
    for module, names in SIGNATURES.items():
        imported = __import__(f"{root}.{module}", fromlist=["*"])
        for name in names:
            found = getattr(imported, name)
            if not inspect.isclass(found):
                yield f"{module}.{name}", describe(found)
                continue
            for method, value in inspect.getmembers(found, inspect.isroutine):
                is_own = any(method in base.__dict__ for base in found.__mro__ if base.__module__.startswith(root))
                if is_own and (not method.startswith("_") or method in PRIVATE):
                    yield f"{module}.{name}.{method}", describe(value)


def describe(function: Any) -> list[list[str]]:
    """Return name, kind and default of each parameter of a function."""
    parameters = inspect.signature(function).parameters.values()
    return [[p.name, p.kind.name, "" if p.default is p.empty else repr(p.default)] for p in parameters]


def prepare_import() -> None:
    """Stand in for torchvision and for the CUDA extension, which the reference imports."""
    from compat.torchvision_stand_in import install_torchvision

    install_torchvision()
    import sam2

    extension = ModuleType("sam2._C")
    extension.get_connected_componnets = find_components  # type: ignore[attr-defined]
    sys.modules["sam2._C"] = sam2._C = extension


def find_components(mask: Any) -> tuple[Any, Any]:
    """Do what the CUDA extension of the reference does: label the components and count the pixels of each."""
    import torch

    labels, areas = [], []
    for plane in mask[:, 0].cpu().numpy().astype(np.uint8):
        _, found = cv2.connectedComponents(plane, connectivity=8)
        counts = np.bincount(found.ravel())
        counts[0] = 0
        labels.append(found)
        areas.append(counts[found])
    return tuple(torch.from_numpy(np.stack(values))[:, None] for values in (labels, areas))  # type: ignore[return-value]


def build_reference(shapes: dict[str, list[int]], **options: Any) -> Any:
    """Build the reference's small network."""
    import torch
    from sam2.build_sam import build_sam2

    config = "configs/sam2.1/sam2.1_hiera_t.yaml"
    model = build_sam2(config, device="cpu", hydra_overrides_extra=OVERRIDES, **options)
    weights = image_program.make_weights(shapes)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return model.to(torch.get_default_dtype())


def compute_in_double() -> None:
    """Make every float32 of the reference a float64."""
    import torch

    torch.float = torch.float32 = torch.float64  # type: ignore[misc]
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]
    torch.set_default_dtype(torch.float64)


def fix(predictor: Any) -> Any:
    """Adapt a predictor of the reference, which assumes an input of 1024 pixels."""
    predictor._bb_feat_sizes = [(64, 64), (32, 32), (16, 16)]
    return predictor


def record_program() -> CallLog:
    """Run the program under the reference: values in float64, types in float32."""
    prepare_import()
    import torch
    from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
    from sam2.sam2_image_predictor import SAM2ImagePredictor
    from sam2.utils import amg

    api = SimpleNamespace(
        SAM2ImagePredictor=SAM2ImagePredictor,
        SAM2AutomaticMaskGenerator=SAM2AutomaticMaskGenerator,
        amg=amg,
        fix=fix,
        tensor=torch.from_numpy,
    )
    shapes = json.loads((HERE.parent / "parity" / "shapes.json").read_text())[image_program.CONFIG]
    single, log = CallLog(), CallLog()
    for used in (single, log):
        if used is log:
            compute_in_double()
        model = build_reference(shapes)
        image_program.run_predictor(api, model, used)
        image_program.run_generator(api, model, used)
        image_program.run_utilities(api, model, used)
        image_program.run_without_postprocessing(api, build_reference(shapes, apply_postprocessing=False), used)
    log.facts |= {name: fact for name, fact in single.facts.items() if name.endswith(":type") and name in log.facts}
    return log


def main() -> None:
    """Write `signatures.json` and `image_program.npz`."""
    prepare_import()
    signatures = dict(list_signatures("sam2"))
    (HERE / "signatures.json").write_text(json.dumps(signatures, indent=1) + "\n")
    log = record_program()
    log.save(HERE / "image_program.npz")
    print(len(signatures), "signatures,", len(log.facts), "values")


if __name__ == "__main__":
    main()
