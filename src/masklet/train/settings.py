"""Training settings: one dataclass with all options of a run except its data."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from masklet.config import CONFIGS, check_input_size
from masklet.errors import SettingsError
from masklet.files.names import replace_surrogates
from masklet.train.loss_weights import LossWeights
from masklet.train.prompt_shares import PromptShares


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a run. Raises `SettingsError` for values that are out of range.

    Fractions are from 0 to 1. Batch sizes count over all processes. docs/training.md has a table of all settings.
    """

    # network
    model: str = "nano"  # a configuration of `masklet.config`
    initial_weights: str = ""  # a checkpoint file or a model name; empty: random weights
    initial_trunk: str = ""  # a file of `masklet models import-trunk`, which replaces the trunk's initial weights
    trainable: tuple[str, ...] = ()  # prefixes of the parameter names to train; empty: all
    lora_rank: int = 0  # rank of low-rank updates in the trunk, which replace training its weights; 0: none
    drop_path: float = 0.0  # stochastic depth: probability for the last block of the trunk, less for earlier ones
    # data
    input_sizes: tuple[int, ...] = (1024,)  # sides of the square input in pixels, one after the other
    input_size_starts: tuple[float, ...] = (0.0,)  # fraction of the run at which each size starts
    easy_until: float = 0.0  # fraction of the run over which extra synthetic images of few, large objects fade out
    images_per_batch: int = 8
    objects_per_image: int = 4
    clips_per_batch: int = 2
    frames_per_clip: tuple[int, ...] = (8,)  # drawn from these lengths for each batch
    objects_per_clip: int = 3
    clip_fraction: float = 0.0  # fraction of batches that are clips
    clips_from_images: float = 0.0  # fraction of clips that a moving camera makes of images
    # prompts
    clip_mask_prompts: float = 0.5  # relative frequencies of first prompts in clips
    clip_click_prompts: float = 0.25
    clip_box_prompts: float = 0.25
    image_mask_prompts: float = 0.0  # relative frequencies of first prompts in images
    image_click_prompts: float = 0.5
    image_box_prompts: float = 0.5
    correction_clicks: tuple[int, int] = (7, 7)  # smallest and largest number of corrections
    centered_clicks: float = 0.0  # fraction of clicks at the center of the error region
    ground_truth_clicks: float = 0.1  # fraction of corrections sampled from the whole object
    zoom_refinement: float = 0.0  # fraction of image batches prompted again with their own blurred masks, as by a zoom
    max_prompted_frames: int = 2
    max_corrected_frames: int = 2
    # losses
    focal_weight: float = 20.0
    dice_weight: float = 1.0
    iou_weight: float = 1.0
    object_score_weight: float = 1.0
    focal_alpha: float = 0.25  # weight of object pixels against 1 - alpha of the others; negative: both 1
    focal_gamma: float = 2.0  # 0: cross-entropy
    boundary_weight: float = 0.0  # additional weight of boundary pixels in the focal loss
    ellipses_per_image: int = 0  # synthetic tasks per image: a box or mask of a small ellipse that is not in the image
    embedding_weight: float = 0.0  # weight of the embedding loss, which trains the trunk alone
    low_res_loss: bool = False  # compare masks at a quarter of the input size
    # optimization
    minutes: float = 60.0  # training time; 0 with `steps`
    steps: int = 0  # number of steps, which makes a run reproducible; 0 with `minutes`
    learning_rate: float = 3e-4  # the peak
    trunk_rate_factor: float = 1.0  # learning rate of the trunk, relative to `learning_rate`
    neck_rate_factor: float = 1.0  # learning rate of the neck, relative to `learning_rate`
    memory_rate_factor: float = 1.0  # learning rate of memory attention and encoder, relative to `learning_rate`
    layer_decay: float = 1.0  # factor of the learning rate per block of the trunk, from the last to the first
    final_rate_factor: float = 0.1  # learning rate at the end, relative to `learning_rate`
    warmup_steps: int = 1000
    muon: bool = False  # train the matrices of trunk and decoder with Muon instead of AdamW
    weight_decay: float = 0.1
    adam_beta2: float = 0.999
    max_grad_norm: float = 0.1
    ema_decay: float = 0.999
    seed: int = 1
    # execution
    precision: str = "float32"  # or "bfloat16", by autocast
    activation_checkpointing: bool = False  # recompute activations in the backward pass to save memory
    compile: bool = False  # compile the trunk
    compose_on_device: bool = False  # compose synthetic data on the training device instead of in worker processes
    save_minutes: float = 3.0
    validate_minutes: float = 15.0

    def __post_init__(self) -> None:
        self._check_choices()
        self._check_ranges()
        self._check_combinations()

    def input_size_at(self, progress: float) -> int:
        """Return the input size at a progress of the run from 0 to 1."""
        schedule = zip(self.input_sizes, self.input_size_starts, strict=True)
        return [size for size, start in schedule if start <= progress][-1]

    def easy_fraction_at(self, progress: float) -> float:
        """Return the fraction of extra easy images at a progress of the run from 0 to 1."""
        return max(0.0, 1 - progress / self.easy_until) if self.easy_until else 0.0

    def to_toml(self) -> str:
        """Return all settings as a TOML file, in which texts, lists and numbers are spelled as in JSON."""
        return "".join(f"{name} = {json.dumps(value)}\n" for name, value in asdict(self).items())

    def prompt_shares(self, *, clips: bool) -> PromptShares:
        """Return the shares of first prompts and clicks, in clips or in images."""
        names = _CLIP_PROMPTS if clips else _IMAGE_PROMPTS
        mask, click, box = (getattr(self, name) for name in names)
        return PromptShares(mask, click, box, self.centered_clicks, self.ground_truth_clicks)

    def loss_weights(self) -> LossWeights:
        """Return the weights of the losses."""
        return LossWeights(
            self.focal_weight,
            self.dice_weight,
            self.iou_weight,
            self.object_score_weight,
            self.focal_alpha,
            self.focal_gamma,
            self.boundary_weight,
        )

    def _check_choices(self) -> None:
        if self.model not in CONFIGS:
            raise SettingsError("bad-settings", f"model must be one of {', '.join(CONFIGS)}, got {self.model!r}")
        if self.precision not in ("float32", "bfloat16"):
            raise SettingsError("bad-settings", f"precision must be float32 or bfloat16, got {self.precision!r}")
        for size in self.input_sizes:
            check_input_size(size, CONFIGS[self.model])
        for path in (self.initial_weights, self.initial_trunk):
            if path != replace_surrogates(path):  # TOML has no escapes of them
                raise SettingsError("bad-settings", f"{path} is not a name in UTF-8, as settings need it; rename it")

    def _check_ranges(self) -> None:
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not all(low <= number <= high for number in (value if isinstance(value, tuple) else (value,))):
                raise SettingsError("bad-settings", f"{name} must be from {low:g} to {high:g}, got {value!r}")

    def _check_combinations(self) -> None:
        sizes, starts, clicks = self.input_sizes, self.input_size_starts, self.correction_clicks
        if len(sizes) != len(starts) or not sizes or starts[0] != 0:
            raise SettingsError(
                "bad-settings",
                f"input_size_starts must have one start for each of input_sizes {sizes}, the first 0, got {starts}",
            )
        for names in (_CLIP_PROMPTS, _IMAGE_PROMPTS):
            if not sum(getattr(self, name) for name in names) > 0:
                raise SettingsError("bad-settings", f"{', '.join(names)} are all 0; set at least one of them")
        if bool(self.steps) == bool(self.minutes):
            message = "a run takes either minutes or steps; set one of them and the other to 0"
            raise SettingsError("bad-settings", message)
        if len(clicks) != 2 or clicks[0] > clicks[1]:
            message = f"correction_clicks must be the smallest and the largest number, got {clicks!r}"
            raise SettingsError("bad-settings", message)


_CLIP_PROMPTS = ("clip_mask_prompts", "clip_click_prompts", "clip_box_prompts")
_IMAGE_PROMPTS = ("image_mask_prompts", "image_click_prompts", "image_box_prompts")
_FRACTIONS = (
    *("easy_until", "clip_fraction", "clips_from_images", "zoom_refinement", "centered_clicks", "ground_truth_clicks"),
    *("drop_path", "final_rate_factor", "input_size_starts"),
)
_COUNTS = (
    *("images_per_batch", "objects_per_image", "clips_per_batch", "frames_per_clip", "objects_per_clip"),
    *("max_prompted_frames", "max_corrected_frames"),
)
_UP_TO_100 = (
    *("correction_clicks", "focal_weight", "dice_weight", "iou_weight", "object_score_weight", "boundary_weight"),
    *("lora_rank", "ellipses_per_image"),
)
_UP_TO_10 = "trunk_rate_factor", "neck_rate_factor", "memory_rate_factor", "weight_decay", "embedding_weight"
_RANGES: tuple[tuple[str, float, float], ...] = (
    *((name, 0.0, 1.0) for name in (*_FRACTIONS, *_CLIP_PROMPTS, *_IMAGE_PROMPTS)),
    *((name, 1, 4096) for name in _COUNTS),
    *((name, 0, 100) for name in _UP_TO_100),
    *((name, 0.0, 10.0) for name in _UP_TO_10),
    ("focal_alpha", -1.0, 1.0),
    ("focal_gamma", 0.0, 10.0),
    ("learning_rate", 1e-9, 1.0),
    ("layer_decay", 0.1, 1.0),
    ("adam_beta2", 0.0, 0.99999),
    ("ema_decay", 0.0, 0.99999),
    ("max_grad_norm", 1e-6, 1e6),
    ("minutes", 0.0, 1e6),
    ("steps", 0, 10**9),
    ("save_minutes", 0.001, 1e6),
    ("validate_minutes", 0.001, 1e6),
)
