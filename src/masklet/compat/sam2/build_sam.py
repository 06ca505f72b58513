"""Builders of models and predictors, with the names and arguments of `sam2.build_sam`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from typing import Any, TypeVar

from masklet.checkpoints.hub import find_or_pull
from masklet.compat.sam2.loading import Placement, find_embedded
from masklet.compat.sam2.modeling.sam2_base import SAM2Base
from masklet.compat.sam2.overrides import DYNAMIC_MULTIMASK, VIDEO_POSTPROCESSING, ModelSettings, read_settings

Model = TypeVar("Model", bound=SAM2Base)

_SIZES = {"tiny": "t", "small": "s", "base-plus": "b+", "large": "l"}
HF_MODEL_ID_TO_FILENAMES = {
    f"facebook/{release}-hiera-{size}": (
        f"configs/{release}/{release}_hiera_{letter}.yaml",
        f"{release}_hiera_{size.replace('-', '_')}.pt",
    )
    for release in ("sam2", "sam2.1")
    for size, letter in _SIZES.items()
}
"""Configuration and checkpoint file of each model on the Hugging Face Hub."""


def build_sam2(
    config_file: str,
    ckpt_path: str | os.PathLike[str] | None = None,
    device: Any = "cuda",
    mode: str = "eval",
    hydra_overrides_extra: Sequence[str] = [],
    apply_postprocessing: bool = True,
    *,
    dtype: Any = None,
    runtime: str | None = None,
    **kwargs: Any,
) -> SAM2Base:
    """Build a model for `SAM2ImagePredictor` and `SAM2AutomaticMaskGenerator`.

    Args:
        config_file: Name or path of a configuration file, see `read_settings`.
        ckpt_path: Checkpoint file, exported folder, or name of a model that `masklet.load` takes. Without it, the model
            `nano` has its embedded weights, and any other model waits for `load_state_dict`.
        device: Device of the model. The default, "cuda", means the first available device where there is no CUDA, with
            a warning.
        mode: Has no effect: the model only predicts.
        hydra_overrides_extra: Overrides such as `++model.image_size=512`, see `overrides.py`. They win over those of
            `apply_postprocessing`.
        apply_postprocessing: Replace an unstable single mask by the best of three.
        dtype: Number format, as `masklet.load` takes it, or a dtype of PyTorch. Not in the reference.
        runtime: "torch" or "onnx". Not in the reference.
        **kwargs: Have no effect, as in the reference.

    Returns:
        The model.

    Raises:
        SettingsError: The configuration or an override is unknown.
        InputNotFound: The checkpoint does not exist.
        CheckpointError: The file is not a checkpoint; with weights of another configuration, also a `RuntimeError`.
    """
    overrides = [*(DYNAMIC_MULTIMASK if apply_postprocessing else ()), *hydra_overrides_extra]
    settings = read_settings(config_file, overrides)
    return _finish(SAM2Base(settings, Placement.of(device, dtype, runtime)), ckpt_path)


def build_sam2_video_predictor(
    config_file: str,
    ckpt_path: str | os.PathLike[str] | None = None,
    device: Any = "cuda",
    mode: str = "eval",
    hydra_overrides_extra: Sequence[str] = [],
    apply_postprocessing: bool = True,
    vos_optimized: bool = False,
    *,
    dtype: Any = None,
    runtime: str | None = None,
    **kwargs: Any,
) -> Any:
    """Build a video predictor. See `build_sam2`.

    Args:
        config_file: See `build_sam2`.
        ckpt_path: See `build_sam2`.
        device: See `build_sam2`.
        mode: Has no effect.
        hydra_overrides_extra: See `build_sam2`.
        apply_postprocessing: Also fill holes of up to 8 low-resolution pixels, and binarize the masks of prompted
            frames in memories.
        vos_optimized: Return a `SAM2VideoPredictorVOS`, which predicts as the other does.
        dtype: See `build_sam2`.
        runtime: See `build_sam2`.
        **kwargs: Have no effect.

    Returns:
        A `SAM2VideoPredictor`.
    """
    settings = _read_video_settings(config_file, hydra_overrides_extra, apply_postprocessing)
    kind = _import_predictor("sam2_video_predictor", "SAM2VideoPredictor" + ("VOS" if vos_optimized else ""))
    return _finish(_make_predictor(kind, settings, Placement.of(device, dtype, runtime)), ckpt_path)


def build_sam2_video_predictor_npz(
    config_file: str,
    ckpt_path: str | os.PathLike[str] | None = None,
    device: Any = "cuda",
    mode: str = "eval",
    hydra_overrides_extra: Sequence[str] = [],
    apply_postprocessing: bool = True,
    *,
    dtype: Any = None,
    runtime: str | None = None,
    **kwargs: Any,
) -> Any:
    """Build a predictor of volumes, as MedSAM2 has it. See `build_sam2_video_predictor`.

    Args:
        config_file: See `build_sam2`.
        ckpt_path: See `build_sam2`.
        device: See `build_sam2`.
        mode: Has no effect.
        hydra_overrides_extra: See `build_sam2`.
        apply_postprocessing: See `build_sam2_video_predictor`.
        dtype: See `build_sam2`.
        runtime: See `build_sam2`.
        **kwargs: Have no effect.

    Returns:
        A `SAM2VideoPredictorNPZ`.
    """
    settings = _read_video_settings(config_file, hydra_overrides_extra, apply_postprocessing)
    kind = _import_predictor("sam2_video_predictor", "SAM2VideoPredictorNPZ")
    return _finish(_make_predictor(kind, settings, Placement.of(device, dtype, runtime)), ckpt_path)


def build_sam2_camera_predictor(
    config_file: str,
    ckpt_path: str | os.PathLike[str] | None = None,
    device: Any = "cuda",
    mode: str = "eval",
    hydra_overrides_extra: Sequence[str] = [],
    apply_postprocessing: bool = True,
    vos_optimized: bool = False,
    *,
    dtype: Any = None,
    runtime: str | None = None,
    **kwargs: Any,
) -> Any:
    """Build a camera predictor, as the fork for real-time video has it. See `build_sam2_video_predictor`.

    Args:
        config_file: See `build_sam2`.
        ckpt_path: See `build_sam2`.
        device: See `build_sam2`.
        mode: Has no effect.
        hydra_overrides_extra: See `build_sam2`.
        apply_postprocessing: See `build_sam2_video_predictor`.
        vos_optimized: Has no effect.
        dtype: See `build_sam2`.
        runtime: See `build_sam2`.
        **kwargs: Have no effect.

    Returns:
        A `SAM2CameraPredictor`.
    """
    settings = _read_video_settings(config_file, hydra_overrides_extra, apply_postprocessing)
    kind = _import_predictor("sam2_camera_predictor", "SAM2CameraPredictor")
    return _finish(_make_predictor(kind, settings, Placement.of(device, dtype, runtime)), ckpt_path)


def build_sam2_hf(model_id: str, **kwargs: Any) -> SAM2Base:
    """Build a released model, which is downloaded to masklet's cache.

    Args:
        model_id: Key of `HF_MODEL_ID_TO_FILENAMES`, such as "facebook/sam2.1-hiera-tiny".
        **kwargs: Arguments of `build_sam2`.

    Raises:
        KeyError: The model is unknown.
    """
    config_name, ckpt_path = _hf_download(model_id)
    return build_sam2(config_file=config_name, ckpt_path=ckpt_path, **kwargs)


def build_sam2_video_predictor_hf(model_id: str, **kwargs: Any) -> Any:
    """Build the video predictor of a released model, which is downloaded to masklet's cache.

    Args:
        model_id: Key of `HF_MODEL_ID_TO_FILENAMES`.
        **kwargs: Arguments of `build_sam2_video_predictor`.

    Raises:
        KeyError: The model is unknown.
    """
    config_name, ckpt_path = _hf_download(model_id)
    return build_sam2_video_predictor(config_file=config_name, ckpt_path=ckpt_path, **kwargs)


def _hf_download(model_id: str) -> tuple[str, str]:
    """Return the configuration and the downloaded checkpoint of a model on the Hugging Face Hub."""
    if model_id not in HF_MODEL_ID_TO_FILENAMES:
        raise KeyError(f"{model_id} is not one of {', '.join(HF_MODEL_ID_TO_FILENAMES)}")
    return HF_MODEL_ID_TO_FILENAMES[model_id][0], str(find_or_pull(model_id))


def _load_checkpoint(model: SAM2Base, ckpt_path: str | os.PathLike[str] | None) -> None:
    """Load a checkpoint into a model, if there is one."""
    if ckpt_path is not None:
        model.load_checkpoint(ckpt_path)


def _read_video_settings(config_file: str, overrides: Sequence[str], apply_postprocessing: bool) -> ModelSettings:
    defaults = (*DYNAMIC_MULTIMASK, *VIDEO_POSTPROCESSING) if apply_postprocessing else ()
    return read_settings(config_file, [*defaults, *overrides])


def _import_predictor(module: str, name: str) -> type[Any]:
    """Import a class of a module that imports this one."""
    kind: type[Any] = getattr(import_module(f"masklet.compat.sam2.{module}"), name)
    return kind


def _make_predictor(kind: type[Any], settings: ModelSettings, placement: Placement) -> Any:
    return kind(
        fill_hole_area=settings.fill_hole_area,
        non_overlap_masks=settings.non_overlap_masks,
        clear_non_cond_mem_around_input=settings.clear_non_cond_mem_around_input,
        add_all_frames_to_correct_as_cond=settings.add_all_frames_to_correct_as_cond,
        settings=settings,
        placement=placement,
    )


def _finish(model: Model, ckpt_path: str | os.PathLike[str] | None) -> Model:
    _load_checkpoint(model, find_embedded(model.settings) if ckpt_path is None else ckpt_path)
    return model
