"""TIFF files: opened so that libtiff decodes planes, and without the messages of libtiff on standard error."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from PIL import TiffImagePlugin, _imaging

_BITS, _COMPRESSION, _PHOTOMETRIC, _BANDS, _PLANAR, _EXTRA, _SAMPLE_FORMAT = 258, 259, 262, 277, 284, 338, 339  # tags
_SUBSAMPLING = 530  # tag
_UNCOMPRESSED, _LZW = 1, 5  # values of _COMPRESSION
_COLOR_BANDS = {2: 3, 5: 4, 6: 3, 8: 3}  # by _PHOTOMETRIC; others have one band
_YCBCR, _LAB = 6, 8  # values of _PHOTOMETRIC
_INTERLEAVED, _PLANES = 1, 2  # values of _PLANAR
_SIGNED = 2  # value of _SAMPLE_FORMAT
_KINDS = {1: "unsigned", 2: "signed", 3: "floating-point", 6: "complex"}


class TiffFile(TiffImagePlugin.TiffImageFile):
    """A TIFF that is decoded as it is, or refused with the reason.

    Pillow decodes uncompressed files itself and gives others to libtiff. It takes planes of 16 bits for planes of 8,
    refuses planes beyond the colors, and takes subsampled colors for complete ones; libtiff decodes all of them.
    """

    def _setup(self) -> None:
        tags: Any = self.tag_v2
        planes = tags.get(_PLANAR)
        if planes == _PLANES and tags.get(_BANDS, 1) == 1:
            tags[_PLANAR] = _INTERLEAVED  # the same for one band
        is_uncompressed = _needs_libtiff(tags)
        if is_uncompressed:
            tags[_COMPRESSION] = _LZW  # libtiff reads the tag itself
        try:
            super()._setup()
        except SyntaxError as cause:
            if "unknown" in str(cause):
                raise _unsupported(tags) from cause
            raise
        except KeyError as cause:
            raise SyntaxError(f"unsupported compression {tags.get(_COMPRESSION)}") from cause
        finally:
            if is_uncompressed:
                tags[_COMPRESSION] = _UNCOMPRESSED
            if planes is not None:
                tags[_PLANAR] = planes
        if is_uncompressed:
            self.info["compression"] = self._compression = "raw"
        if (self.mode == "L" and _SIGNED in tags.get(_SAMPLE_FORMAT, ())) or _has_unknown_planes(self):
            raise _unsupported(tags)


def reopen(image: TiffImagePlugin.TiffImageFile) -> TiffImagePlugin.TiffImageFile:
    """Open the file of an image that Pillow opened and has not decoded yet, at the same page, as a `TiffFile`."""
    handle: IO[bytes] | None = image.fp
    if handle is None or not image.tile or isinstance(image, TiffFile):
        return image
    page = image.tell()
    handle.seek(0)
    opened = TiffFile(handle)
    opened.seek(page)
    return opened


def _needs_libtiff(tags: Any) -> bool:
    """Return whether Pillow does not decode an uncompressed file correctly."""
    if tags.get(_COMPRESSION, _UNCOMPRESSED) != _UNCOMPRESSED:
        return False
    if tags.get(_PHOTOMETRIC) == _YCBCR and tags.get(_SUBSAMPLING, (1, 1)) != (1, 1):
        return True
    return tags.get(_PLANAR) == _PLANES and (max(tags.get(_BITS, (1,))) > 8 or bool({0, 1} & {*tags.get(_EXTRA, ())}))


def _has_unknown_planes(image: TiffFile) -> bool:
    """Return whether an image has planes that neither Pillow nor libtiff decodes correctly."""
    tags: Any = image.tag_v2
    photometric, extra = tags.get(_PHOTOMETRIC), {*tags.get(_EXTRA, ())}
    if tags.get(_PLANAR) != _PLANES or tags.get(_BANDS, 1) == 1:
        return False
    is_undeclared = tags.get(_BANDS, 1) > _COLOR_BANDS.get(photometric, 1) and not extra
    is_mixed = 0 in extra and len(extra) > 1
    is_undecoded = image.mode in {"LA", "PA"} or photometric in {_YCBCR, _LAB}
    return is_undecoded or is_mixed or (is_undeclared and image.use_load_libtiff)


def _unsupported(tags: Any) -> SyntaxError:
    kind = _KINDS.get(next(iter(tags.get(_SAMPLE_FORMAT, ())), 1), "other")
    arrangement = "planes" if tags.get(_PLANAR) == _PLANES else "bands"
    bits = "/".join(map(str, sorted(set(tags.get(_BITS, (1,))))))
    return SyntaxError(f"unsupported pixels: {tags.get(_BANDS, 1)} {arrangement} of {bits}-bit {kind} numbers")


class _ErrorHandler:
    """The function of libtiff that writes messages to standard error. It belongs to the process."""

    def __init__(self) -> None:
        self._lock, self._users, self._former = threading.Lock(), 0, None
        try:
            self._set: Any = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler
        except (OSError, AttributeError):  # libtiff is linked in another way
            self._set = lambda handler: None
        self._set.restype, self._set.argtypes = ctypes.c_void_p, [ctypes.c_void_p]

    def remove(self) -> None:
        """Remove the function until `restore` has been called as often."""
        with self._lock:
            if not self._users:
                self._former = self._set(None)
            self._users += 1

    def restore(self) -> None:
        """Restore the function when nobody needs its absence."""
        with self._lock:
            self._users -= 1
            if not self._users:
                self._set(self._former)


_error_handler = _ErrorHandler()


@contextmanager
def silence_libtiff() -> Iterator[None]:
    """Keep libtiff from writing to standard error. Its errors are raised as exceptions too."""
    _error_handler.remove()
    try:
        yield
    finally:
        _error_handler.restore()
