"""OWLv2 and Grounding DINO of transformers as detectors: tiny models with random weights, from local folders."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import masklet  # noqa: E402
from masklet.cli.main import main  # noqa: E402
from masklet.detectors import zero_shot  # noqa: E402
from masklet.detectors.detections import run_detector  # noqa: E402
from masklet.detectors.load import load_detector, load_text_detector  # noqa: E402
from masklet.detectors.zero_shot import ZeroShotModel  # noqa: E402
from masklet.errors import BackendError, CheckpointError, PromptError, ResourceError  # noqa: E402
from masklet.formats import read_masks  # noqa: E402
from support.tiny_detectors import save_grounding_dino, save_owlv2  # noqa: E402

Folder = Callable[[str], Path]
SAVE = {"owlv2": save_owlv2, "grounding-dino": save_grounding_dino}
CLASSES = ("black cat", "dog", "car")
MIN_SCORE = 0.02
IMAGE = np.random.default_rng(0).integers(0, 255, (60, 90, 3)).astype(np.uint8)


@pytest.fixture(autouse=True)
def without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail on any connection."""

    def refuse(*arguments: Any) -> None:
        raise AssertionError("a detector in a folder needs no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    """A function that returns the folder of a type of model."""
    parent = tmp_path_factory.mktemp("models")
    yield lambda kind: parent / kind if (parent / kind).exists() else SAVE[kind](parent / kind)


def run_reference(model: ZeroShotModel, text: Any, **options: Any) -> tuple[dict[str, Any], Any, Any]:
    """Return what transformers finds in the image, its outputs, and the tokens of the text."""
    import torch

    inputs = model.processor(images=Image.fromarray(IMAGE), text=text, return_tensors="pt")
    with torch.no_grad():
        outputs = model.model(**inputs)
    (found,) = model.processor.post_process_grounded_object_detection(
        outputs, threshold=MIN_SCORE / 2, target_sizes=[IMAGE.shape[:2]], **options
    )
    return found, outputs, inputs["input_ids"][0].tolist()


def clip(boxes: Any) -> NDArray[np.float32]:
    return np.asarray(boxes.numpy().clip(0, [90, 60, 90, 60]))


@pytest.mark.parametrize("kind", SAVE)
def test_boxes_and_scores_are_those_of_transformers(kind: str, folder: Folder) -> None:
    model: Any = load_text_detector(str(folder(kind)), min_score=MIN_SCORE)
    text, options = ("black cat. dog. car.", {}) if kind != "owlv2" else ([[*CLASSES]], {"text_labels": [[*CLASSES]]})
    found, outputs, tokens = run_reference(model, text, **options)
    boxes, inside = clip(found["boxes"]), (np.diff(clip(found["boxes"])[:, [[0, 2], [1, 3]]])[..., 0] >= 1).all(axis=1)
    detections = model(CLASSES)(IMAGE)
    assert len(detections) > 1 and set(detections.labels) <= set(CLASSES)
    if kind == "owlv2":
        assert detections.boxes.tolist() == boxes[inside].tolist()
        assert detections.scores.tolist() == found["scores"].numpy()[inside].tolist()
        assert [*detections.labels] == [name for name, one in zip(found["text_labels"], inside, strict=True) if one]
        return
    scores = outputs.logits[0].sigmoid().numpy()
    words = model.processor.tokenizer.convert_ids_to_tokens(tokens)
    assert words == ["[CLS]", "black", "cat", ".", "dog", ".", "car", ".", "[SEP]"]
    by_class = np.stack([scores[:, [1, 2]].max(1), scores[:, 4], scores[:, 6]], axis=1)
    rows = np.flatnonzero(scores.max(1) > MIN_SCORE / 2)[inside]
    rows = rows[by_class[rows].max(1) > MIN_SCORE / 2]
    assert [*detections.labels] == [CLASSES[number] for number in by_class[rows].argmax(1)]
    assert detections.scores.tolist() == by_class[rows].max(1).tolist()
    assert {tuple(box) for box in detections.boxes.tolist()} <= {tuple(box) for box in boxes.tolist()}
    assert len({*detections.labels}) > 1


@pytest.mark.parametrize("kind", SAVE)
def test_a_detector_is_used_on_images_and_videos(
    kind: str, folder: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = tmp_path / "clip"
    frames.mkdir()
    for t in range(4):
        Image.fromarray(np.roll(IMAGE, t, axis=1)).save(frames / f"{t:03d}.png")
    detector = load_detector(str(folder(kind)), "black cat, dog, car", min_score=MIN_SCORE)
    masks, detections = masklet.load().detect(frames / "000.png", detector)
    assert len(masks) == len(detections) > 0 and masks.labels == detections.labels
    assert np.all(np.diff(detections.scores) <= 0) and masks.areas.all()
    words = ["--detect", "black cat,dog, car", "--detector", str(folder(kind)), "--detect-score", str(MIN_SCORE)]
    assert main(["segment", str(frames), *words, "--out", str(tmp_path / "out"), "--format", "coco", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)["pictures"]
    assert len(records) == 4 and [one["label"] for one in records[0]["objects"]] == [*masks.labels]
    first = next(iter(read_masks(tmp_path / "out" / "coco.json"))).masks
    assert sorted(first.labels) == sorted(masks.labels)
    options = ["--detect-every", "2", "--most", "5", "--format", "coco,png", "--json"]
    assert main(["track", str(frames), *words, *options, "--out", str(tmp_path / "track")]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["objects"] and all(one["label"] in CLASSES for one in record["objects"])
    assert all(one["detection_score"] >= MIN_SCORE for one in record["objects"])
    assert {label for frame in read_masks(record["files"]["png"]) for label in frame.masks.labels} <= {*CLASSES}


@pytest.mark.parametrize("kind", SAVE)
def test_results_depend_on_nothing_else(kind: str, folder: Folder) -> None:
    model: Any = load_text_detector(str(folder(kind)), min_score=MIN_SCORE, device="cpu")
    detector = model(CLASSES)
    first, second = run_detector(detector, IMAGE), run_detector(model(CLASSES), IMAGE)
    assert first.boxes.tolist() == second.boxes.tolist() and first.labels == second.labels
    assert detector.identity == model(CLASSES).identity != model(CLASSES[:2]).identity
    assert repr(detector) == f"ZeroShotDetector({str(folder(kind))!r}, black cat, dog, car)"
    assert detector.min_score == MIN_SCORE and not any(one.requires_grad for one in model.model.parameters())
    assert all(len(run_detector(model(("cat",)), IMAGE[:h, :w])) >= 0 for h, w in ((60, 20), (30, 90)))


def test_scores_have_the_defaults_of_transformers(folder: Folder) -> None:
    assert [load_text_detector(str(folder(kind))).min_score for kind in SAVE] == [0.1, 0.25]


def test_classes_that_a_model_cannot_take_are_refused(folder: Folder) -> None:
    owl, grounding = (load_text_detector(str(folder(kind)), min_score=MIN_SCORE) for kind in SAVE)
    with pytest.raises(PromptError, match=r"the class 'a{40}' has 42 tokens.*takes 16; shorten it"):
        owl(("a" * 40,))
    with pytest.raises(PromptError, match=r"takes 32; give fewer classes"):
        grounding(tuple(f"{word} cat" for word in ("dog " * number for number in range(1, 8))))
    with pytest.raises(PromptError, match="has no word"):
        grounding(("dog", "..?"))
    assert {*grounding(("Dog.", "BLACK cat?"))(IMAGE).labels} <= {"Dog.", "BLACK cat?"}


def test_folders_without_a_detection_model_are_refused(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for kind in ("other", "damaged", "pickled"):
        shutil.copytree(folder("owlv2"), tmp_path / kind)
    config = json.loads((tmp_path / "other" / "config.json").read_text())
    (tmp_path / "other" / "config.json").write_text(json.dumps({**config, "model_type": "clip"}))
    weights = tmp_path / "damaged" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    (tmp_path / "pickled" / "model.safetensors").rename(tmp_path / "pickled" / "pytorch_model.bin")
    for name in ("empty", "other", "damaged", "pickled"):
        with pytest.raises(CheckpointError, match="is not a detection model") as raised:
            load_text_detector(str(tmp_path / name))
        assert raised.value.code == "checkpoint-unknown-format" and "model.safetensors" in raised.value.hint


def test_a_model_of_the_hub_that_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ResourceError, match="no-such-owner/no-such-model is no folder") as raised:
        load_text_detector("no-such-owner/no-such-model")
    assert raised.value.code == "download-failed"


def test_owlv2_needs_scipy(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    find = zero_shot.find_spec
    monkeypatch.setattr(zero_shot, "find_spec", lambda name: None if name in ("scipy", "torchvision") else find(name))
    with pytest.raises(BackendError, match="needs scipy") as raised:
        load_text_detector(str(folder("owlv2")))
    assert raised.value.code == "backend-missing" and raised.value.hint == "pip install scipy"
    load_text_detector(str(folder("grounding-dino")))


def test_a_device_that_is_missing_is_named(folder: Folder) -> None:
    with pytest.raises(ResourceError) as raised:
        load_text_detector(str(folder("grounding-dino")), device="cuda:99")
    assert raised.value.code == "device-unavailable"
