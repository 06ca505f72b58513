"""Model configurations and defaults, by model name."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from masklet.errors import SettingsError


class BlockConfig(NamedTuple):
    """A block of Hiera."""

    name: str  # prefix of the keys of its weights
    channels: int  # of its input
    out: int  # channels of its output
    heads: int
    window: int  # side of its attention windows in tokens; 0 is global attention

    @property
    def pools(self) -> bool:
        """Whether the block halves the sides of the map and doubles the channels, as the first one of a stage does."""
        return self.out != self.channels


class MBConvConfig(NamedTuple):
    """A block of EfficientNet-Lite: an inverted residual that expands, filters each channel, and projects."""

    name: str  # prefix of the keys of its weights
    channels: int  # of its input
    expansion: int  # factor of the channels inside the block; with 1 no layer expands
    kernel: int  # side of the depthwise convolution's kernel
    stride: int  # of the depthwise convolution
    out: int  # channels of its output

    @property
    def hidden(self) -> int:
        """Channels inside the block."""
        return self.channels * self.expansion

    @property
    def is_residual(self) -> bool:
        """Whether the block adds its input to its output."""
        return self.stride == 1 and self.channels == self.out


class LiteScale(NamedTuple):
    """Factors of EfficientNet-Lite 0 that give another of the family."""

    width: float  # of the channels
    depth: float  # of the number of blocks per stage


HIERA = "hiera"
LITE_SCALES = {
    "efficientnet-lite0": LiteScale(1.0, 1.0),
    "efficientnet-lite1": LiteScale(1.0, 1.1),
    "efficientnet-lite2": LiteScale(1.1, 1.2),
    "efficientnet-lite-micro": LiteScale(0.25, 0.3),  # for tests
}
TRUNKS = (HIERA, *LITE_SCALES)
"""The trunks that a model can have."""

LITE_STEM_CHANNELS = 32  # of the first convolution, at every scale
_LITE_STAGES = (  # number of blocks, expansion, kernel, stride of the first block, channels
    (1, 1, 3, 1, 16),
    (2, 6, 3, 2, 24),
    (2, 6, 5, 2, 40),
    (3, 6, 3, 2, 80),
    (3, 6, 5, 1, 112),
    (4, 6, 5, 2, 192),
    (1, 6, 3, 1, 320),
)


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Architecture of a network, without files, devices and runtimes (reference-model §1).

    The fields from `width` to `background` describe Hiera. Other trunks are described by their names alone.
    """

    name: str
    width: int = 0  # channels of the first stage; they double at each later one
    heads: int = 0  # of the first stage; they double at each later one
    stages: tuple[int, int, int, int] = (0, 0, 0, 0)  # blocks per stage
    global_blocks: tuple[int, ...] = ()  # blocks that attend to the whole image
    windows: tuple[int, int, int, int] = (8, 4, 14, 7)  # side of the attention windows per stage
    background: int = 7  # side of the coarse grid of position embeddings
    input_size: int = 1024  # side of the square input that the weights were trained for
    channels: int = 256  # of the features, the prompt tokens and the object pointers
    memory_channels: int = 64
    decoder_hidden: int = 2048
    attention_layers: int = 4
    attention_hidden: int = 2048
    occlusion: bool = True  # 2.1: an embedding marks the memories of hidden objects
    pointer_times: bool = True  # 2.1: pointers carry the number of frames since they were made
    trunk: str = HIERA  # one of `TRUNKS`

    @property
    def levels(self) -> dict[int, int]:
        """Channels of the trunk's maps by stride, finest first."""
        if self.trunk == HIERA:
            return dict(zip((*STRIDES, COARSEST_STRIDE), self.widths, strict=True))
        blocks = self.mbconv_blocks
        levels = {stride: blocks[end].out for stride, end in self.mbconv_ends.items()}
        return levels | {MASK_STRIDE: levels[MASK_STRIDE] + POSITION_WAVES}

    @property
    def widths(self) -> tuple[int, int, int, int]:
        """Channels per stage of Hiera."""
        return self.width, 2 * self.width, 4 * self.width, 8 * self.width

    @property
    def feature_channels(self) -> tuple[int, int, int]:
        """Channels of the features at strides 4, 8 and 16."""
        return self.channels // 8, self.channels // 4, self.channels

    @property
    def release(self) -> str:
        """Release whose memory the network has: `2.1` or `2`."""
        return "2.1" if self.occlusion else "2"

    @property
    def depth(self) -> int:
        """Number of blocks of the trunk."""
        return sum(self.stages) if self.trunk == HIERA else len(self.mbconv_blocks)

    @property
    def stage_ends(self) -> tuple[int, ...]:
        """Index of the last block of each stage of Hiera."""
        return tuple(sum(self.stages[: stage + 1]) - 1 for stage in range(len(self.stages)))

    @property
    def blocks(self) -> tuple[BlockConfig, ...]:
        """The blocks of Hiera. A block that opens a stage has the windows of the stage before."""
        blocks: list[BlockConfig] = []
        for stage, count in enumerate(self.stages):
            out, heads = self.width << stage, self.heads << stage
            for position in range(count):
                opens_stage, index = stage > 0 and position == 0, len(blocks)
                channels, window = (out // 2, self.windows[stage - 1]) if opens_stage else (out, self.windows[stage])
                window = 0 if index in self.global_blocks else window
                blocks.append(BlockConfig(f"trunk.blocks.{index}", channels, out, heads, window))
        return tuple(blocks)

    @property
    def mbconv_blocks(self) -> tuple[MBConvConfig, ...]:
        """The blocks of EfficientNet-Lite."""
        scale, channels, blocks = LITE_SCALES[self.trunk], LITE_STEM_CHANNELS, list[MBConvConfig]()
        for stage, (count, expansion, kernel, stride, width) in enumerate(_LITE_STAGES):
            is_scaled = 0 < stage < len(_LITE_STAGES) - 1
            out = _scale_channels(width, scale.width)
            for position in range(math.ceil(count * scale.depth) if is_scaled else count):
                name, step = f"trunk.blocks.{len(blocks)}", 1 if position else stride
                blocks.append(MBConvConfig(name, channels, expansion, kernel, step, out))
                channels = out
        return tuple(blocks)

    @property
    def mbconv_ends(self) -> dict[int, int]:
        """Index of the last block of EfficientNet-Lite at each stride from 4 on."""
        stride, ends = 2, {}
        for index, block in enumerate(self.mbconv_blocks):
            stride *= block.stride
            ends[stride] = index
        return {stride: end for stride, end in ends.items() if stride >= MASK_STRIDE}


def _scale_channels(channels: int, factor: float) -> int:
    """Scale a number of channels to a multiple of 8 that is at most a tenth less, as EfficientNet does."""
    scaled = channels * factor
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


_RELEASED = (
    ModelConfig("tiny", 96, 1, (1, 2, 7, 2), (5, 7, 9)),
    ModelConfig("small", 96, 1, (1, 2, 11, 2), (7, 10, 13)),
    ModelConfig("base-plus", 112, 2, (2, 3, 16, 3), (12, 16, 20), background=14),
    ModelConfig("large", 144, 2, (2, 6, 36, 4), (23, 33, 43), windows=(8, 4, 16, 8)),
    ModelConfig("micro", 32, 1, (1, 2, 3, 1), (4,), input_size=256),  # for tests, which run it in 0.1 s
)

CONFIGS: dict[str, ModelConfig] = {
    config.name: config
    for base in _RELEASED
    for config in (
        replace(base, name=f"sam2.1-{base.name}"),
        replace(base, name=f"sam2-{base.name}", occlusion=False, pointer_times=False),
    )
}
EMBEDDED_MODEL = "nano"
"""Name of the default model, which is part of the package."""

CONFIGS[EMBEDDED_MODEL] = ModelConfig(
    EMBEDDED_MODEL,
    48,
    1,
    (1, 2, 5, 1),
    (5, 7),
    background=32,  # a coarser grid cannot represent waves with a period of a sixth of the image
    windows=(8, 4, 8, 4),  # a whole number of windows at every multiple of 128
    input_size=256,
    channels=128,
    decoder_hidden=512,
    attention_layers=2,
    attention_hidden=512,
)

_LITE = ModelConfig("", input_size=384, channels=128, decoder_hidden=512, attention_layers=2, attention_hidden=512)
CONFIGS.update(
    {
        "lite0": replace(_LITE, name="lite0", trunk="efficientnet-lite0"),
        "lite1": replace(_LITE, name="lite1", trunk="efficientnet-lite1"),
        "lite2": replace(_LITE, name="lite2", trunk="efficientnet-lite2"),
        "lite-micro": replace(_LITE, name="lite-micro", trunk="efficientnet-lite-micro", input_size=128),
    }
)
"""Every configuration by name: the eight released ones, `micro` in both releases, the embedded model's `nano`, and
those with a trunk of EfficientNet-Lite."""


class ModelDefaults(NamedTuple):
    """Defaults of the options that depend on the model.

    Attributes:
        zoom: Side of a crop divided by the size of its object; 0 predicts on full images (`masklet.load`).
        iou_threshold: Predicted IoU above which the mask generator keeps a mask.
        stability_threshold: Stability from which on the mask generator keeps a mask.
    """

    zoom: float = 0.0
    iou_threshold: float = 0.8
    stability_threshold: float = 0.95

    @staticmethod
    def of(model: str) -> ModelDefaults:
        """Return the defaults of a model by its configuration's name; other models have the reference's."""
        return MODEL_DEFAULTS.get(model, REFERENCE_DEFAULTS)


REFERENCE_DEFAULTS = ModelDefaults()
MODEL_DEFAULTS = {
    # With a zoom, masks are better and one object takes less time (benchmarks/results/zoom-cpu.md). The model predicts
    # lower IoUs and less stable masks than the released ones (docs/log.md).
    EMBEDDED_MODEL: ModelDefaults(zoom=2.0, iou_threshold=0.45, stability_threshold=0.4),
}

# The same in every configuration:
STRIDES = (4, 8, 16)  # of the features, in pixels of the input
MASK_STRIDE, STRIDE = STRIDES[0], STRIDES[2]  # of low-resolution logits; of the features that become memories and masks
COARSEST_STRIDE = 32  # of the trunk's last stage; the side of the input must be a multiple of it
MAX_INPUT_SIZE = 4096
PATCH_SIZE = 7  # side of the overlapping patches that Hiera embeds
WAVE_CYCLES = (0.5, 2.0, 6.0)  # cycles per image of the waves that EfficientNet-Lite appends to its finest map
POSITION_WAVES = 4 * len(WAVE_CYCLES)  # sines and cosines, along x and along y
LAYER_NORM_EPS = 1e-6
ATTENTION_NORM_EPS = 1e-5  # of the layer norms in memory attention and in the mask decoder's transformer
POSITION_WEIGHT = 0.1  # factor of the features' own position encoding in memory attention, as released
DECODER_LAYERS, DECODER_HEADS = 2, 8  # of the mask decoder's transformer
FUSER_BLOCKS = 2  # of the memory encoder
MASK_PROMPT_CHANNELS = 16  # of a mask prompt before its last layer
NUM_MASKS = 4  # the single mask, then the candidates for an ambiguous prompt
NUM_CANDIDATES = NUM_MASKS - 1
NUM_LABELS = 4  # of points: negative, positive, two corners of a box
NOT_A_POINT = -1  # label of the learned token that is not a point
CERTAIN_LOGIT = 10.0  # of a mask that is given, not predicted; its negative is the logit of the background


def check_input_size(input_size: int) -> int:
    """Return the side of a square input after checking it. Raises `SettingsError` (`bad-size`)."""
    step = COARSEST_STRIDE
    if not isinstance(input_size, int) or input_size % step or not step <= input_size <= MAX_INPUT_SIZE:
        raise SettingsError(
            "bad-size",
            f"input_size must be a multiple of {step} from {step} to {MAX_INPUT_SIZE}, got {input_size!r}; "
            "try 1024 or 512",
        )
    return input_size
