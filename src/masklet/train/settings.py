"""What an experiment is: one dataclass, from a preset, a TOML file and `--set name=value`, in this order."""

from __future__ import annotations

import contextlib
import difflib
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from masklet.config import CONFIGS, check_input_size
from masklet.errors import InputNotFound, SettingsError
from masklet.train.losses import Weights
from masklet.train.prompt_sampling import Shares

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that decides what a run does, except where its data are. Checked when made."""

    # the network
    model: str = "nano"  # a configuration of `masklet.config`
    start: str = ""  # weights to start from, a file or a name; empty: random ones
    trained: tuple[str, ...] = ()  # beginnings of the names that are trained; empty: everything
    lora_rank: int = 0  # train low-rank updates of this rank in the trunk instead of its weights
    drop_path: float = 0.0  # how often a block of the trunk is left out, growing with depth up to this
    # what it sees
    sizes: tuple[int, ...] = (1024,)  # side of the pictures, one after another in the course of the run
    size_starts: tuple[float, ...] = (0.0,)  # the share of the run at which each size begins
    easy: float = 0.0  # the share of the run in which pictures of few, large objects get rarer, from all to the usual
    pictures: int = 8  # in a batch, over all processes
    objects: int = 4  # of a picture
    clips: int = 2  # in a batch, over all processes
    frames: tuple[int, ...] = (8,)  # of a clip; several lengths take turns
    clip_objects: int = 3  # of a clip
    video: float = 0.0  # the share of batches that are clips
    stills: float = 0.0  # the share of clips that a wandering camera makes of pictures
    # what it is asked
    mask: float = 0.5  # first prompts by kind, in clips
    click: float = 0.25
    box: float = 0.25
    picture_mask: float = 0.0  # first prompts by kind, in pictures
    picture_click: float = 0.5
    picture_box: float = 0.5
    clicks: tuple[int, int] = (7, 7)  # least and most corrections
    centred: float = 0.0  # corrections in the middle of the error
    from_truth: float = 0.1  # corrections anywhere on the object
    again: float = 0.0  # the share of picture batches asked the same again, by their own blurred answer, as a zoom does
    prompted: int = 2  # most frames of a clip that begin with a prompt
    corrected: int = 2  # most frames of a clip that are corrected
    # how answers are judged
    focal: float = 20.0
    dice: float = 1.0
    iou: float = 1.0
    occlusion: float = 1.0
    focal_alpha: float = 0.25  # the object's share against the rest; negative: none
    focal_gamma: float = 2.0  # 0: plain cross-entropy
    edge: float = 0.0  # how much more the pixels of an outline count
    drills: int = 0  # of each picture: small ellipses to be answered to their boxes or masks, with nothing to see
    grouping: float = 0.0  # weight of a second loss, of the trunk alone, in batches of pictures
    coarse: bool = False  # judge the low-res logits instead of stretching them to the picture
    # how it learns
    minutes: float = 60.0  # how long the run takes by the clock …
    steps: int = 0  # … or, with minutes = 0, in steps, which repeats exactly
    rate: float = 3e-4  # the highest learning rate
    trunk_rate: float = 1.0  # times the rate, in trunk and neck
    memory_rate: float = 1.0  # times the rate, in the memory's networks
    layer_decay: float = 1.0  # times the rate, for each block of the trunk from the last to the first
    last_rate: float = 0.1  # the rate at the end as a share of the highest
    warmup: int = 1000  # steps
    muon: bool = False  # for the matrices of trunk and decoder, instead of AdamW
    weight_decay: float = 0.1
    momentum: float = 0.999  # of AdamW's second moment
    clip: float = 0.1  # the longest gradient
    average: float = 0.999  # of the moving average of weights
    seed: int = 1
    # how it runs
    precision: str = "float32"  # or "bfloat16", by autocast
    recompute: bool = False  # activations instead of keeping them: less memory, more time
    compile: bool = False  # the trunk
    compose_on_device: bool = False  # the engine's pictures and clips, instead of in other processes
    save_minutes: float = 3.0
    validate_minutes: float = 15.0

    def __post_init__(self) -> None:
        self._check_choices()
        self._check_numbers()

    def size_at(self, progress: float) -> int:
        """The side of pictures when this share of the run is over."""
        begun = [size for size, start in zip(self.sizes, self.size_starts, strict=True) if start <= progress]
        return begun[-1]

    def easy_at(self, progress: float) -> float:
        """The share of pictures with few and large objects when this share of the run is over."""
        return max(0.0, 1 - progress / self.easy) if self.easy else 0.0

    def to_toml(self) -> str:
        """All values, as a file that gives the same settings again."""
        return "".join(f"{name} = {_spelled(value)}\n" for name, value in asdict(self).items())

    def prompts(self, *, clips: bool) -> Shares:
        """How objects are prompted."""
        kinds = (
            (self.mask, self.click, self.box) if clips else (self.picture_mask, self.picture_click, self.picture_box)
        )
        return Shares(*kinds, self.centred, self.from_truth)

    def weights(self) -> Weights:
        """How answers are judged."""
        return Weights(self.focal, self.dice, self.iou, self.occlusion, self.focal_alpha, self.focal_gamma, self.edge)

    def _check_choices(self) -> None:
        if self.model not in CONFIGS:
            raise SettingsError("bad-settings", f"model must be one of {', '.join(CONFIGS)}, got {self.model!r}")
        if self.precision not in ("float32", "bfloat16"):
            raise SettingsError("bad-settings", f"precision must be float32 or bfloat16, got {self.precision!r}")
        for size in self.sizes:
            check_input_size(size)
        if len(self.sizes) != len(self.size_starts) or not self.sizes or self.size_starts[0] != 0:
            raise SettingsError(
                "bad-settings",
                f"every size needs a start and the first starts at 0, got {self.sizes} with starts {self.size_starts}",
            )

    def _check_numbers(self) -> None:
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not all(low <= one <= high for one in (value if isinstance(value, tuple) else (value,))):
                raise SettingsError("bad-settings", f"{name} must be from {low:g} to {high:g}, got {value!r}")
        for names in (_SHARES[-3:], _PICTURE_SHARES):
            if not sum(getattr(self, name) for name in names) > 0:
                raise SettingsError("bad-settings", f"{', '.join(names)} are all 0; give at least one a share")
        if bool(self.steps) == bool(self.minutes):
            raise SettingsError("bad-settings", "a run takes either minutes or steps; set one and leave the other at 0")
        if len(self.clicks) != 2 or self.clicks[0] > self.clicks[1]:
            raise SettingsError("bad-settings", f"clicks must be the least and the most, got {self.clicks!r}")


_SHARES = ("easy", "video", "stills", "again", "centred", "mask", "click", "box")
_PICTURE_SHARES = ("picture_mask", "picture_click", "picture_box")
_RANGES: tuple[tuple[str, float, float], ...] = (
    *((name, 0.0, 1.0) for name in (*_SHARES, *_PICTURE_SHARES, "from_truth", "drop_path", "last_rate", "size_starts")),
    *((name, 1, 4096) for name in ("pictures", "objects", "clips", "frames", "clip_objects", "prompted", "corrected")),
    *((name, 0, 100) for name in ("clicks", "focal", "dice", "iou", "occlusion", "edge", "lora_rank", "drills")),
    *((name, 0.0, 10.0) for name in ("trunk_rate", "memory_rate", "weight_decay", "grouping")),
    ("focal_alpha", -1.0, 1.0),
    ("focal_gamma", 0.0, 10.0),
    ("rate", 1e-9, 1.0),
    ("layer_decay", 0.1, 1.0),
    ("momentum", 0.0, 0.99999),
    ("average", 0.0, 0.99999),
    ("clip", 1e-6, 1e6),
    ("minutes", 0.0, 1e6),
    ("steps", 0, 10**9),
    ("save_minutes", 0.001, 1e6),
    ("validate_minutes", 0.001, 1e6),
)


def changed(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """`settings` with other values, each of the type that its name asks for."""
    known = {field.name: getattr(settings, field.name) for field in fields(settings)}
    for name in values:
        if name not in known:
            raise SettingsError("bad-settings", f"no setting {name!r}{nearest(name, known)}", name=name)
    return replace(settings, **{name: _typed(name, known[name], value) for name, value in values.items()})


def read_toml(path: Path) -> dict[str, Any]:
    """The values of a TOML file."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as cause:
        raise InputNotFound("input-not-found", f"{path}: cannot be read: {cause.strerror}", path=str(path)) from cause
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as cause:
        raise SettingsError("bad-settings", f"{path} is not TOML: {cause}", path=str(path)) from cause


def parsed(text: str) -> tuple[str, Any]:
    """The name and the value of a `name=value`: a value as in TOML, but a bare word is a text, and commas make a list.

    Raises `SettingsError` where there is no `=`.
    """
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals:
        raise SettingsError("bad-settings", f"a setting is given as name=value, got {text!r}")
    for spelled in (value, f"[{value}]"):
        with contextlib.suppress(tomllib.TOMLDecodeError):
            return name, tomllib.loads(f"value = {spelled}")["value"]
    return name, value.split(",") if "," in value else value


def nearest(name: str, known: Iterable[str]) -> str:
    """A half sentence that proposes the known name that is most like `name`, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _typed(name: str, current: Any, value: Any) -> Any:
    """`value` as the type of `current`, or `SettingsError`."""
    if isinstance(current, tuple):
        kind = type((current or ("",))[0])
        many = value if isinstance(value, list | tuple) else [value] if value != "" else []
        return tuple(_typed(name, kind(), one) for one in many)
    if isinstance(current, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(current):
        raise SettingsError(
            "bad-settings", f"{name} must be {_KINDS[type(current)]}, got {value!r}", name=name, value=str(value)
        )
    return value


_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def _spelled(value: Any) -> str:
    """A value in TOML, whose texts, lists and numbers are those of JSON."""
    return json.dumps(value)
