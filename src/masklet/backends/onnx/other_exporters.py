"""Image graphs that other tools exported: sam2-onnx, samexporter (X-AnyLabeling) and ailia's sample.

These graphs encode an image and decode one prompt at a time. They have no memory. Adapters give each tool's files the
inputs and outputs of masklet's graphs `encode` and `decode`, so all functions for images work with them.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from tokenize import TokenError
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.backend import GIVEN_MASK_SCORE
from masklet.backends.onnx.backend import Graph, OnnxBackend, RuntimeInfo
from masklet.backends.onnx.session import Device, Session, to_numpy
from masklet.config import CONFIGS, MASK_STRIDE, NOT_A_POINT, NUM_MASKS, ModelConfig, check_input_size
from masklet.errors import BackendError, CheckpointError, InputNotFound, SettingsError
from masklet.files.hashing import sha256_of_file
from masklet.files.open_input import open_input
from masklet.onnx_graphs import GRAPH_WRITERS, GraphName
from masklet.onnx_graphs.inspection import read_onnx

DEFAULT_OBJECT_SCORE = GIVEN_MASK_SCORE  # for decoders without an object score
DEFAULT_CHANNELS = CONFIGS["sam2.1-large"].channels  # of every released model
MAX_ARRAY_BYTES = 1 << 16  # of an array beside ailia's graphs
Array = NDArray[Any]
_ARRAY_ERRORS = (
    *(KeyError, ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error),
    *(SyntaxError, TypeError, TokenError),  # of an array's header that is no Python literal
)


def open_other_export(folder: Path, device: Device) -> OnnxBackend:
    """Open a folder that another tool exported, as a backend for images.

    Raises:
        InputNotFound: The folder holds no model of a known tool, or a file is missing.
        SettingsError: The folder holds several models (`bad-usage`).
        CheckpointError: A graph does not have the expected inputs and outputs.
    """
    openers = {
        "encoder.onnx": _open_sam2_onnx,
        "*.encoder.onnx": _open_samexporter,
        "image_encoder_*.onnx": _open_ailia,
    }
    candidates = {path.name: opener for pattern, opener in openers.items() for path in sorted(folder.glob(pattern))}
    if not candidates:
        message = f"{folder}: holds no exported model, neither masklet's nor one of a known tool"
        raise InputNotFound("input-not-found", message, hint="export a checkpoint with `masklet export onnx`")
    if len(candidates) > 1:
        message = f"{folder}: holds {len(candidates)} models: {', '.join([*candidates][:3])}"
        raise SettingsError("bad-usage", message, hint="move each model to a folder of its own")
    ((name, opener),) = candidates.items()
    return opener(folder / name, device)


def _open_sam2_onnx(encoder: Path, device: Device) -> OnnxBackend:
    names = {"stride4": "high_res_feat_0", "stride8": "high_res_feat_1", "stride16": "image_embed"}
    decoder = _Decoder(_make_session(encoder.with_name("decoder.onnx"), device), names, "low_res_masks")
    return _make_backend(encoder, device, _Encoder(_make_session(encoder, device), names), decoder)


def _open_samexporter(encoder: Path, device: Device) -> OnnxBackend:
    names = {"stride4": "high_res_feats_0", "stride8": "high_res_feats_1", "stride16": "image_embed"}
    decoder_path = encoder.with_name(encoder.name.replace(".encoder.", ".decoder."))
    decoder = _Decoder(_make_session(decoder_path, device), names, "masks")
    return _make_backend(encoder, device, _Encoder(_make_session(encoder, device), names), decoder)


def _open_ailia(encoder_path: Path, device: Device) -> OnnxBackend:
    model = encoder_path.stem.removeprefix("image_encoder_")
    prompt_encoder = encoder_path.with_name(f"prompt_encoder_with_mask_{model}.onnx")
    mask_decoder = encoder_path.with_name(f"mask_decoder_{model}.onnx")
    names = {"stride4": "backbone_fpn_0", "stride8": "backbone_fpn_1", "stride16": "backbone_fpn_2"}
    release = "2.1" if model.endswith("_2.1") else "2"
    key = f"v{release}_{model.removesuffix('_2.1')}_no_mem_embed"
    encoder = _Encoder(_make_session(encoder_path, device), names)
    no_memory = _read_array(encoder_path.with_name("pretrained_weights.npz"), key, encoder.channels)
    decoder = _AiliaDecoder(_make_session(prompt_encoder, device), _make_session(mask_decoder, device))
    return _make_backend(encoder_path, device, encoder, decoder, no_memory)


class _Encoder:
    """Another tool's encoder with the inputs and outputs of masklet's `encode`."""

    def __init__(self, session: Session, names: Mapping[str, str]) -> None:
        inputs = _list_inputs(session)
        if len(inputs) != 1:
            raise CheckpointError("onnx-broken", f"{session.name}: takes {', '.join(inputs)}, not one image")
        self._input, self._session, self._names = inputs[0], session, names

    @property
    def input_size(self) -> int:
        """Side of the square that the encoder takes, in pixels."""
        shape = self._session.load().get_inputs()[0].shape
        if len(shape) != 4 or shape[2] != shape[3] or not isinstance(shape[2], int):
            message = f"{self._session.name}: takes images of shape {shape}, not squares of one size"
            raise CheckpointError("onnx-broken", message)
        return check_input_size(shape[2])

    @property
    def channels(self) -> int:
        """Channels of the features at stride 16, or `DEFAULT_CHANNELS` if the graph does not state them."""
        shapes = {output.name: output.shape for output in self._session.load().get_outputs()}
        stated = shapes.get(self._names["stride16"], [])[1:2]
        return stated[0] if stated and isinstance(stated[0], int) else DEFAULT_CHANNELS

    def __call__(self, **inputs: Any) -> dict[str, Any]:
        outputs = self._session(**{self._input: inputs["images"]})
        return {ours: outputs[theirs] for ours, theirs in self._names.items()}


class _Prompt(NamedTuple):
    """One prompt as other tools take it: points in pixels of the square, without the padding token."""

    points: Array  # (1, P, 2)
    labels: Array  # (1, P)
    mask: Array  # (1, 1, h, w)
    masked: bool


def _split_prompts(inputs: Mapping[str, Any]) -> Iterator[_Prompt]:
    """Split the inputs of masklet's `decode` into prompts."""
    input_size = MASK_STRIDE * inputs["mask"].shape[-1]
    for row, present in enumerate(inputs["present"]):
        points, labels = inputs["points"][row][present] * input_size, inputs["labels"][row][present]
        if len(labels) > 1 and labels[-1] == NOT_A_POINT:
            points, labels = points[:-1], labels[:-1]
        elif not len(labels):  # a mask alone; other tools require a point
            points, labels = np.zeros((1, 2), np.float32), np.array([NOT_A_POINT])
        mask = row if len(inputs["mask"]) > 1 else 0
        yield _Prompt(points[None], labels[None], inputs["mask"][mask : mask + 1], bool(inputs["masked"][mask]))


class _Decoder:
    """Another tool's decoder of three masks as masklet's `decode`. The best of the three serves as the single mask."""

    def __init__(self, session: Session, names: Mapping[str, str], masks: str) -> None:
        expected = {*names.values(), "point_coords", "point_labels", "mask_input", "has_mask_input"}
        if set(_list_inputs(session)) != expected:
            raise _input_error(session, expected)
        self._session, self._names, self._masks = session, names, masks
        inputs = session.load().get_inputs()
        (self._flag_rank,) = [len(entry.shape) for entry in inputs if entry.name == "has_mask_input"]

    def __call__(self, **inputs: Any) -> dict[str, Any]:
        features = {theirs: inputs[ours] for ours, theirs in self._names.items()}
        return _stack([self._decode(features, prompt) for prompt in _split_prompts(inputs)])

    def _decode(self, features: Mapping[str, Any], prompt: _Prompt) -> tuple[Array, Array, float]:
        outputs = self._session(
            **features,
            point_coords=prompt.points,
            point_labels=prompt.labels,
            mask_input=prompt.mask,
            has_mask_input=np.full([1] * self._flag_rank, prompt.masked),
        )
        logits, iou = to_numpy(outputs[self._masks])[0], to_numpy(outputs["iou_predictions"])[0]
        _check_shapes(self._session, logits, iou, count=NUM_MASKS - 1)
        best = [int(iou.argmax())]
        return np.concatenate((logits[best], logits)), np.concatenate((iou[best], iou)), DEFAULT_OBJECT_SCORE


class _AiliaDecoder:
    """Ailia's prompt encoder and mask decoder as masklet's `decode`."""

    def __init__(self, prompt_encoder: Session, mask_decoder: Session) -> None:
        self._prompt_encoder, self._mask_decoder = prompt_encoder, mask_decoder
        for session, expected in (
            (prompt_encoder, {"coords", "labels", "masks", "masks_enable"}),
            (mask_decoder, {"image_embeddings", "image_pe", "sparse_prompt_embeddings", "dense_prompt_embeddings"}),
        ):
            if not expected <= set(_list_inputs(session)):
                raise _input_error(session, expected)

    def __call__(self, **inputs: Any) -> dict[str, Any]:
        features = {
            "image_embeddings": inputs["stride16"],
            "high_res_features1": inputs["stride4"],
            "high_res_features2": inputs["stride8"],
        }
        return _stack([self._decode(features, prompt) for prompt in _split_prompts(inputs)])

    def _decode(self, features: Mapping[str, Any], prompt: _Prompt) -> tuple[Array, Array, float]:
        encoded = self._prompt_encoder(
            coords=prompt.points,
            labels=prompt.labels,
            masks=prompt.mask,
            masks_enable=np.array([prompt.masked]),
        )
        outputs = self._mask_decoder(
            **features,
            image_pe=encoded["dense_pe"],
            sparse_prompt_embeddings=encoded["sparse_embeddings"],
            dense_prompt_embeddings=encoded["dense_embeddings"],
        )
        logits, iou = to_numpy(outputs["masks"])[0], to_numpy(outputs["iou_pred"])[0]
        _check_shapes(self._mask_decoder, logits, iou, count=NUM_MASKS)
        return logits, iou, float(to_numpy(outputs["object_score_logits"]).ravel()[0])


def _check_shapes(session: Session, logits: Array, iou: Array, count: int) -> None:
    if logits.ndim != 3 or len(logits) != count or iou.shape != (count,):
        shapes = f"masks of shape {logits.shape} and IoU of shape {iou.shape}"
        raise CheckpointError("onnx-broken", f"{session.name}: returns {shapes}, not {count} of each")


def _stack(results: Sequence[tuple[Array, Array, float]]) -> dict[str, Any]:
    """Stack the results of several prompts as outputs of masklet's `decode`, without object pointers."""
    logits, iou, score = zip(*results, strict=True)
    return {
        "logits": np.stack(logits),
        "iou": np.stack(iou),
        "object_score": np.array(score, np.float32)[:, None],
        "pointers": np.zeros((len(results), NUM_MASKS, 1), np.float32),
    }


def _make_backend(
    path: Path, device: Device, encoder: _Encoder, decoder: Graph, no_memory: Array | None = None
) -> OnnxBackend:
    refuse, channels = partial(_refuse_tracking, path.parent), encoder.channels
    embedding = np.zeros(channels) if no_memory is None else no_memory
    tables = {
        "no_memory": embedding.astype(np.float32).reshape(1, -1, 1, 1),
        "no_pointer": np.zeros((1, 1), np.float32),
        "mask_weight": np.zeros((MASK_STRIDE, MASK_STRIDE), np.float32),
        "mask_bias": np.zeros(1, np.float32),
    }
    input_size = encoder.input_size
    # the files do not state the shape of the trunk
    config = ModelConfig(path.parent.name, 0, 0, (0, 0, 0, 0), (), input_size=input_size, channels=channels)
    identity = sha256_of_file(path)[:32]
    graphs: dict[GraphName, Graph] = dict.fromkeys(GRAPH_WRITERS, refuse)
    graphs |= {"encode": encoder, "decode": decoder}
    return OnnxBackend(config, input_size, identity, graphs, tables, RuntimeInfo(str(device), "unknown"))


def _refuse_tracking(folder: Path, **inputs: Any) -> dict[str, Any]:
    raise BackendError(
        "pictures-only",
        f"{folder}: has no graphs for memories, so it segments images but cannot track",
        hint="export the checkpoint with `masklet export onnx`",
    )


def _make_session(path: Path, device: Device) -> Session:
    return Session(str(path), partial(read_onnx, path), device)


def _list_inputs(session: Session) -> list[str]:
    return [entry.name for entry in session.load().get_inputs()]


def _read_array(path: Path, key: str, count: int) -> Array:
    """Read an array of `count` floats from an .npz file. Raises `InputNotFound` or `CheckpointError`."""
    with open_input(path) as file:
        try:
            archive = zipfile.ZipFile(file)
            entry = archive.getinfo(f"{key}.npy")
            if entry.file_size > MAX_ARRAY_BYTES:
                raise ValueError(f"{entry.file_size} bytes")
            array = np.load(io.BytesIO(archive.read(entry)), allow_pickle=False)
        except _ARRAY_ERRORS as cause:
            raise CheckpointError("checkpoint-corrupt", f"{path}: has no readable array {key}: {cause}") from cause
    if array.dtype.kind != "f" or array.size != count:
        message = f"{path}: {key} has {array.size} values of {array.dtype}, the encoder needs {count} floats"
        raise CheckpointError("checkpoint-corrupt", message)
    return np.asarray(array)


def _input_error(session: Session, expected: set[str]) -> CheckpointError:
    inputs = ", ".join(_list_inputs(session))
    return CheckpointError("onnx-broken", f"{session.name}: takes {inputs}, not {', '.join(sorted(expected))}")
