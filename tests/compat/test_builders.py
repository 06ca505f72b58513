"""Builders: weights from files and state dicts, devices, and errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import masklet
from masklet.checkpoints import key_names, write_tensors
from masklet.compat.sam2 import build_sam
from masklet.compat.sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from masklet.compat.sam2.build_sam import build_sam2, build_sam2_hf
from masklet.compat.sam2.loading import StateDictError
from masklet.compat.sam2.modeling.sam2_base import SAM2Base
from masklet.compat.sam2.sam2_image_predictor import SAM2ImagePredictor
from masklet.errors import InputNotFound, MaskletWarning, ResourceError, SettingsError, StateError
from support.networks import make_model

CONFIG = "lite-micro"


@pytest.fixture(scope="module")
def state_dict() -> dict[str, Any]:
    return key_names.to_released(make_model(CONFIG, calm=True).tensors)


@pytest.fixture(scope="module")
def file(state_dict: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    write_tensors(path, state_dict)
    return path


def build(*arguments: Any, **options: Any) -> SAM2Base:
    small = ["++model.image_size=64"]
    return build_sam2(
        CONFIG, *arguments, **{"device": "cpu", "runtime": "onnx", "hydra_overrides_extra": small, **options}
    )


def predict(model: SAM2Base) -> Any:
    predictor = SAM2ImagePredictor(model)
    predictor.set_image(np.arange(30 * 40 * 3, dtype=np.uint8).reshape(30, 40, 3))
    return predictor.predict(box=[5, 5, 30, 20])[2]


def test_a_file_and_a_state_dict_give_the_same_model(file: Path, state_dict: dict[str, Any]) -> None:
    loaded, waiting = build(file), build()
    with pytest.raises(StateError, match=r"lite-micro has no weights; pass ckpt_path, or call load_state_dict"):
        predict(waiting)
    result = waiting.load_state_dict(state_dict)
    assert (result.missing_keys, result.unexpected_keys) == ([], [])
    assert np.array_equal(predict(loaded), predict(waiting))


@pytest.mark.slow
def test_tensors_of_pytorch_are_a_state_dict_too(state_dict: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    model = build()
    model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state_dict.items()})
    assert predict(model).shape == (3, 16, 16)


def drop_last(tensors: dict[str, Any]) -> dict[str, Any]:
    return dict([*tensors.items()][:-1])


def add_one(tensors: dict[str, Any]) -> dict[str, Any]:
    return tensors | {"image_encoder.unknown": np.zeros(3, np.float32)}


def take_none(tensors: dict[str, Any]) -> dict[str, Any]:
    return {"weight": np.zeros(3, np.float32)}


@pytest.mark.parametrize("change", [drop_last, add_one, take_none])
def test_a_state_dict_that_does_not_fit_raises_the_error_of_pytorch(
    change: Callable[[dict[str, Any]], dict[str, Any]], state_dict: dict[str, Any]
) -> None:
    with pytest.raises(RuntimeError) as caught:
        build().load_state_dict(change(state_dict))
    assert isinstance(caught.value, StateDictError)
    assert caught.value.code == "checkpoint-mismatch"


def test_weights_of_another_configuration_are_refused(file: Path) -> None:
    with pytest.raises(RuntimeError, match=r"the weights are of lite-micro, but the configuration is sam2-micro"):
        build_sam2("sam2-micro", file, "cpu", runtime="onnx")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.pt does not exist") as caught:
        build(tmp_path / "none.pt")
    assert isinstance(caught.value, InputNotFound)


def test_the_default_device_is_another_one_where_there_is_no_cuda(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from masklet.backends import onnx

    original = onnx.build

    def build_without_cuda(*arguments: Any, device: str | None, **options: Any) -> Any:
        if device is not None and device.startswith("cuda"):
            raise ResourceError("device-unavailable", "no CUDA")
        return original(*arguments, device=device, **options)

    monkeypatch.setattr(onnx, "build", build_without_cuda)
    with pytest.warns(MaskletWarning, match="there is no CUDA here, so the model runs on cpu"):
        model = build(file, device="cuda")
    assert str(model.device) == "cpu"
    with pytest.raises(ResourceError):
        build(file, device="cuda:1")


def test_overrides_of_the_program_win_over_those_of_postprocessing() -> None:
    name = "sam_mask_decoder_extra_args.dynamic_multimask_stability_thresh"
    assert build().settings.dynamic_multimask_via_stability
    assert build(hydra_overrides_extra=[f"++model.{name}=0.5"]).settings.dynamic_multimask_stability_thresh == 0.5
    assert not build(apply_postprocessing=False).settings.dynamic_multimask_via_stability
    with pytest.raises(SettingsError, match="has no effect"):
        build(hydra_overrides_extra=["++model.compile_image_encoder=true"])


def test_a_model_of_the_hub_is_taken_from_the_cache(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    monkeypatch.setitem(build_sam.HF_MODEL_ID_TO_FILENAMES, "facebook/sam2.1-hiera-tiny", (CONFIG, "file.pt"))
    monkeypatch.setattr(build_sam, "find_or_pull", lambda name: names.append(name) or file)
    options = {"device": "cpu", "runtime": "onnx", "hydra_overrides_extra": ["++model.image_size=64"]}
    predictor = SAM2ImagePredictor.from_pretrained("facebook/sam2.1-hiera-tiny", mask_threshold=0.5, **options)
    generator = SAM2AutomaticMaskGenerator.from_pretrained("facebook/sam2.1-hiera-tiny", points_per_side=2, **options)
    assert names == ["facebook/sam2.1-hiera-tiny"] * 2
    assert (predictor.mask_threshold, predictor.model.image_size, len(generator.point_grids[0])) == (0.5, 64, 4)
    with pytest.raises(KeyError, match="facebook/sam3 is not one of facebook/sam2-hiera-tiny"):
        build_sam2_hf("facebook/sam3")


def test_methods_of_modules_are_accepted(file: Path) -> None:
    model = build(file)
    assert model.eval().train(False).requires_grad_(False).to("cpu").cpu() is model
    assert list(model.parameters()) == []
    with pytest.raises(NotImplementedError):
        model(np.zeros(3))


@pytest.mark.slow
def test_the_embedded_model_needs_no_file() -> None:
    pytest.importorskip("torch")
    model = build_sam2("nano", device="cpu", dtype="float64")
    assert model.is_double
    assert next(model.parameters()).dtype.is_floating_point
    assert repr(model) == "SAM2Base(Segmenter(nano, torch, cpu, float64, 256 px))"
    expected = masklet.load(device="cpu", dtype="float64", zoom=0).config
    assert model.segmenter.config == expected


def test_a_checkpoint_is_loaded_by_the_function_that_programs_import(file: Path) -> None:
    model = build()
    build_sam._load_checkpoint(model, None)
    build_sam._load_checkpoint(model, file)
    assert model.segmenter.config.name == CONFIG


def test_the_embedded_model_is_placed_when_it_is_built() -> None:
    pytest.importorskip("torch")
    with pytest.raises(ResourceError, match="no device 'cuda:99'"):
        build_sam2("nano", device="cuda:99", runtime="torch")


def test_images_with_reversed_channels_and_gray_ones_are_encoded() -> None:
    predictor = SAM2ImagePredictor(build_sam2("nano", device="cpu"))
    image = np.arange(30 * 40 * 3, dtype=np.uint8).reshape(30, 40, 3)
    predictor.set_image(image[..., ::-1])
    predictor.set_image(Image.fromarray(image).convert("L"))
    assert predictor._orig_hw == [(30, 40)]
