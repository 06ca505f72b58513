"""Layouts of other tools: plain onnxruntime runs the graphs as those tools do, and masklet opens the folders."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

import masklet
from masklet import EmbeddedImage, Masks, Segmenter, box, click, mask
from masklet.backends import onnx as onnx_backend
from masklet.backends.onnx import DEVICE_TYPES
from masklet.backends.onnx.arrays import normalize_image
from masklet.errors import BackendError, CheckpointError, InputNotFound, MaskletError, SettingsError
from masklet.export import LAYOUTS, export_layout
from parity.inputs import frames
from support.networks import make_model

SIDE = 64
SIZE = (90, 160)
IMAGE = frames(1, *SIZE, 3)[0]
TOLERANCE = 1e-3  # of logits, whose sums are in another order
NETWORK = make_model("nano", SIDE, calm=True)
POINTS = np.array([[50.0, 40.0], [120.0, 10.0]], np.float32)  # in the image
LABELS = [1, 0]
Array = NDArray[Any]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of each layout."""
    paths = {layout: tmp_path_factory.mktemp(layout) for layout in LAYOUTS}
    for layout, folder in paths.items():
        export_layout(NETWORK, folder, layout)
    return paths


@pytest.fixture(scope="module")
def ours() -> EmbeddedImage:
    return Segmenter(onnx_backend.build(NETWORK.config, NETWORK.tensors, input_size=SIDE)).embed(IMAGE)


def run(path: Path, inputs: dict[str, Array]) -> dict[str, Array]:
    """Run a graph with plain onnxruntime. Names, dtypes and ranks of the inputs must be exactly those of the graph."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert {one.name for one in session.get_inputs()} == set(inputs)
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def points_in_square() -> Array:
    """Return the points in pixels of the square (1, P, 2), as all of these tools take them."""
    return (POINTS / [SIZE[1], SIZE[0]] * SIDE).astype(np.float32)[None]


def predict_expected(ours: EmbeddedImage) -> Masks:
    return ours.predict(click(*POINTS[0]) + click(*POINTS[1], positive=False), multimask=True)


def assert_same(logits: Array, iou: Array, masks: Masks) -> None:
    assert logits.shape == (1, 3, SIDE // 4, SIDE // 4)
    assert np.abs(logits[0] - masks.low_res).max() < TOLERANCE
    assert np.abs(iou[0] - masks.scores).max() < TOLERANCE


def test_sam2_onnx_graphs_run_with_that_tools_names(folders: dict[str, Path], ours: EmbeddedImage) -> None:
    folder = folders["sam2-onnx"]
    encoded = run(folder / "encoder.onnx", {"image": normalize_image(IMAGE, SIDE)})
    assert list(encoded) == ["image_embed", "high_res_feat_0", "high_res_feat_1"]
    prompt = {
        "point_coords": points_in_square(),
        "point_labels": np.array([LABELS], np.int64),
        "mask_input": np.zeros((1, 1, SIDE // 4, SIDE // 4), np.float32),
        "has_mask_input": np.zeros((1, 1), np.float32),
    }
    found = run(folder / "decoder.onnx", encoded | prompt)
    assert_same(found["low_res_masks"], found["iou_predictions"], predict_expected(ours))


def test_the_metadata_of_sam2_onnx_describe_the_files(folders: dict[str, Path]) -> None:
    metadata = json.loads((folders["sam2-onnx"] / "metadata.json").read_text())
    assert (metadata["image_size"], metadata["embed_dim"], metadata["backbone_stride"]) == (SIDE, 128, 16)
    assert (metadata["num_multimask_outputs"], metadata["mask_threshold"], metadata["quantization"]) == (3, 0.0, None)
    for name, digest in metadata["sha256"].items():
        assert hashlib.sha256((folders["sam2-onnx"] / name).read_bytes()).hexdigest() == digest


def test_samexporter_graphs_run_with_that_tools_names(folders: dict[str, Path], ours: EmbeddedImage) -> None:
    folder = folders["samexporter"]
    encoded = run(folder / "nano.encoder.onnx", {"image": normalize_image(IMAGE, SIDE)})
    assert list(encoded) == ["high_res_feats_0", "high_res_feats_1", "image_embed"]
    prompt = {
        "point_coords": points_in_square(),
        "point_labels": np.array([LABELS], np.float32),
        "mask_input": np.zeros((1, 1, SIDE // 4, SIDE // 4), np.float32),
        "has_mask_input": np.zeros(1, np.float32),
    }
    found = run(folder / "nano.decoder.onnx", encoded | prompt)
    assert_same(found["masks"], found["iou_predictions"], predict_expected(ours))


def test_samexporter_takes_several_prompts_at_a_time(folders: dict[str, Path], ours: EmbeddedImage) -> None:
    folder = folders["samexporter"]
    encoded = run(folder / "nano.encoder.onnx", {"image": normalize_image(IMAGE, SIDE)})
    prompts = {
        "point_coords": points_in_square().transpose(1, 0, 2),
        "point_labels": np.ones((2, 1), np.float32),
        "mask_input": np.zeros((2, 1, SIDE // 4, SIDE // 4), np.float32),
        "has_mask_input": np.zeros(2, np.float32),
    }
    found = run(folder / "nano.decoder.onnx", encoded | prompts)
    together = ours.predict([click(*POINTS[0]), click(*POINTS[1])], multimask=True)
    assert np.abs(found["masks"].reshape(together.low_res.shape) - together.low_res).max() < TOLERANCE


def test_ailia_graphs_run_with_that_tools_names(folders: dict[str, Path], ours: EmbeddedImage) -> None:
    folder, suffix = folders["ailia"], "nano_2.1.onnx"
    encoded = run(folder / f"image_encoder_{suffix}", {"input_image": normalize_image(IMAGE, SIDE)})
    levels = [f"{kind}_{level}" for kind in ("vision_pos_enc", "backbone_fpn") for level in range(3)]
    assert list(encoded) == ["vision_features", *levels]
    beside = np.load(folder / "pretrained_weights.npz")
    names = ("maskmem_tpos_enc", "no_mem_embed", "no_mem_pos_enc", "no_obj_ptr")
    assert set(beside) == {f"v2.1_nano_{name}" for name in names}
    prompt = {
        "coords": points_in_square(),
        "labels": np.array([LABELS], np.int32),
        "masks": np.zeros((1, 1, SIDE // 4, SIDE // 4), np.float32),
        "masks_enable": np.zeros(1, np.int32),
    }
    embedded = run(folder / f"prompt_encoder_with_mask_{suffix}", prompt)
    given = {
        "image_embeddings": encoded["vision_features"] + beside["v2.1_nano_no_mem_embed"].reshape(1, -1, 1, 1),
        "image_pe": embedded["dense_pe"],
        "sparse_prompt_embeddings": embedded["sparse_embeddings"],
        "dense_prompt_embeddings": embedded["dense_embeddings"],
        "high_res_features1": encoded["backbone_fpn_0"],
        "high_res_features2": encoded["backbone_fpn_1"],
    }
    found = run(folder / f"mask_decoder_{suffix}", given)
    assert list(found) == ["masks", "iou_pred", "sam_tokens_out", "object_score_logits"]
    assert_same(found["masks"][:, 1:], found["iou_pred"][:, 1:], predict_expected(ours))


@pytest.mark.slow
def test_ailias_position_encodings_are_sine_encodings(folders: dict[str, Path]) -> None:
    torch = pytest.importorskip("torch")
    from masklet.model.position_encoding import compute_sine_encoding

    encoder = folders["ailia"] / "image_encoder_nano_2.1.onnx"
    encoded = run(encoder, {"input_image": normalize_image(IMAGE, SIDE)})
    for level, side in enumerate((SIDE // 4, SIDE // 8, SIDE // 16)):
        table = compute_sine_encoding(side, side, 128, torch.zeros(1)).numpy()
        assert np.abs(encoded[f"vision_pos_enc_{level}"][0] - table).max() < 1e-5


@pytest.mark.parametrize("layout", LAYOUTS)
def test_masklet_opens_the_folder_and_gives_the_same_masks(
    layout: str, folders: dict[str, Path], ours: EmbeddedImage
) -> None:
    theirs = masklet.load(folders[layout]).embed(IMAGE)
    shape = np.zeros(SIZE, bool)
    shape[20:60, 30:90] = True
    prompts = [
        click(50, 40),
        click(50, 40) + click(9, 9, positive=False),
        box(20, 10, 100, 70),
        mask(shape) + click(40, 40),
    ]
    for prompt in prompts:
        found, expected = (one.predict(prompt, multimask=True) for one in (theirs, ours))
        assert np.abs(found.low_res - expected.low_res).max() < TOLERANCE
        assert np.abs(found.scores - expected.scores).max() < TOLERANCE
    together = theirs.predict(prompts, multimask=True)
    assert np.abs(together.low_res - ours.predict(prompts, multimask=True).low_res).max() < TOLERANCE
    refined = theirs.predict(click(60, 40), refine=theirs.predict(click(50, 40)))
    assert (
        np.abs(refined.low_res - ours.predict(click(60, 40), refine=ours.predict(click(50, 40))).low_res).max()
        < TOLERANCE
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_tracking_needs_graphs_that_these_layouts_lack(layout: str, folders: dict[str, Path]) -> None:
    with pytest.raises(BackendError) as caught:
        list(masklet.load(folders[layout]).track(frames(3, *SIZE, 3), click(50, 40)))
    assert caught.value.code == "pictures-only"


def test_a_decoder_with_other_inputs_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = folders["sam2-onnx"]
    for name in ("encoder.onnx", "decoder.onnx"):
        (tmp_path / name).write_bytes((folder / "encoder.onnx").read_bytes())
    with pytest.raises(CheckpointError) as caught:
        masklet.load(tmp_path)
    assert caught.value.code == "onnx-broken"


def error_code(folder: Path) -> str:
    """Return the code of the error that segmenting with a folder raises."""
    with pytest.raises(MaskletError) as caught:
        masklet.load(folder).segment(IMAGE, click(9, 9))
    return caught.value.code


def test_an_encoder_of_two_images_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    proto = onnx.load(folders["sam2-onnx"] / "encoder.onnx")
    proto.graph.input.append(onnx.helper.make_tensor_value_info("more", onnx.TensorProto.FLOAT, [1]))
    onnx.save(proto, tmp_path / "encoder.onnx")
    (tmp_path / "decoder.onnx").write_bytes((folders["sam2-onnx"] / "decoder.onnx").read_bytes())
    assert error_code(tmp_path) == "onnx-broken"


@pytest.mark.parametrize("name", ["low_res_masks", "iou_predictions"])
def test_a_decoder_with_outputs_of_another_type_is_refused(name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    proto = onnx.load(folders["sam2-onnx"] / "decoder.onnx")
    (output,) = [node for node in proto.graph.node if node.output[0] == name]
    output.op_type = "Shape"
    (value,) = [one for one in proto.graph.output if one.name == name]
    value.CopyFrom(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, [None]))
    onnx.save(proto, tmp_path / "decoder.onnx")
    (tmp_path / "encoder.onnx").write_bytes((folders["sam2-onnx"] / "encoder.onnx").read_bytes())
    assert error_code(tmp_path) == "onnx-broken"


def test_a_folder_with_several_models_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    for name in ("nano", "other"):
        for part in ("encoder", "decoder"):
            source = folders["samexporter"] / f"nano.{part}.onnx"
            (tmp_path / f"{name}.{part}.onnx").write_bytes(source.read_bytes())
    assert error_code(tmp_path) == "bad-usage"


def test_a_folder_with_two_layouts_is_refused(tmp_path: Path) -> None:
    for layout in ("sam2-onnx", "samexporter"):
        export_layout(NETWORK, tmp_path, layout, overwrite=True)
    assert error_code(tmp_path) == "bad-usage"


def test_a_folder_as_ailia_downloads_it_is_opened(
    folders: dict[str, Path], tmp_path: Path, ours: EmbeddedImage
) -> None:
    for path in folders["ailia"].glob("*.onnx"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
        (tmp_path / f"{path.name}.prototxt").write_text("for another runtime")
    weights = dict(np.load(folders["ailia"] / "pretrained_weights.npz"))
    others = {key.replace("v2.1", "v2"): value + 1 for key, value in weights.items()}
    np.savez(tmp_path / "pretrained_weights.npz", **others, **weights)  # all models share one file
    found = masklet.load(tmp_path).segment(IMAGE, click(50, 40))
    assert np.abs(found.low_res - ours.predict(click(50, 40)).low_res).max() < TOLERANCE


def truncate(content: bytes) -> bytes:
    return content[:-30]


def flip_a_byte(content: bytes) -> bytes:
    position = content.index(b"no_mem_embed.npy") + 300  # in the array's values
    return content[:position] + bytes([content[position] ^ 255]) + content[position + 1 :]


def save_npz(value: Array) -> bytes:
    file = io.BytesIO()
    np.savez(file, **{"v2.1_nano_no_mem_embed": value})
    return file.getvalue()


@pytest.mark.parametrize(
    "change",
    [
        lambda content: b"PK\3\4junk",
        truncate,
        flip_a_byte,
        lambda content: save_npz(np.zeros(3)),
        lambda content: save_npz(np.array(["a"] * 128)),
        lambda content: save_npz(np.zeros(1 << 20)),
    ],
)
def test_a_damaged_file_of_weights_beside_ailias_graphs_is_refused(
    change: Callable[[bytes], bytes], folders: dict[str, Path], tmp_path: Path
) -> None:
    for path in folders["ailia"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    beside = tmp_path / "pretrained_weights.npz"
    beside.write_bytes(change(beside.read_bytes()))
    assert error_code(tmp_path) == "checkpoint-corrupt"


def test_a_folder_of_another_tool_reports_its_device(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DEVICE_TYPES, "openvino", DEVICE_TYPES["cpu"])
    assert masklet.load(folders["sam2-onnx"], device="openvino").backend.device == "openvino"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("layout", "name"),
    [("sam2-onnx", "decoder.onnx"), ("samexporter", "nano.decoder.onnx"), ("ailia", "pretrained_weights.npz")],
)
def test_a_missing_file_is_named(layout: str, name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    for path in folders[layout].iterdir():
        if path.name != name:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InputNotFound, match=name):
        masklet.load(tmp_path).segment(IMAGE, click(9, 9))


def test_an_unknown_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="sam2-onnx, samexporter, ailia"):
        export_layout(NETWORK, tmp_path / "none", "theirs")


def test_a_network_without_fine_features_is_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="needs features at strides 4 and 8, which efficienttam-micro does not"):
        export_layout(make_model("efficienttam-micro"), tmp_path / "out", "samexporter")
    assert not (tmp_path / "out").exists()


def test_edgetam_is_written_for_other_tools(tmp_path: Path) -> None:
    network = make_model("edgetam-micro", 128, calm=True)
    export_layout(network, tmp_path / "out", "samexporter")
    built = Segmenter(onnx_backend.build(network.config, network.tensors, input_size=128))
    found, expected = (one.embed(IMAGE).predict(click(40, 30)) for one in (masklet.load(tmp_path / "out"), built))
    assert np.abs(found.low_res - expected.low_res).max() < TOLERANCE
