"""Zero-shot detectors of transformers: OWLv2, OWL-ViT, Grounding DINO and MM Grounding DINO.

All classes are detected in one run of the model. The pipeline of transformers runs the model once for each class, and
rounds boxes to whole pixels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masklet.checkpoints.hugging_face import HUB_PREFIX, looks_like_repository
from masklet.detectors.detections import Detections
from masklet.errors import BackendError, CheckpointError, InputNotFound, PromptError, ResourceError, SettingsError
from masklet.files.hashing import sha256, sha256_of_samples

_MIN_SCORES = {"owlv2": 0.1, "owlvit": 0.1, "grounding-dino": 0.25, "mm-grounding-dino": 0.25}
"""Types of models, with the thresholds that transformers has for them by default."""

_CONFIRMATION_SHARE = 0.5  # of `min_score`, from which a detection confirms an object that is tracked already
_SEPARATOR = "."  # between the classes in the text of Grounding DINO
_INSTALL = 'pip install "transformers>=5" "torch>=2.10"'


class ZeroShotModel:
    """A model that detects the classes that a text names. Build it with `load_zero_shot`. It is a `TextDetector`.

    Args:
        name: Folder or name of the model, for messages.
        identity: Text that differs for models with other weights.
        processor: The processor of transformers.
        model: The model of transformers, whose parameters need no gradients.
        min_score: See `ZeroShotDetector`. By default 0.1 for OWL, and 0.25 for Grounding DINO.
    """

    def __init__(self, name: str, identity: str, processor: Any, model: Any, min_score: float | None = None) -> None:
        self.name, self.identity, self.processor, self.model = name, identity, processor, model
        self.kind: str = model.config.model_type
        self.min_score = _MIN_SCORES[self.kind] if min_score is None else min_score

    def __repr__(self) -> str:
        return f"ZeroShotModel({self.name!r}, {self.kind})"

    def __call__(self, classes: tuple[str, ...], /) -> ZeroShotDetector:
        """Return a detector of one or more classes. Raises `PromptError` for a text that is too long for the model."""
        return ZeroShotDetector(self, classes)


class ZeroShotDetector:
    """Detector of classes by a zero-shot model.

    Attributes:
        classes: The classes.
        min_score: Score from which a detection is an object. Detections from half of it on are returned, and confirm
            objects that are tracked already.
        identity: Model, classes and score.
    """

    def __init__(self, model: ZeroShotModel, classes: tuple[str, ...]) -> None:
        self._model, self.classes, self.min_score = model, classes, model.min_score
        self.identity = f"{model.identity} {', '.join(classes)} {self.min_score:g}"
        self._is_grounded = "grounding" in model.kind
        self._text = _join_classes(classes) if self._is_grounded else [[*classes]]
        _check_lengths(model, classes)

    def __repr__(self) -> str:
        return f"ZeroShotDetector({self._model.name!r}, {', '.join(self.classes)})"

    def __call__(self, image: NDArray[np.uint8], /) -> Detections:
        """Return the objects of an image (H, W, 3) uint8 RGB."""
        model, processor = self._model.model, self._model.processor
        threshold, size = _CONFIRMATION_SHARE * self.min_score, (image.shape[0], image.shape[1])
        inputs = processor(images=Image.fromarray(image), text=self._text, return_tensors="pt").to(model.device)
        outputs = model(**inputs)
        labels = {} if self._is_grounded else {"text_labels": [[*self.classes]]}
        (found,) = processor.post_process_grounded_object_detection(
            outputs, threshold=threshold, target_sizes=[size], **labels
        )
        boxes, names, scores = _to_array(found["boxes"]), found["text_labels"], _to_array(found["scores"])
        if self._is_grounded:  # the names are then the tokens above the threshold, which may be those of two classes
            by_token = _to_array(outputs.logits[0].sigmoid())
            by_token = by_token[by_token.max(axis=1) > threshold]  # the queries that were found
            numbers, scores = self._classify(inputs["input_ids"][0].tolist(), by_token)
            names = [self.classes[number] for number in numbers]
        return _select_inside(boxes, names, scores, threshold, size)

    def _classify(
        self, tokens: list[int], scores: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the class of each query and its score: the highest score of a token of the class.

        Args:
            tokens: Tokens of the text.
            scores: Scores (Q, T) of Q queries for each token.
        """
        separator = self._model.processor.tokenizer.convert_tokens_to_ids(_SEPARATOR)
        ends = [position for position, token in enumerate(tokens) if token == separator][: len(self.classes)]
        spans = zip([1, *(end + 1 for end in ends)], ends, strict=False)  # the first token stands for the whole text
        by_class = np.stack([scores[:, start:end].max(axis=1) for start, end in spans], axis=1)
        return by_class.argmax(axis=1), by_class.max(axis=1)


def load_zero_shot(name: str, *, min_score: float | None = None, device: str | None = None) -> ZeroShotModel:
    """Load a zero-shot detection model of transformers.

    Only weights in safetensors files are read, and no code of a repository is run.

    Args:
        name: A folder, or the name of a model of the Hugging Face Hub, `owner/name` or `owner/name@revision`, which
            transformers downloads to its cache.
        min_score: See `ZeroShotDetector`.
        device: Device of PyTorch. By default the first available of CUDA, MPS and CPU.

    Raises:
        BackendError: `backend-missing`. transformers or PyTorch is not installed.
        InputNotFound: There is no such folder or model.
        CheckpointError: It is not such a model, or damaged.
        ResourceError: The device is not available, or the download failed.
        SettingsError: `min_score` is not in (0, 1].
    """
    if min_score is not None and not 0 < min_score <= 1:
        raise SettingsError("bad-usage", f"the score of a detection must be above 0 and at most 1, got {min_score:g}")
    check_source(name)
    folder, repository = Path(name), name.removeprefix(HUB_PREFIX)
    from masklet.backends.torch_device import select_device

    target = select_device(device)
    with _translate_errors(name, is_folder=folder.is_dir()):
        processor, model = _read_model(name if folder.is_dir() else repository, is_folder=folder.is_dir())
    _check_resizing(model.config.model_type)
    if model.config.model_type not in _MIN_SCORES:
        message = f"{name} is a {model.config.model_type} model; detectors are {', '.join(_MIN_SCORES)}"
        raise CheckpointError("checkpoint-mismatch", message)
    identity = _hash_weights(folder) if folder.is_dir() else f"{repository} {model.config._commit_hash}"
    return ZeroShotModel(name, identity, processor, model.requires_grad_(False).eval().to(target), min_score)


def check_source(name: str) -> None:
    """Raise `BackendError` if a library is missing, and `InputNotFound` for a name of neither a folder nor a model."""
    missing = [library for library in ("transformers", "torch") if find_spec(library) is None]
    if missing:
        message = f"text prompts need {' and '.join(missing)}, which is not installed"
        raise BackendError("backend-missing", message, hint=f"{_INSTALL}, or give a detector as MODULE:NAME")
    repository = name.removeprefix(HUB_PREFIX).partition("@")[0]
    if not Path(name).is_dir() and not looks_like_repository(repository):
        message = f"there is no folder {name}; give a folder, a model as owner/name, or MODULE:NAME"
        raise InputNotFound("input-not-found", message, path=name)


def _check_resizing(kind: str) -> None:
    """Raise `BackendError` if OWLv2 cannot resize images: transformers needs one of two libraries for that."""
    if kind == "owlv2" and find_spec("scipy") is None and find_spec("torchvision") is None:
        message = "OWLv2 of transformers needs scipy to resize images, which is not installed"
        raise BackendError("backend-missing", message, hint="pip install scipy")


def _read_model(name: str, *, is_folder: bool) -> tuple[Any, Any]:
    from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

    source, _, revision = (name, "", "") if is_folder else name.partition("@")
    options = {"revision": revision or "main", "local_files_only": is_folder, "trust_remote_code": False}
    weights = {"use_safetensors": True, "dtype": "float32"}
    with _quiet():
        processor = AutoProcessor.from_pretrained(source, **options)
        return processor, AutoModelForZeroShotObjectDetection.from_pretrained(source, **weights, **options)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the notes of transformers about its image processors, and its progress bar of reading weights."""
    from transformers.utils import logging

    verbosity, has_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bar:
            logging.enable_progress_bar()


@contextmanager
def _translate_errors(name: str, *, is_folder: bool) -> Iterator[None]:
    """Raise masklet's errors in place of those of transformers, most of which are `OSError` and `ValueError`."""
    try:
        yield
    except Exception as cause:
        reason = " ".join(str(cause).split())[:300]
        if is_folder:
            message = f"{name} is not a detection model that transformers can load ({type(cause).__name__}: {reason})"
            hint = "a folder has config.json, model.safetensors, and the files of the processor"
            raise CheckpointError("checkpoint-unknown-format", message, hint=hint) from cause
        if any(kind.__name__ == "RepositoryNotFoundError" for kind in type(cause.__cause__).__mro__):
            message = f"{name} is neither a folder nor a model of the Hugging Face Hub"
            raise InputNotFound("input-not-found", message, path=name) from cause
        message = f"{name} is no folder, and could not be loaded from the Hugging Face Hub ({reason})"
        raise ResourceError("download-failed", message) from cause


def _hash_weights(folder: Path) -> str:
    return sha256("".join(sha256_of_samples(path) for path in sorted(folder.glob("*.safetensors"))).encode())


def _join_classes(classes: Sequence[str]) -> str:
    """Return the text of Grounding DINO. Its separators and question marks end a class, so they become spaces."""
    words = [" ".join(re.sub(r"[.?]", " ", name).lower().split()) for name in classes]
    if "" in words:
        raise PromptError("bad-prompt", f"the class {classes[words.index('')]!r} has no word")
    return f"{_SEPARATOR} ".join(words) + _SEPARATOR


def _check_lengths(model: ZeroShotModel, classes: Sequence[str]) -> None:
    """Raise `PromptError` for classes with more tokens than the model takes."""
    tokenizer, text = model.processor.tokenizer, model.model.config.text_config
    if "grounding" in model.kind:
        count, most = len(tokenizer(_join_classes(classes))["input_ids"]), model.model.config.max_text_len
        if count > most:
            message = f"the classes have {count} tokens, but {model.name} takes {most}; give fewer classes"
            raise PromptError("bad-prompt", message)
        return
    for name in classes:
        count, most = len(tokenizer(name)["input_ids"]), text.max_position_embeddings
        if count > most:
            message = f"the class {name!r:.60} has {count} tokens, but {model.name} takes {most}; shorten it"
            raise PromptError("bad-prompt", message)


def _select_inside(
    boxes: NDArray[np.float32],
    names: Sequence[str],
    scores: NDArray[np.float32],
    threshold: float,
    size: tuple[int, int],
) -> Detections:
    """Select the boxes of at least one pixel of the image. OWLv2 pads images to squares and finds boxes beside them."""
    height, width = size
    boxes = boxes.clip(0, [width, height, width, height])
    rows = np.flatnonzero((boxes[:, 2:] - boxes[:, :2] >= 1).all(axis=1) & (scores > threshold))
    return Detections(boxes[rows], [names[row] for row in rows.tolist()], scores[rows])


def _to_array(tensor: Any) -> NDArray[Any]:
    return np.asarray(tensor.float().cpu().numpy())
