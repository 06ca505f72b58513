"""Record the results of `video_program.py` under PyPI's `sam2` 1.1.0: values in float64, types in float32.

It runs where `sam2` is installed, from the root of the repository:

    PYTHONPATH=tests:PATH_OF_A_TORCHVISION python tests/compat/record_video.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from compat import image_program, video_program
from compat.call_log import CallLog
from compat.record_reference import OVERRIDES, compute_in_double, find_components

HERE = Path(__file__).parent
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "corrections": {
        "hydra_overrides_extra": ["++model.add_all_frames_to_correct_as_cond=true", "++model.non_overlap_masks=true"]
    },
    "raw": {"apply_postprocessing": False},
}
"""Arguments of the builder, besides the size of the network."""


def build_reference(**options: Any) -> Any:
    """Build the reference's small video predictor, with the components of its CUDA extension."""
    import sam2
    import torch
    from sam2.build_sam import build_sam2_video_predictor

    extension = ModuleType("sam2._C")
    extension.get_connected_componnets = find_components  # type: ignore[attr-defined]
    sys.modules["sam2._C"] = sam2._C = extension
    size = f"++model.image_size={video_program.IMAGE_SIZE}"
    overrides = [*OVERRIDES, size, *options.pop("hydra_overrides_extra", [])]
    config = "configs/sam2.1/sam2.1_hiera_t.yaml"
    model = build_sam2_video_predictor(config, device="cpu", hydra_overrides_extra=overrides, **options)
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    weights = image_program.make_weights(shapes)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    attend = model.memory_attention.forward

    def attend_in_float(**arguments: Any) -> Any:
        """Convert memories from bfloat16, as autocast does on CUDA."""
        return attend(
            **{name: value.float() if hasattr(value, "float") else value for name, value in arguments.items()}
        )

    model.memory_attention.forward = attend_in_float
    return model.to(torch.get_default_dtype())


def record(folder: Path) -> CallLog:
    """Run the program with each variant."""
    import torch
    from sam2.utils import misc

    def tensor(values: Any) -> Any:
        made = torch.from_numpy(np.ascontiguousarray(values))
        return made.to(torch.get_default_dtype()) if made.is_floating_point() else made

    together = CallLog()
    for name, options in VARIANTS.items():
        log = CallLog()
        model = build_reference(**options)
        with torch.inference_mode():
            video_program.run(model, log, folder)
            if not options:
                rest = CallLog()
                video_program.run_rest(SimpleNamespace(tensor=tensor, misc=misc), model, rest, folder)
                together.facts, together.samples = rest.facts, rest.samples
        together.facts |= {f"{name}.{key}": value for key, value in log.facts.items()}
        together.samples |= {f"{name}.{key}": value for key, value in log.samples.items()}
    return together


def main() -> None:
    """Write `video_program.npz`."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = video_program.write_frames(Path(temporary))
        single = record(folder)
        compute_in_double()
        log = record(folder)
    log.facts |= {name: fact for name, fact in single.facts.items() if name.endswith(":type") and name in log.facts}
    log.save(HERE / "video_program.npz")
    print(len(log.facts), "values")


if __name__ == "__main__":
    main()
