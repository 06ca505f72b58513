"""What a checkpoint is: one table from which every released configuration follows."""

from __future__ import annotations

from dataclasses import dataclass, replace

from masklet.errors import SettingsError


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The shape of a network: nothing about files, devices or how it is run (reference-model §1)."""

    name: str
    width: int  # channels of the first stage; they double at each later one
    heads: int  # of the first stage; they double at each later one
    stages: tuple[int, int, int, int]  # blocks per stage
    global_blocks: tuple[int, ...]  # blocks that attend to the whole picture
    windows: tuple[int, int, int, int] = (8, 4, 14, 7)  # side of the attention windows per stage
    background: int = 7  # side of the coarse table of positions
    size: int = 1024  # side of the square input that the weights were trained for
    channels: int = 256  # of the features, the prompt tokens and the object pointers
    memory_channels: int = 64
    decoder_hidden: int = 2048
    attention_layers: int = 4
    attention_hidden: int = 2048
    occlusion: bool = True  # 2.1: an embedding marks the memories of hidden objects
    pointer_times: bool = True  # 2.1: pointers know how long ago they were made

    @property
    def widths(self) -> tuple[int, int, int, int]:
        """Channels per stage."""
        return self.width, 2 * self.width, 4 * self.width, 8 * self.width

    @property
    def release(self) -> str:
        """`2.1` or `2`: which release's memory the network has."""
        return "2.1" if self.occlusion else "2"

    @property
    def depth(self) -> int:
        """Blocks of the trunk."""
        return sum(self.stages)


_SIZES = (
    ModelConfig("tiny", 96, 1, (1, 2, 7, 2), (5, 7, 9)),
    ModelConfig("small", 96, 1, (1, 2, 11, 2), (7, 10, 13)),
    ModelConfig("base-plus", 112, 2, (2, 3, 16, 3), (12, 16, 20), background=14),
    ModelConfig("large", 144, 2, (2, 6, 36, 4), (23, 33, 43), windows=(8, 4, 16, 8)),
    ModelConfig("micro", 32, 1, (1, 2, 3, 1), (4,), size=256),  # for tests: the same code in a tenth of a second
)

CONFIGS: dict[str, ModelConfig] = {
    config.name: config
    for size in _SIZES
    for config in (
        replace(size, name=f"sam2.1-{size.name}"),
        replace(size, name=f"sam2-{size.name}", occlusion=False, pointer_times=False),
    )
}
EMBEDDED = "nano"
"""The model that is part of the package, which is used where no other is named."""

CONFIGS[EMBEDDED] = ModelConfig(
    EMBEDDED,
    48,
    1,
    (1, 2, 5, 1),
    (5, 7),
    background=32,  # waves of a sixth of the picture need so fine a table
    windows=(8, 4, 8, 4),  # a whole number of windows at every multiple of 128
    size=256,
    channels=128,
    decoder_hidden=512,
    attention_layers=2,
    attention_hidden=512,
)
"""Every configuration by name: the eight released ones, `micro` in both releases, and the embedded model's `nano`."""

ZOOMS = {EMBEDDED: 2.0}
"""How closely models look at objects unless told otherwise (`masklet.load`): the released ones not at all, since the
reference does not; the embedded one is better so, and on one object quicker (`benchmarks/results/zoom-cpu.md`)."""

SURE = (0.8, 0.95)
SURE_OF = {EMBEDDED: (0.45, 0.4)}
"""How sure (predicted IoU) and how stable a mask must be to be one of everything in a picture, unless told otherwise:
as the reference has it, and what suits the embedded model, which expects less of itself (`docs/log.md`)."""

STRIDE = 32  # the coarsest features; the input's side must be a multiple of it
MAX_SIZE = 4096


def check_size(size: int) -> int:
    """`size` if a network can take a square input of that side, otherwise `SettingsError`."""
    if not isinstance(size, int) or size % STRIDE or not STRIDE <= size <= MAX_SIZE:
        raise SettingsError(
            "bad-size",
            f"size must be a multiple of {STRIDE} from {STRIDE} to {MAX_SIZE}, got {size!r}; try 1024 or 512",
        )
    return size
