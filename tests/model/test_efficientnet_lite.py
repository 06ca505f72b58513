"""EfficientNet-Lite: blocks and levels of the three sizes, TensorFlow's padding, gray borders, position waves."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from masklet.backend import IMAGE_MEAN, IMAGE_STD  # noqa: E402
from masklet.config import CONFIGS  # noqa: E402
from masklet.model.efficientnet_lite import EfficientNetLite, SameConv  # noqa: E402
from masklet.model.sam2 import Sam2  # noqa: E402
from masklet.position_tables import compute_position_waves  # noqa: E402

MICRO = CONFIGS["lite-micro"]


@pytest.mark.parametrize(
    ("name", "depth", "widths"),
    [
        ("lite0", 16, (24, 40, 112, 320)),
        ("lite1", 21, (24, 40, 112, 320)),
        ("lite2", 21, (24, 48, 120, 352)),
    ],
)
def test_the_published_sizes_have_their_blocks_and_widths(name: str, depth: int, widths: tuple[int, ...]) -> None:
    config = CONFIGS[name]
    assert config.depth == depth
    assert [config.levels[stride] for stride in (4, 8, 16, 32)] == [widths[0] + 12, *widths[1:]]


@pytest.mark.parametrize("name", ["lite-micro", "sam2.1-micro"])
def test_maps_have_the_stated_strides_and_channels(name: str) -> None:
    trunk = Sam2(CONFIGS[name]).trunk
    with torch.no_grad():
        maps = trunk(torch.zeros(2, 3, 96, 96))
    expected = [(2, count, 96 // stride, 96 // stride) for stride, count in trunk.levels.items()]
    assert [tuple(level.shape) for level in maps] == expected


@pytest.mark.parametrize("kernel", [3, 5])
def test_a_stride_of_2_pads_one_pixel_more_at_the_bottom_and_right(kernel: int) -> None:
    conv = SameConv(1, 1, kernel, stride=2).requires_grad_(False)
    first = torch.zeros(1, 1, 8, 8)
    first[..., 0, 0] = 1  # the first output sees the first pixel at index `before` of the kernel
    before = (kernel - 2) // 2
    assert conv(first)[0, 0, 0, 0] == conv.weight[0, 0, before, before] + conv.bias[0]
    assert conv(first).shape[-2:] == (4, 4)


def test_a_border_of_the_original_zero_changes_nothing() -> None:
    """The original pads zeros, which are pixels of 127: an image with such a border looks like a smaller image."""
    torch.manual_seed(0)
    trunk = EfficientNetLite(MICRO).double().requires_grad_(False)
    pixels = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.float64)
    bordered = F.pad(pixels, (0, 64, 0, 64), value=127.0)
    small, large = (trunk.stem(_subtract_gray(_normalize(images))) for images in (pixels, bordered))
    torch.testing.assert_close(large[..., :32, :32], small)


def _normalize(pixels: torch.Tensor) -> torch.Tensor:
    mean, std = (pixels.new_tensor(values)[:, None, None] for values in (IMAGE_MEAN, IMAGE_STD))
    return (pixels / 255 - mean) / std


def _subtract_gray(images: torch.Tensor) -> torch.Tensor:
    return images - _normalize(torch.full_like(images, 127.0))


def test_the_finest_map_ends_with_the_position_waves() -> None:
    with torch.no_grad():
        finest = EfficientNetLite(MICRO)(torch.zeros(1, 3, 64, 96))[0]
    np.testing.assert_allclose(finest[0, -12:], compute_position_waves(16, 24), atol=1e-6)
