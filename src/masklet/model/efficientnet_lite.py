"""EfficientNet-Lite as a trunk: an image → features at four strides, with position waves in the finest.

The networks are those of https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite, without their
head and with the batch norms folded into the convolutions (`checkpoints/trunk_import.py`). The original takes images
(x − 127) / 128 for pixel values x. Here images are normalized as for every trunk, and the weights of the first
convolution contain the difference in scale; the difference in offset is subtracted, so that padding is gray as in the
original.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from masklet.backend import GRAY
from masklet.config import LITE_STEM_CHANNELS, MBConvConfig, ModelConfig
from masklet.model.position_encoding import load_table
from masklet.position_tables import compute_position_waves

if TYPE_CHECKING:
    from jaxtyping import Float

    from masklet.model.trunk import TrunkMaps


class EfficientNetLite(nn.Module):
    """Images → features at four strides. The sides of images are multiples of 32."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.levels = config.levels
        self.stem = SameConv(3, LITE_STEM_CHANNELS, 3, stride=2)
        self.blocks = nn.ModuleList(MBConv(block) for block in config.mbconv_blocks)
        self.level_ends = tuple(config.mbconv_ends.values())

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> TrunkMaps:
        x = F.relu6(self.stem(image - image.new_tensor(GRAY)[:, None, None]))
        outputs = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.level_ends:
                outputs.append(x)
        finest, second, third, fourth = outputs
        waves = load_table(compute_position_waves, tuple(finest.shape[-2:]), finest.dtype, finest.device)
        return torch.cat((finest, waves.expand(len(finest), -1, -1, -1)), dim=1), second, third, fourth


class MBConv(nn.Module):
    """Inverted residual block: expansion, depthwise convolution, projection."""

    def __init__(self, config: MBConvConfig) -> None:
        super().__init__()
        self.is_residual = config.is_residual
        self.expand = SameConv(config.channels, config.hidden, 1) if config.expansion > 1 else None
        self.depthwise = SameConv(config.hidden, config.hidden, config.kernel, config.stride, groups=config.hidden)
        self.project = SameConv(config.hidden, config.out, 1)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 H2 W2"]:
        hidden = x if self.expand is None else F.relu6(self.expand(x))
        out = self.project(F.relu6(self.depthwise(hidden)))
        return x + out if self.is_residual else out


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding: at stride 2, one pixel more at the bottom and right."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(channels, out, kernel, stride, kernel // 2 if stride == 1 else 0, groups=groups)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 H2 W2"]:
        if self.stride[0] == 2:
            total = self.kernel_size[0] - 2
            before, after = total // 2, total - total // 2
            x = F.pad(x, (before, after, before, after))
        return super().forward(x)
