"""Model configurations and defaults, by model name."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from masklet.errors import SettingsError


class BlockConfig(NamedTuple):
    """A block of Hiera or of a plain vision transformer."""

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


class RepVitBlockConfig(NamedTuple):
    """A block of RepViT: a depthwise convolution, squeeze-excite, and an MLP of the channels."""

    name: str  # prefix of the keys of its weights
    channels: int
    squeezed: int  # channels between the two layers of squeeze-excite; 0: the block has none


class RepVitStageConfig(NamedTuple):
    """A stage of RepViT. Where the number of channels changes, it starts with a layer that halves the map's sides."""

    name: str  # prefix of the keys of its weights
    channels: int  # of its input
    out: int  # channels of its blocks
    blocks: tuple[RepVitBlockConfig, ...]

    @property
    def before(self) -> RepVitBlockConfig | None:
        """The block before the sides are halved; None in the first stage, which does not halve them."""
        return None if self.channels == self.out else RepVitBlockConfig(f"{self.name}.before", self.channels, 0)


class RepVitScale(NamedTuple):
    """Size of a RepViT."""

    widths: tuple[int, int, int, int]  # channels per stage
    stages: tuple[int, int, int, int]  # blocks per stage, without those before the sides are halved


class VitScale(NamedTuple):
    """Size of a plain vision transformer."""

    width: int
    heads: int
    depth: int
    global_every: int  # of so many blocks the last attends to the whole image, the others within windows


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
REPVIT_SCALES = {
    "repvit-m1": RepVitScale((48, 96, 192, 384), (2, 2, 14, 2)),  # of EdgeTAM
    "repvit-micro": RepVitScale((16, 32, 64, 128), (2, 1, 3, 1)),  # for tests
}
VIT_SCALES = {
    "vit-tiny": VitScale(192, 3, 12, 3),  # of EfficientTAM-Ti
    "vit-small": VitScale(384, 6, 12, 3),  # of EfficientTAM-S
    "vit-micro": VitScale(64, 2, 4, 2),  # for tests
}
TRUNKS = (HIERA, *LITE_SCALES, *REPVIT_SCALES, *VIT_SCALES)
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

    The fields from `width` to `background` describe Hiera. Other trunks are described by their names alone. Those from
    `high_resolution` on describe what EdgeTAM and EfficientTAM do in another way than SAM 2.
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
    high_resolution: bool = True  # features at strides 4 and 8 reach the mask decoder
    latent_grid: int = 0  # EdgeTAM: rows and columns of a memory's patch latents; 0: memories are maps at stride 16
    global_latents: int = 0  # EdgeTAM: latents of a memory without a position, a multiple of `latent_grid`
    memory_pooling: int = 0  # EfficientTAM: 1 or 2, how 2 × 2 keys of several memories are averaged; 0: they are not

    @property
    def levels(self) -> dict[int, int]:
        """Channels of the trunk's maps by stride, finest first."""
        if self.trunk in VIT_SCALES:
            return {STRIDE: VIT_SCALES[self.trunk].width}
        if self.trunk in REPVIT_SCALES:
            return dict(zip((*STRIDES, COARSEST_STRIDE), REPVIT_SCALES[self.trunk].widths, strict=True))
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
        """Channels of the features at strides 4, 8 and 16; 0 where the network has none."""
        fine, medium = self.upscaled_channels if self.high_resolution else (0, 0)
        return fine, medium, self.channels

    @property
    def upscaled_channels(self) -> tuple[int, int]:
        """Channels of the mask decoder's maps at strides 4 and 8."""
        return self.channels // 8, self.channels // 4

    @property
    def size_step(self) -> int:
        """Number of pixels that the side of the input must be a multiple of."""
        return math.lcm(COARSEST_STRIDE, STRIDE * max(self.latent_grid, 1))

    def memory_shape(self, input_size: int) -> tuple[int, int, int]:
        """Return the shape of a memory's features: channels, rows and columns.

        Latents are stored as rows of `latent_grid` columns: the global ones, then the grid of patch latents.
        """
        if not self.latent_grid:
            return self.memory_channels, input_size // STRIDE, input_size // STRIDE
        return self.memory_channels, self.global_latents // self.latent_grid + self.latent_grid, self.latent_grid

    @property
    def release(self) -> str:
        """Release whose memory the network has: `2.1` or `2`."""
        return "2.1" if self.occlusion else "2"

    @property
    def depth(self) -> int:
        """Number of blocks of the trunk."""
        if self.trunk in REPVIT_SCALES:
            return sum(REPVIT_SCALES[self.trunk].stages)
        return len(self.mbconv_blocks if self.trunk in LITE_SCALES else self.blocks)

    @property
    def stage_ends(self) -> tuple[int, ...]:
        """Index of the last block of each stage of Hiera."""
        return tuple(sum(self.stages[: stage + 1]) - 1 for stage in range(len(self.stages)))

    @property
    def blocks(self) -> tuple[BlockConfig, ...]:
        """The blocks of Hiera or of a plain vision transformer.

        In Hiera a block that opens a stage has the windows of the stage before.
        """
        if self.trunk in VIT_SCALES:
            width, heads, depth, every = VIT_SCALES[self.trunk]
            windows = (0 if (index + 1) % every == 0 else VIT_WINDOW for index in range(depth))
            return tuple(
                BlockConfig(f"trunk.blocks.{k}", width, width, heads, window) for k, window in enumerate(windows)
            )
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
    def repvit_stages(self) -> tuple[RepVitStageConfig, ...]:
        """The stages of RepViT."""
        widths, counts = REPVIT_SCALES[self.trunk]
        stages = []
        for stage, (channels, out, count) in enumerate(zip((widths[0], *widths), widths, counts, strict=False)):
            name, squeezed = f"trunk.stages.{stage}", _scale_channels(out, SQUEEZE_RATIO)
            blocks = (
                RepVitBlockConfig(f"{name}.blocks.{index}", out, 0 if index % 2 else squeezed) for index in range(count)
            )
            stages.append(RepVitStageConfig(name, channels, out, tuple(blocks)))
        return tuple(stages)

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

_EDGETAM = ModelConfig(
    "edgetam",
    attention_layers=2,
    occlusion=False,
    pointer_times=False,
    trunk="repvit-m1",
    latent_grid=16,
    global_latents=256,
)
_EFFICIENTTAM = ModelConfig("efficienttam", occlusion=False, pointer_times=False, high_resolution=False)
_EFFICIENTTAM_SIZES = {"s": ("vit-small", 1024), "ti": ("vit-tiny", 1024), "micro": ("vit-micro", 256)}
CONFIGS.update(
    {
        "edgetam": _EDGETAM,
        "edgetam-micro": replace(
            _EDGETAM, name="edgetam-micro", trunk="repvit-micro", input_size=256, latent_grid=8, global_latents=32
        ),
    }
)
for _size, (_trunk, _side) in _EFFICIENTTAM_SIZES.items():
    _base = replace(_EFFICIENTTAM, name=f"efficienttam-{_size}", trunk=_trunk, input_size=_side)
    _variants = [_base, *(replace(_base, name=f"{_base.name}-{k}", memory_pooling=k) for k in (1, 2))]
    if _size != "micro":
        _variants.append(replace(_base, name=f"{_base.name}-512", input_size=512))
    CONFIGS.update({config.name: config for config in _variants})
"""Every configuration by name: the eight released ones, `micro` in both releases, the embedded model's `nano`, those
with a trunk of EfficientNet-Lite, EdgeTAM, and EfficientTAM with its variants, the plain one first."""


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
VIT_WINDOW = 14  # side of the attention windows of a plain vision transformer in tokens
VIT_POSITIONS = 14  # side of its grid of position embeddings, which follow the embedding of an unused class token
SQUEEZE_RATIO = 0.25  # share of a block's channels between the two layers of squeeze-excite
PERCEIVER_LAYERS = 2  # of the network that turns a memory's map to latents
POOLED_CELL = 2  # rows and columns of keys that `ModelConfig.memory_pooling` averages
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


def check_input_size(input_size: int, config: ModelConfig | None = None) -> int:
    """Return the side of a square input after checking it for a network. Raises `SettingsError` (`bad-size`)."""
    step = COARSEST_STRIDE if config is None else config.size_step
    if not isinstance(input_size, int) or input_size % step or not step <= input_size <= MAX_INPUT_SIZE:
        network = "" if step == COARSEST_STRIDE or config is None else f" for {config.name}"
        raise SettingsError(
            "bad-size",
            f"input_size must be a multiple of {step} from {step} to {MAX_INPUT_SIZE}{network}, got {input_size!r}; "
            "try 1024 or 512",
        )
    return input_size
