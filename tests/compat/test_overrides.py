"""Settings by the names of configuration files and by Hydra overrides."""

from __future__ import annotations

import pytest

from masklet.compat.sam2.build_sam import DYNAMIC_MULTIMASK, HF_MODEL_ID_TO_FILENAMES, VIDEO_POSTPROCESSING
from masklet.compat.sam2.overrides import read_settings
from masklet.config import CONFIGS
from masklet.errors import SettingsError

NAMES = {
    "configs/sam2.1/sam2.1_hiera_l.yaml": ("sam2.1-large", 1024),
    "configs/sam2/sam2_hiera_b+.yaml": ("sam2-base-plus", 1024),
    "sam2_hiera_t.yaml": ("sam2-tiny", 1024),
    "sam2.1_hiera_s": ("sam2.1-small", 1024),
    "/home/me/configs/sam2.1_hiera_t512.yaml": ("sam2.1-tiny", 512),
    "//opt/configs/sam2_hiera_l.yaml": ("sam2-large", 1024),
    "configs\\sam2.1\\sam2.1_hiera_t.yaml": ("sam2.1-tiny", 1024),
    "configs/efficienttam/efficienttam_s_512x512.yaml": ("efficienttam-s-512", 512),
    "configs/efficienttam/efficienttam_ti_2.yaml": ("efficienttam-ti-2", 1024),
    "configs/edgetam.yaml": ("edgetam", 1024),
    "nano": ("nano", 256),
}


@pytest.mark.parametrize("name", NAMES)
def test_configuration_files_are_known_by_name(name: str) -> None:
    settings = read_settings(name)
    assert (settings.config.name, settings.image_size) == NAMES[name]


def test_every_released_model_names_a_configuration() -> None:
    found = {read_settings(config).config.name for config, _ in HF_MODEL_ID_TO_FILENAMES.values()}
    assert found == {f"{release}-{size}" for release in ("sam2", "sam2.1") for size in (
        "tiny", "small", "base-plus", "large")}  # fmt: skip
    assert HF_MODEL_ID_TO_FILENAMES["facebook/sam2-hiera-base-plus"] == (
        "configs/sam2/sam2_hiera_b+.yaml",
        "sam2_hiera_base_plus.pt",
    )


def test_overrides_set_values_and_the_last_one_wins() -> None:
    settings = read_settings("nano", [
        *DYNAMIC_MULTIMASK,
        *VIDEO_POSTPROCESSING,
        "++model.image_size=512",
        "+model.num_maskmem=3",
        "model.non_overlap_masks=True",
        "++model.add_all_frames_to_correct_as_cond=true",
        "++model.clear_non_cond_mem_around_input=true",
        "++model.fill_hole_area=0",
        "++model.sam_mask_decoder_extra_args.dynamic_multimask_stability_thresh=0.9",
    ])  # fmt: skip
    assert settings.image_size == 512
    assert settings.num_maskmem == 3
    assert settings.non_overlap_masks
    assert settings.add_all_frames_to_correct_as_cond
    assert settings.clear_non_cond_mem_around_input
    assert settings.fill_hole_area == 0
    assert settings.binarize_mask_from_pts_for_mem_enc
    assert settings.dynamic_multimask_via_stability
    assert settings.dynamic_multimask_stability_delta == 0.05
    assert settings.dynamic_multimask_stability_thresh == 0.9


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("++model.fill_hole_aera=3", "did you mean fill_hole_area"),
        ("++model.image_encoder.trunk.embed_dim=32", "has no effect"),
        ("~model.image_size", "has no effect"),
        ("++scratch.resolution=512", "has no effect"),
        ("++model.image_size=large", "must be a whole number, got 'large'"),
        ("++model.non_overlap_masks=1", "must be true or false, got '1'"),
        ("++model.image_size=500", "multiple of"),
        ("++model.num_maskmem=8", "num_maskmem must be from 0 to 7, got 8"),
        ("++model.fill_hole_area=-1", "at least 0"),
    ],
)
def test_any_other_override_is_refused(override: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read_settings("nano", [override])


@pytest.mark.parametrize("name", ["sam3.yaml", "sam2_hiera_xl.yaml", "", "configs/sam2"])
def test_an_unknown_configuration_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="is not known") as caught:
        read_settings(name)
    assert caught.value.code == "bad-usage"


def test_the_names_of_all_configurations_are_accepted() -> None:
    assert [read_settings(name).config.name for name in CONFIGS] == list(CONFIGS)
