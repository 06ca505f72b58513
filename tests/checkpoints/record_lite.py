"""Record what the published code of EfficientNet-Lite computes for a small network with weights by formula.

Needs PyTorch and `pip install --no-deps efficientnet-lite-pytorch==0.1.0`. Run it as a module from `tests`:
`python -m checkpoints.record_lite`. It writes `lite_features.npz`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from efficientnet_lite_pytorch.utils import efficientnet_lite

from support.lite_weights import make_original_tensors, make_pixels

ENDS = (1, 2, 4, 7)  # blocks at the ends of the strides 4, 8, 16 and 32


@torch.no_grad()
def main() -> None:
    pixels = torch.from_numpy(make_pixels()).float()
    blocks, parameters = efficientnet_lite(width_coefficient=0.25, depth_coefficient=0.3, image_size=pixels.shape[-1])
    network = EfficientNet(blocks, parameters).eval()
    tensors = {name: torch.from_numpy(value) for name, value in make_original_tensors().items()}
    missing, unexpected = network.load_state_dict(tensors, strict=False)
    assert not unexpected
    assert all(name.startswith(("_conv_head", "_bn1", "_fc")) or name.endswith("batches_tracked") for name in missing)
    x = torch.nn.functional.relu6(network._bn0(network._conv_stem((pixels - 127) / 128)))
    features = {}
    for index, block in enumerate(network._blocks):
        x = block(x)
        if index in ENDS:
            features[f"stride{pixels.shape[-1] // x.shape[-1]}"] = x.numpy()
    np.savez_compressed(Path(__file__).parent / "lite_features.npz", **features)


if __name__ == "__main__":
    main()
