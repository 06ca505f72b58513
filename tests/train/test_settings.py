"""Training settings: presets, files, `name=value`, names of 0.1, and error messages."""

from __future__ import annotations

import re
from dataclasses import asdict, fields
from pathlib import Path

import pytest

pytest.importorskip("torch")

from masklet.errors import InputNotFound, SettingsError
from masklet.train.metrics_log import read_lines
from masklet.train.presets import PRESETS, resolve_settings
from masklet.train.settings import Settings
from masklet.train.settings_input import NAMES_OF_0_1

OLD_RUN = Path(__file__).parents[1] / "old_version" / "training"


def test_the_documented_presets_exist() -> None:
    documented = {
        "pretrain-images",
        "full",
        "finetune",
        "finetune-decoder",
        "lora",
        "nano-finetune",
        "nano-images",
        "nano-video",
        "nano-follow",
        "lite-start",
        "lite-images",
        "lite-follow",
    }
    assert documented == set(PRESETS)


def test_a_file_overrides_the_preset_and_a_change_overrides_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("learning_rate = 0.5\nobjects_per_image = 3\n")
    settings = resolve_settings("nano-images", file, ["objects_per_image=5"])
    assert (settings.learning_rate, settings.objects_per_image) == (0.5, 5)


@pytest.mark.parametrize(
    ("change", "name", "value"),
    [
        ("input_sizes=128", "input_sizes", (128,)),
        ("correction_clicks=1,4", "correction_clicks", (1, 4)),
        ("activation_checkpointing=true", "activation_checkpointing", True),
        ("learning_rate=1", "learning_rate", 1.0),
        ("trainable=mask_decoder,prompt_encoder", "trainable", ("mask_decoder", "prompt_encoder")),
        ("initial_weights=sam2.1-tiny", "initial_weights", "sam2.1-tiny"),
    ],
)
def test_a_change_is_converted_to_the_type_of_its_setting(change: str, name: str, value: object) -> None:
    extra = ["input_size_starts=0.0"] if name == "input_sizes" else []
    assert getattr(resolve_settings("nano-images", None, [change, *extra]), name) == value


def test_an_unknown_setting_suggests_the_most_similar() -> None:
    with pytest.raises(SettingsError, match="no setting 'learning_rat'; did you mean 'learning_rate'"):
        resolve_settings("full", None, ["learning_rat=3"])
    with pytest.raises(SettingsError, match="no setting 'objets'; did you mean 'objects_per_image'"):
        resolve_settings("full", None, ["objets=3"])


def test_an_unknown_preset_suggests_the_most_similar() -> None:
    with pytest.raises(SettingsError, match="did you mean 'finetune'"):
        resolve_settings("finetuen")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("learning_rate=fast", "learning_rate must be a number"),
        ("objects_per_image=0", "objects_per_image must be from 1"),
        ("objects_per_image=2.5", "objects_per_image must be a whole number"),
        ("input_sizes=100", "multiple of 32"),
        ("input_sizes=128,256,512,1024", "one start for each of input_sizes"),
        ("model=sam3", "model must be one of"),
        ("correction_clicks=3,1", "the smallest and the largest"),
        ("objects_per_image", "name=value"),
        ("steps=10", "either minutes or steps"),
        ("clip_mask_prompts=2", "clip_mask_prompts must be from 0 to 1"),
    ],
)
def test_an_error_message_says_which_values_are_allowed(change: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        resolve_settings("nano-images", None, [change])


def test_prompts_of_all_kinds_cannot_be_off() -> None:
    off = [f"image_{kind}_prompts=0" for kind in ("mask", "click", "box")]
    with pytest.raises(SettingsError, match="image_mask_prompts, image_click_prompts, image_box_prompts are all 0"):
        resolve_settings("nano-images", None, off)


def test_settings_are_equal_after_writing_and_reading(tmp_path: Path) -> None:
    for name, settings in PRESETS.items():
        file = tmp_path / f"{name}.toml"
        file.write_text(settings.to_toml())
        assert asdict(resolve_settings("nano-images", file)) == asdict(settings)


def test_settings_that_0_1_wrote_are_read() -> None:
    assert resolve_settings("nano-images", OLD_RUN / "settings.toml") == PRESETS["nano-video"]


NEW_SETTINGS = {"initial_trunk", "neck_rate_factor"}  # since 0.1


def test_every_renamed_setting_has_its_old_name() -> None:
    old = {line.partition(" = ")[0] for line in (OLD_RUN / "settings.toml").read_text().splitlines()}
    new = {field.name for field in fields(Settings)}
    assert set(NAMES_OF_0_1) == old - new
    assert set(NAMES_OF_0_1.values()) == new - old - NEW_SETTINGS


def test_a_setting_under_both_names_is_refused() -> None:
    with pytest.raises(SettingsError, match="learning_rate is given twice"):
        resolve_settings("full", None, ["rate=0.1", "learning_rate=0.2"])


def test_a_log_that_0_1_wrote_is_read_with_the_current_keys() -> None:
    (line,) = read_lines(OLD_RUN / "log.jsonl")
    assert (line["kind"], line["learning_rate"], line["remaining_seconds"]) == ("images", 3e-05, 0)
    assert line["ious"] == [0.0827, 0.0937] and line["object_score"] == 0.2265
    assert not {"rate", "overlaps", "occlusion", "left"} & set(line)


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match=r"none\.toml"):
        resolve_settings("full", tmp_path / "none.toml")
    (tmp_path / "broken.toml").write_text("rate = = 1")
    with pytest.raises(SettingsError, match=r"broken\.toml is not TOML"):
        resolve_settings("full", tmp_path / "broken.toml")


def test_the_input_size_grows_during_a_run() -> None:
    settings = Settings(input_sizes=(128, 256), input_size_starts=(0.0, 0.5))
    assert [settings.input_size_at(progress) for progress in (0, 0.49, 0.5, 1)] == [128, 128, 256, 256]


def test_the_guide_lists_every_setting_with_its_default() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    documented: dict[str, str] = {}
    for names, defaults in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| *([^|]*?) *\| [A-Z]", guide, flags=re.MULTILINE):
        several = names.split(", ")
        values = defaults.split(", ") if len(several) > 1 else [defaults]
        documented |= {name.strip("`"): value.strip("` ") for name, value in zip(several, values, strict=True)}
    shown = {
        name: ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        for name, value in asdict(Settings()).items()
    }
    shown |= {"learning_rate": "3e-4"}
    assert documented == {name: value.lower() for name, value in shown.items()}
