"""Model configurations and defaults, by model name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from masklet.errors import SettingsError


class BlockConfig(NamedTuple):
    """A block of the image encoder."""

    name: str  # prefix of the keys of its weights
    channels: int  # of its input
    out: int  # channels of its output
    heads: int
    window: int  # side of its attention windows in tokens; 0 is global attention

    @property
    def pools(self) -> bool:
        """Whether the block halves the sides of the map and doubles the channels, as the first one of a stage does."""
        return self.out != self.channels


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Architecture of a network, without files, devices and runtimes (reference-model §1)."""

    name: str
    width: int  # channels of the first stage; they double at each later one
    heads: int  # of the first stage; they double at each later one
    stages: tuple[int, int, int, int]  # blocks per stage
    global_blocks: tuple[int, ...]  # blocks that attend to the whole image
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

    @property
    def widths(self) -> tuple[int, int, int, int]:
        """Channels per stage."""
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
        """Number of blocks of the image encoder."""
        return sum(self.stages)

    @property
    def stage_ends(self) -> tuple[int, ...]:
        """Index of the last block of each stage."""
        return tuple(sum(self.stages[: stage + 1]) - 1 for stage in range(len(self.stages)))

    @property
    def blocks(self) -> tuple[BlockConfig, ...]:
        """The blocks of the image encoder. A block that opens a stage has the windows of the stage before."""
        blocks: list[BlockConfig] = []
        for stage, count in enumerate(self.stages):
            out, heads = self.width << stage, self.heads << stage
            for position in range(count):
                opens_stage, index = stage > 0 and position == 0, len(blocks)
                channels, window = (out // 2, self.windows[stage - 1]) if opens_stage else (out, self.windows[stage])
                window = 0 if index in self.global_blocks else window
                blocks.append(BlockConfig(f"trunk.blocks.{index}", channels, out, heads, window))
        return tuple(blocks)


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
"""Every configuration by name: the eight released ones, `micro` in both releases, and the embedded model's `nano`."""


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
PATCH_SIZE = 7  # side of the overlapping patches that the trunk embeds
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
