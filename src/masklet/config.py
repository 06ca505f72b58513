"""Model configurations and defaults, by model name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from masklet.errors import SettingsError


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
    def release(self) -> str:
        """Release whose memory the network has: `2.1` or `2`."""
        return "2.1" if self.occlusion else "2"

    @property
    def depth(self) -> int:
        """Number of blocks of the image encoder."""
        return sum(self.stages)


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

STRIDE = 32  # of the coarsest features; the input's side must be a multiple of it
MAX_INPUT_SIZE = 4096


def check_input_size(input_size: int) -> int:
    """Return the side of a square input after checking it. Raises `SettingsError` (`bad-size`)."""
    if not isinstance(input_size, int) or input_size % STRIDE or not STRIDE <= input_size <= MAX_INPUT_SIZE:
        raise SettingsError(
            "bad-size",
            f"input_size must be a multiple of {STRIDE} from {STRIDE} to {MAX_INPUT_SIZE}, got {input_size!r}; "
            "try 1024 or 512",
        )
    return input_size
