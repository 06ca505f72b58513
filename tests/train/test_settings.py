"""What an experiment is told, and how it answers to what it does not understand."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

pytest.importorskip("torch")

from masklet.errors import InputNotFound, SettingsError
from masklet.train.presets import PRESETS, resolve
from masklet.train.settings import Settings


def test_the_promised_presets_exist() -> None:
    promised = {
        "pretrain-images",
        "full",
        "finetune",
        "finetune-decoder",
        "lora",
        "nano-finetune",
        "nano-images",
        "nano-video",
        "nano-follow",
    }
    assert promised == set(PRESETS)


def test_a_file_overrides_the_preset_and_a_change_overrides_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("rate = 0.5\nobjects = 3\n")
    found = resolve("nano-images", file, ["objects=5"])
    assert (found.rate, found.objects) == (0.5, 5)


@pytest.mark.parametrize(
    ("change", "name", "value"),
    [
        ("sizes=128", "sizes", (128,)),
        ("clicks=1,4", "clicks", (1, 4)),
        ("recompute=true", "recompute", True),
        ("rate=1", "rate", 1.0),
        ("trained=mask_decoder,prompt_encoder", "trained", ("mask_decoder", "prompt_encoder")),
        ("start=sam2.1-tiny", "start", "sam2.1-tiny"),
    ],
)
def test_a_change_is_read_as_the_type_of_its_setting(change: str, name: str, value: object) -> None:
    extra = ["size_starts=0.0"] if name == "sizes" else []
    assert getattr(resolve("nano-images", None, [change, *extra]), name) == value


def test_an_unknown_setting_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match="no setting 'objets'; did you mean 'objects'"):
        resolve("full", None, ["objets=3"])


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match="did you mean 'finetune'"):
        resolve("finetuen")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("rate=fast", "rate must be a number"),
        ("objects=0", "objects must be from 1"),
        ("objects=2.5", "objects must be a whole number"),
        ("sizes=100", "multiple of 32"),
        ("sizes=128,256,512,1024", "every size needs a start"),
        ("model=sam3", "model must be one of"),
        ("clicks=3,1", "the least and the most"),
        ("objects", "name=value"),
        ("steps=10", "either minutes or steps"),
    ],
)
def test_a_wrong_value_says_what_would_be_right(change: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        resolve("nano-images", None, [change])


def test_settings_survive_their_own_file(tmp_path: Path) -> None:
    for name, settings in PRESETS.items():
        file = tmp_path / f"{name}.toml"
        file.write_text(settings.to_toml())
        assert asdict(resolve("nano-images", file)) == asdict(settings)


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match=r"none\.toml"):
        resolve("full", tmp_path / "none.toml")
    (tmp_path / "broken.toml").write_text("rate = = 1")
    with pytest.raises(SettingsError, match=r"broken\.toml is not TOML"):
        resolve("full", tmp_path / "broken.toml")


def test_the_size_grows_when_its_time_comes() -> None:
    settings = Settings(sizes=(128, 256), size_starts=(0.0, 0.5))
    assert [settings.size_at(share) for share in (0, 0.49, 0.5, 1)] == [128, 128, 256, 256]
