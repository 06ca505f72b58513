"""Run of a request to segment a set of images: image by image, with a log, then the formats that hold all images."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.detectors.detected_objects import detect_objects
from masklet.detectors.detections import identify
from masklet.errors import MaskletError
from masklet.files.atomic import make_folder
from masklet.files.outputs import output_exists
from masklet.formats.csv_measurements import CSV_IMAGES
from masklet.formats.image_dataset import IMAGES, ImageDataset
from masklet.formats.job_folder import FOLDER, list_image_folders, list_new_folders, remove_job
from masklet.image_sets.image_files import SHARED_FORMATS, list_files, needs_image, needs_logits, write_file
from masklet.image_sets.image_log import ImageLog, fingerprint_image
from masklet.image_sets.request import ImageSetRequest, SegmentedImage
from masklet.image_sets.request_checks import check_free, is_logged
from masklet.images import read_image
from masklet.images.spacing import Spacing, read_spacing
from masklet.jobs.fingerprint import fingerprint_prompts
from masklet.jobs.frame_log import FILE_NAME
from masklet.masks.masks import Masks
from masklet.masks.object_detection import ObjectDetection
from masklet.masks.rle_frame import RleFrame, encode_frame
from masklet.masks.tracked_frame import TrackedFrame
from masklet.predict.mask_checks import check_found, check_masks
from masklet.prompts import box
from masklet.segmenter import Segmenter
from masklet.views.view_fields import write_view

Image = NDArray[np.uint8]


def run_request(model: Segmenter, request: ImageSetRequest) -> Iterator[SegmentedImage]:
    """Segment the images of a request that was checked, and write all formats. See `segment_images`."""
    with ExitStack() as stack:
        log, predictor = None, None
        if request.references and not output_exists(request.folder / FOLDER / FILE_NAME):
            predictor = _Referenced(model, request)  # before anything is written
        if is_logged(request):
            if request.overwrite:
                remove_job(request.folder)
            log = stack.enter_context(ImageLog(request.folder / FOLDER, _describe(model, request)))
            log.add_note(**_note_outputs(request))
        run = _Run(model, request, log, predictor)
        for position, path in enumerate(request.images):
            try:
                yield run.segment(position, path)
            except MaskletError as error:
                yield SegmentedImage(path, error=_name_image(error, path))
        run.write_shared()


class _Prediction(NamedTuple):
    """Masks of an image and the seconds that they took. `reference` is None if there are no reference images."""

    masks: Masks
    encode_seconds: float
    decode_seconds: float
    reference: bool | None = None
    detections: tuple[ObjectDetection, ...] = ()


class _Prompted:
    """Prediction from the prompts of each image."""

    def __init__(self, model: Segmenter, request: ImageSetRequest) -> None:
        self._model, self._request = model, request

    def predict(self, path: Path, image: Image) -> _Prediction:
        with _timer() as encoding:
            embedded = self._model.embed(image, lazy=True, warn=False)
        with _timer() as decoding:
            masks = embedded.predict(self._request.prompts_of(path), multimask=self._request.multimask or None)
        encode_seconds = 0.0 if self._model.view.has_regions else encoding[0]  # with regions, `predict` encodes
        return _Prediction(masks, encode_seconds, decoding[0])


class _Referenced:
    """Prediction from reference images. These keep the masks of their prompts."""

    def __init__(self, model: Segmenter, request: ImageSetRequest) -> None:
        self._references = model.references()
        self._marked = {path: self._references.add(path, prompts) for path, prompts in request.prompts.items()}

    def predict(self, path: Path, image: Image) -> _Prediction:
        with _timer() as seconds:
            masks = self._marked[path] if path in self._marked else self._references.segment(image)
        return _Prediction(masks, 0.0, seconds[0], reference=path in self._marked)


class _Detected:
    """Prediction in the boxes of a detector."""

    def __init__(self, model: Segmenter, request: ImageSetRequest) -> None:
        assert request.detector is not None, "the request has a detector"
        self._model, self._detector, self._min_score = model, request.detector, request.min_score

    def predict(self, path: Path, image: Image) -> _Prediction:
        with _timer() as seconds:
            embedded = self._model.embed(image, lazy=True, warn=False)
            objects = detect_objects(embedded, image, self._detector, self._min_score)
        return _Prediction(objects.masks, 0.0, seconds[0], detections=objects.list_detections())


_Predictor = _Prompted | _Referenced | _Detected


class _Run:
    """One run of a request."""

    def __init__(
        self,
        model: Segmenter,
        request: ImageSetRequest,
        log: ImageLog | None,
        predictor: _Predictor | None,
    ) -> None:
        self._model, self._request, self._log, self._predictor = model, request, log, predictor
        self._finished: dict[int, str | RleFrame] = {}  # key in the log, or the masks without a log
        self._labels: dict[tuple[int, int], str | None] = {}
        self._sizes: list[tuple[int, int]] = []
        self._spacings: dict[int, Spacing | None] = {}
        self._shared = [name for name in request.formats if name in SHARED_FORMATS]
        if request.references and not all(map(self._is_finished, request.images)):
            self._get_predictor()  # a reference image that cannot be read ends the run

    def segment(self, position: int, path: Path) -> SegmentedImage:
        """Segment an image, or read its masks from the log, and write its files. Raises `MaskletError`."""
        request = self._request
        files = list_files(path, request.folder, request.formats)
        key = fingerprint_image(path, request.prompts_of(path)) if self._log else None
        known = self._log.read(key) if self._log and key else None
        if known is not None:
            missing = {name: file for name, file in files.items() if not _is_written(file)}
            if not needs_logits(missing):
                return self._restore(position, path, known, key, missing)
        may_replace = request.overwrite or (request.resume and self._log is not None)
        check_free([] if may_replace else files.values())
        make_folder(request.folder)
        image = read_image(path)
        masks, encode_seconds, decode_seconds, reference, detections = self._get_predictor().predict(path, image)
        if request.fill_holes or request.remove_islands:
            masks = masks.postprocess(fill_holes=request.fill_holes, remove_islands=request.remove_islands)
        for name, file in files.items():
            write_file(name, file, masks, image, request.background)
        if key is not None or self._shared:
            self._finish(position, path, encode_frame(TrackedFrame(position, None, masks, detections=detections)), key)
        outputs = {**files, **self._shared_files()}
        return SegmentedImage(path, masks, None, outputs, False, reference, encode_seconds, decode_seconds, detections)

    def write_shared(self) -> None:
        """Write the formats that hold all images."""
        request = self._request
        if not self._finished:
            return
        dataset = ImageDataset(
            IMAGES,
            [path.name for path in request.images],
            request.images,
            _FinishedImages(self._finished, self._log),
            self._labels,
            max(self._sizes),
            lambda position: self._spacings.get(position),
        )
        output = dataset.open_output(request.folder, request.frames)
        for name in self._shared:
            output.write_images(SHARED_FORMATS[name], dataset, skip_existing=request.resume)
            output.write(SHARED_FORMATS[name], dataset)

    def _restore(
        self, position: int, path: Path, known: RleFrame, key: str | None, missing: Mapping[str, Path]
    ) -> SegmentedImage:
        """Return the masks of an image that an earlier run finished, and write files that are missing."""
        request = self._request
        masks = known.decode().masks
        image = read_image(path) if needs_image(missing) else None
        for name, file in missing.items():
            write_file(name, file, masks, image, request.background)
        self._finish(position, path, known, key, is_new=False)
        reference = path in request.prompts if request.references else None
        files = {**list_files(path, request.folder, request.formats), **self._shared_files()}
        prompts = request.prompts_of(path) or {one.object_id: box(*one.box) for one in known.detections}
        masks = replace(masks, warnings=check_masks(masks, prompts) if prompts else check_found(masks))
        return SegmentedImage(path, masks, None, files, resumed=True, reference=reference, detections=known.detections)

    def _is_finished(self, path: Path) -> bool:
        request, log = self._request, self._log
        try:
            return log is not None and log.read(fingerprint_image(path, request.prompts_of(path))) is not None
        except MaskletError:
            return False

    def _finish(self, position: int, path: Path, frame: RleFrame, key: str | None, *, is_new: bool = True) -> None:
        if self._log and key:
            if is_new:
                self._log.append(key, frame)
            self._finished[position] = key
        else:
            self._finished[position] = frame
        self._labels.update({(position, mask.object_id): mask.label for mask in frame})
        self._sizes.append(frame.size)
        if CSV_IMAGES.name in self._shared:
            self._spacings[position] = self._request.spacing or read_spacing(path)

    def _shared_files(self) -> dict[str, Path]:
        return {name: SHARED_FORMATS[name].path_in(self._request.folder) for name in self._shared}

    def _get_predictor(self) -> _Predictor:
        if self._predictor is None:
            request = self._request
            create: Callable[[Segmenter, ImageSetRequest], _Predictor] = (
                _Detected if request.detector else _Referenced if request.references else _Prompted
            )
            self._predictor = create(self._model, request)
        return self._predictor


class _FinishedImages:
    """The masks of the finished images, in their order. They are read one at a time."""

    def __init__(self, finished: Mapping[int, str | RleFrame], log: ImageLog | None) -> None:
        self._finished, self._log = finished, log

    def __iter__(self) -> Iterator[RleFrame]:
        for position, item in self._finished.items():
            frame = self._log.read(item) if self._log and isinstance(item, str) else item
            assert isinstance(frame, RleFrame), "a finished image is in the log"
            yield replace(frame, index=position)


def _is_written(path: Path) -> bool:
    """Return whether a file exists and has content; a crash of the system can leave an empty one."""
    return output_exists(path) and path.stat().st_size > 0


def _describe(model: Segmenter, request: ImageSetRequest) -> dict[str, Any]:
    """Return all settings that the masks of every image depend on. A resumed run must have the same ones."""
    references = {path.name: fingerprint_prompts({0: dict(prompts)}) for path, prompts in request.prompts.items()}
    return {
        "kind": "images",
        **{name: value for name, value in write_view(model.view).items() if value},
        "model": {"name": model.config.name, "weights": model.backend.identity, "size": model.input_size},
        "dtype": str(model.backend.dtype).removeprefix("torch."),
        "cleaning": {"fill_holes": request.fill_holes, "remove_islands": request.remove_islands},
        "multimask": request.multimask,
        **({"references": references} if request.references else {}),
        **({"detector": identify(request.detector), "min_score": request.min_score} if request.detector else {}),
    }


def _note_outputs(request: ImageSetRequest) -> dict[str, list[str]]:
    """Return the note of the outputs of a run, by which `--overwrite` removes them."""
    forms = [SHARED_FORMATS[name] for name in request.formats if name in SHARED_FORMATS]
    folders = list_image_folders(forms) if request.frames not in (None, "none") else []
    return {
        "formats": [form.name for form in forms],
        "created": list_new_folders(forms, request.folder),
        "image_folders": [name for name in folders if not (request.folder / name).exists()],
    }


def _name_image(error: MaskletError, path: Path) -> MaskletError:
    """Return an error whose message names the image."""
    if str(path) in error.message:
        return error
    return type(error)(error.code, f"{path}: {error.message}", hint=error.hint, **error.context)


@contextmanager
def _timer() -> Iterator[list[float]]:
    """Yield a list that gets the seconds of the block when it ends."""
    seconds: list[float] = []
    start = time.perf_counter()
    yield seconds
    seconds.append(time.perf_counter() - start)
