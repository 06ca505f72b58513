"""Embeddings of the studio: encoded frames of a project within a budget, for predictions and previews."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from masklet.predict.embedded_image import EmbeddedImage
from masklet.segmenter import Segmenter
from masklet.studio.frames import DecodedFrames
from masklet.views.encoded_frame import EncodedFrame, FeatureCache
from masklet.views.view import WHOLE_VIEW

MAX_FEATURE_BYTES = 512 << 20
"""Budget of encoded regions: 32 with a released model at 1024 pixels, over 1000 with nano at 256."""

_MAX_IMAGE_BYTES = 256 << 20
_FRAMES_PER_MEDIUM = 1 << 32

ReportBusy = Callable[["str | None", int, int], object]
"""Called with "decoding" or "encoding", medium and frame before these begin, and with None at the end."""


class Embeddings:
    """Encoded frames of images and videos. Only the thread of the inference engine uses it.

    The whole frame and the crops of a zoom are encoded when they are first needed. The least recently used ones are
    dropped beyond the budget, and encoded again when they are needed again.

    Args:
        model: The model.
        frames: Decoded frames.
        report_busy: See `ReportBusy`.
        max_feature_bytes: Budget of encoded regions.
        max_image_bytes: Budget of images.
    """

    def __init__(
        self,
        model: Segmenter,
        frames: DecodedFrames,
        report_busy: ReportBusy = lambda what, medium, frame: None,
        *,
        max_feature_bytes: int = MAX_FEATURE_BYTES,
        max_image_bytes: int = _MAX_IMAGE_BYTES,
    ) -> None:
        self.model = model
        self._frames, self._report_busy, self._max_image_bytes = frames, report_busy, max_image_bytes
        self._cache = FeatureCache(model.backend, max_feature_bytes)
        self._opened: OrderedDict[tuple[int, int], EncodedFrame] = OrderedDict()

    @property
    def uses_whole_frames(self) -> bool:
        """Whether a click is first predicted on the whole frame."""
        view = self.model.view
        return view.looks > 0 or not view.has_regions

    def open(self, medium: int, frame: int) -> EmbeddedImage:
        """Return a frame for predictions by the view of the model. It is encoded by the first one."""
        return EmbeddedImage(self._open(medium, frame), self.model.view)

    def open_whole(self, medium: int, frame: int) -> EmbeddedImage:
        """Return a frame for predictions on the whole frame."""
        return EmbeddedImage(self._open(medium, frame), WHOLE_VIEW)

    def is_encoded(self, medium: int, frame: int) -> bool:
        """Return whether the whole frame is encoded."""
        return self._cache.get((_number(medium, frame), None)) is not None

    def encode(self, medium: int, frame: int, *, in_advance: bool = False) -> None:
        """Encode the whole frame if it is not encoded.

        Args:
            medium: The image or video.
            frame: The frame.
            in_advance: Nobody waits for it, so that it is not reported.

        Raises:
            MaskletError: The frame cannot be read.
        """
        if self.is_encoded(medium, frame):
            return
        report = self._report_busy if not in_advance else lambda what, medium, frame: None
        try:
            if not self._frames.has(medium, frame):
                report("decoding", medium, frame)
            opened = self._open(medium, frame)
            report("encoding", medium, frame)
            opened.encode(None)
        finally:
            report(None, medium, frame)

    def _open(self, medium: int, frame: int) -> EncodedFrame:
        opened = self._opened.get((medium, frame))
        if opened is None:
            image = self._frames.read(medium, frame)
            opened = EncodedFrame(self.model.backend, image, self._cache, _number(medium, frame))
            self._opened[medium, frame] = opened
        self._opened.move_to_end((medium, frame))
        while self._count_bytes() > self._max_image_bytes and len(self._opened) > 1:
            self._opened.popitem(last=False)
        return opened

    def _count_bytes(self) -> int:
        return sum(3 * one.size[0] * one.size[1] for one in self._opened.values())


def _number(medium: int, frame: int) -> int:
    """Return the number of a frame among those of all images and videos."""
    return medium * _FRAMES_PER_MEDIUM + frame
