"""Opens picture graphs that other tools exported: sam2-onnx, samexporter (X-AnyLabeling) and ailia's sample.

They encode a picture and decode one prompt at a time, and have no memory. Each tool's files are made to answer like our
own graphs `encode` and `decode`, so whatever works on pictures works over them.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.backends.onnx.backend import Graph, OnnxBackend, RuntimeInfo
from masklet.backends.onnx.session import Device, Session, to_numpy
from masklet.config import ModelConfig, check_input_size
from masklet.errors import BackendError, CheckpointError, InputNotFound, SettingsError
from masklet.files.hashing import sha256_of_file
from masklet.files.open_input import open_input
from masklet.onnx_graphs.inspection import read_onnx

VISIBLE = 10.0  # the object score where a graph gives none
NOT_A_POINT = -1
CHANNELS = 256  # of every released model
MOST_KEPT = 1 << 16  # bytes of what lies beside ailia's graphs
Array = NDArray[Any]


def open_other_export(folder: Path, device: Device) -> OnnxBackend:
    """A backend for pictures over a folder that another tool wrote.

    Raises `InputNotFound` where there is none, `SettingsError` where there are several, and `CheckpointError` for
    graphs that are not what they should be.
    """
    kinds = {"encoder.onnx": _sam2_onnx, "*.encoder.onnx": _samexporter, "image_encoder_*.onnx": _ailia}
    found = {path.name: opened for pattern, opened in kinds.items() for path in sorted(folder.glob(pattern))}
    if not found:
        message = f"{folder}: no exported model in it, neither ours nor one of a known tool"
        raise InputNotFound("input-not-found", message)
    if len(found) > 1:
        several = f"{folder}: holds {len(found)} models: {', '.join([*found][:3])}"
        raise SettingsError("bad-usage", several, hint="put each into a folder of its own")
    ((name, opened),) = found.items()
    return opened(folder / name, device)


def _sam2_onnx(encoder: Path, device: Device) -> OnnxBackend:
    names = {"stride4": "high_res_feat_0", "stride8": "high_res_feat_1", "stride16": "image_embed"}
    decoder = _Decoder(_session(encoder.with_name("decoder.onnx"), device), names, "low_res_masks")
    return _backend(encoder, device, _Encoder(_session(encoder, device), names), decoder)


def _samexporter(encoder: Path, device: Device) -> OnnxBackend:
    names = {"stride4": "high_res_feats_0", "stride8": "high_res_feats_1", "stride16": "image_embed"}
    beside = encoder.with_name(encoder.name.replace(".encoder.", ".decoder."))
    decoder = _Decoder(_session(beside, device), names, "masks")
    return _backend(encoder, device, _Encoder(_session(encoder, device), names), decoder)


def _ailia(encoder: Path, device: Device) -> OnnxBackend:
    model = encoder.stem.removeprefix("image_encoder_")
    prompts = encoder.with_name(f"prompt_encoder_with_mask_{model}.onnx")
    decoder = encoder.with_name(f"mask_decoder_{model}.onnx")
    names = {"stride4": "backbone_fpn_0", "stride8": "backbone_fpn_1", "stride16": "backbone_fpn_2"}
    release = "2.1" if model.endswith("_2.1") else "2"
    key = f"v{release}_{model.removesuffix('_2.1')}_no_mem_embed"
    encode = _Encoder(_session(encoder, device), names)
    kept = _kept(encoder.with_name("pretrained_weights.npz"), key, encode.channels)
    answering = _AiliaDecoder(_session(prompts, device), _session(decoder, device))
    return _backend(encoder, device, encode, answering, kept)


class _Encoder:
    """Another tool's encoder, called like our own."""

    def __init__(self, session: Session, names: Mapping[str, str]) -> None:
        inputs = _inputs(session)
        if len(inputs) != 1:
            raise CheckpointError("onnx-broken", f"{session.name}: takes {', '.join(inputs)}, not one picture")
        self._input, self._session, self._names = inputs[0], session, names

    @property
    def size(self) -> int:
        """The side of the square that it takes."""
        shape = self._session.load().get_inputs()[0].shape
        if len(shape) != 4 or shape[2] != shape[3] or not isinstance(shape[2], int):
            raise CheckpointError("onnx-broken", f"{self._session.name}: takes pictures of {shape}, not of one square")
        return check_input_size(shape[2])

    @property
    def channels(self) -> int:
        """Of its coarsest features, where it says so."""
        shapes = {one.name: one.shape for one in self._session.load().get_outputs()}
        told = shapes.get(self._names["stride16"], [])[1:2]
        return told[0] if told and isinstance(told[0], int) else CHANNELS

    def __call__(self, **inputs: Any) -> dict[str, Any]:
        found = self._session(**{self._input: inputs["images"]})
        return {ours: found[theirs] for ours, theirs in self._names.items()}


class _Prompt(NamedTuple):
    """One prompt as other tools take it: points in pixels of the square, without the token that is not a point."""

    points: Array  # (1, P, 2)
    labels: Array  # (1, P)
    mask: Array  # (1, 1, h, w)
    masked: bool


def _prompts(inputs: Mapping[str, Any]) -> Iterator[_Prompt]:
    size = 4 * inputs["mask"].shape[-1]
    for row, present in enumerate(inputs["present"]):
        points, labels = inputs["points"][row][present] * size, inputs["labels"][row][present]
        if len(labels) > 1 and labels[-1] == NOT_A_POINT:
            points, labels = points[:-1], labels[:-1]
        elif not len(labels):  # a mask alone; they cannot do without a point
            points, labels = np.zeros((1, 2), np.float32), np.array([NOT_A_POINT])
        mask = row if len(inputs["mask"]) > 1 else 0
        yield _Prompt(points[None], labels[None], inputs["mask"][mask : mask + 1], bool(inputs["masked"][mask]))


class _Decoder:
    """Another tool's decoder of three masks: called like our own, with the best of them as the single one."""

    def __init__(self, session: Session, names: Mapping[str, str], masks: str) -> None:
        wanted = {*names.values(), "point_coords", "point_labels", "mask_input", "has_mask_input"}
        if set(_inputs(session)) != wanted:
            raise _unexpected(session, wanted)
        self._session, self._names, self._masks = session, names, masks
        (self._flag,) = [len(one.shape) for one in session.load().get_inputs() if one.name == "has_mask_input"]

    def __call__(self, **inputs: Any) -> dict[str, Any]:
        features = {theirs: inputs[ours] for ours, theirs in self._names.items()}
        answers = [self._one(features, prompt) for prompt in _prompts(inputs)]
        return _stacked(answers)

    def _one(self, features: Mapping[str, Any], prompt: _Prompt) -> tuple[Array, Array, float]:
        found = self._session(
            **features,
            point_coords=prompt.points,
            point_labels=prompt.labels,
            mask_input=prompt.mask,
            has_mask_input=np.full([1] * self._flag, prompt.masked),
        )
        logits, iou = to_numpy(found[self._masks])[0], to_numpy(found["iou_predictions"])[0]
        _check(self._session, logits, iou, count=3)
        best = [int(iou.argmax())]
        return np.concatenate((logits[best], logits)), np.concatenate((iou[best], iou)), VISIBLE


class _AiliaDecoder:
    """Ailia's two graphs for prompts and masks: called like our own decoder."""

    def __init__(self, prompts: Session, decoder: Session) -> None:
        self._prompts, self._decoder = prompts, decoder
        for session, wanted in (
            (prompts, {"coords", "labels", "masks", "masks_enable"}),
            (decoder, {"image_embeddings", "image_pe", "sparse_prompt_embeddings", "dense_prompt_embeddings"}),
        ):
            if not wanted <= set(_inputs(session)):
                raise _unexpected(session, wanted)

    def __call__(self, **inputs: Any) -> dict[str, Any]:
        features = {"high_res_features1": inputs["stride4"], "high_res_features2": inputs["stride8"]}
        return _stacked(
            [self._one({"image_embeddings": inputs["stride16"], **features}, one) for one in _prompts(inputs)]
        )

    def _one(self, features: Mapping[str, Any], prompt: _Prompt) -> tuple[Array, Array, float]:
        enabled = np.array([prompt.masked])
        embedded = self._prompts(coords=prompt.points, labels=prompt.labels, masks=prompt.mask, masks_enable=enabled)
        found = self._decoder(
            **features,
            image_pe=embedded["dense_pe"],
            sparse_prompt_embeddings=embedded["sparse_embeddings"],
            dense_prompt_embeddings=embedded["dense_embeddings"],
        )
        logits, iou = to_numpy(found["masks"])[0], to_numpy(found["iou_pred"])[0]
        _check(self._decoder, logits, iou, count=4)
        return logits, iou, float(to_numpy(found["object_score_logits"]).ravel()[0])


def _check(session: Session, logits: Array, iou: Array, count: int) -> None:
    if logits.ndim != 3 or len(logits) != count or iou.shape != (count,):
        shapes = f"masks {logits.shape} and qualities {iou.shape}"
        raise CheckpointError("onnx-broken", f"{session.name}: answers with {shapes}, not with {count} of each")


def _stacked(answers: Sequence[tuple[Array, Array, float]]) -> dict[str, Any]:
    """Answers to several prompts as our decoder gives them; there are no pointers."""
    logits, iou, score = zip(*answers, strict=True)
    return {
        "logits": np.stack(logits),
        "iou": np.stack(iou),
        "object_score": np.array(score, np.float32)[:, None],
        "pointers": np.zeros((len(answers), 4, 1), np.float32),
    }


def _backend(
    encoder: Path, device: Device, encode: _Encoder, decode: Graph, no_memory: Array | None = None
) -> OnnxBackend:
    refuse, channels = partial(_refuse, encoder.parent), encode.channels
    nothing = np.zeros(channels) if no_memory is None else no_memory
    tables = {
        "no_memory": nothing.astype(np.float32).reshape(1, -1, 1, 1),
        "no_pointer": np.zeros((1, 1), np.float32),
        "mask_weight": np.zeros((4, 4), np.float32),
        "mask_bias": np.zeros(1, np.float32),
    }
    name = encoder.parent.name  # its trunk is not told
    config = ModelConfig(name, 0, 0, (0, 0, 0, 0), (), input_size=encode.size, channels=channels)
    identity = sha256_of_file(encoder)[:32]
    graphs: dict[Any, Graph] = {"encode": encode, "attend": refuse, "decode": decode, "memorize": refuse}
    return OnnxBackend(config, encode.size, identity, graphs, tables, RuntimeInfo(str(device), "unknown"))


def _refuse(folder: Path, **inputs: Any) -> dict[str, Any]:
    raise BackendError(
        "pictures-only",
        f"{folder}: has no memory graphs: it segments pictures and follows nothing",
        hint="export the checkpoint with `masklet export onnx`",
    )


def _session(path: Path, device: Device) -> Session:
    return Session(str(path), partial(read_onnx, path), device)


def _inputs(session: Session) -> list[str]:
    return [one.name for one in session.load().get_inputs()]


def _kept(path: Path, key: str, count: int) -> Array:
    """So many fractions, an array of an .npz file. Raises `InputNotFound` or `CheckpointError`."""
    with open_input(path) as file:
        try:
            archive = zipfile.ZipFile(file)
            entry = archive.getinfo(f"{key}.npy")
            if entry.file_size > MOST_KEPT:
                raise ValueError(f"{entry.file_size} bytes")
            found = np.load(io.BytesIO(archive.read(entry)), allow_pickle=False)
        except (KeyError, ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as cause:
            raise CheckpointError("checkpoint-corrupt", f"{path}: has no array {key}: {cause}") from cause
    if found.dtype.kind != "f" or found.size != count:
        raise CheckpointError("checkpoint-corrupt", f"{path}: {key} is not {count} fractions, as the encoder has them")
    return np.asarray(found)


def _unexpected(session: Session, wanted: set[str]) -> CheckpointError:
    return CheckpointError(
        "onnx-broken", f"{session.name}: takes {', '.join(_inputs(session))}, not {', '.join(sorted(wanted))}"
    )
