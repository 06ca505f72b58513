"""DICOM segmentation: the masks of a DICOM series as a SEG object, a binary segment for each object.

The patient, the study, the frame of reference and the geometry are those of the series. Frames are written only where
an object has a mask; they refer to the slices of which they are masks.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from masklet.errors import SettingsError
from masklet.files.names import replace_surrogates
from masklet.formats.format import Clip, FileFormat
from masklet.masks import rle
from masklet.masks.overlay import pick_color
from masklet.masks.rle_frame import RleFrame
from masklet.video.stacks.open import require_library

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from masklet.video.stacks.dicom_series import Slice

_SEG_CLASS = "1.2.840.10008.5.1.4.1.1.66.4"  # Segmentation Storage
_COPIED = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "StudyInstanceUID", "StudyDate"),
    *("StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName", "StudyDescription", "FrameOfReferenceUID"),
    *("PositionReferenceIndicator", "SpecificCharacterSet"),
)  # fmt: skip
_EMPTY = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
          "AccessionNumber", "ReferringPhysicianName")  # fmt: skip
_TISSUE = ("85756007", "SCT", "Tissue")
_DERIVED = ("113076", "DCM", "Segmentation")
_SOURCE_IMAGE = ("121322", "DCM", "Source image for image processing operation")
_MAX_TEXT = 64  # characters of a label in DICOM


class _SegmentFrame(NamedTuple):
    """A mask that is written: the number of its segment from 1, and the index of its slice."""

    segment: int
    slice_index: int


def check(video: Any) -> None:
    """Raise `SettingsError` if a video is no DICOM series, and `BackendError` if pydicom is missing."""
    require_library("pydicom")
    if getattr(video, "kind", None) != "dicom":
        message = "format 'dicom_seg' needs the geometry of a DICOM series; choose nifti or tiff for other videos"
        raise SettingsError("bad-usage", message)


def write(handle: BinaryIO, frames: Iterable[RleFrame], clip: Clip) -> None:
    """Write a SEG object. Bits of all frames are packed one after the other, as DICOM requires."""
    check(clip.video)
    import pydicom

    slices: Sequence[Slice] = clip.video.reader.slices  # type: ignore[union-attr]
    source = pydicom.dcmread(slices[0].path, stop_before_pixels=True)
    ids = [one for one in clip.object_ids if any(not _is_empty(frame, one) for frame in frames)] or [*clip.object_ids]
    written = [
        _SegmentFrame(number, frame.index)
        for number, one in enumerate(ids, start=1)
        for frame in frames
        if not _is_empty(frame, one)
    ]
    seg = _make_object(source, slices, clip)
    seg.SegmentSequence = [_make_segment(number, one, clip) for number, one in enumerate(ids, start=1)]
    seg.NumberOfFrames = max(1, len(written))
    _add_geometry(seg, source, slices)
    seg.PerFrameFunctionalGroupsSequence = [_make_groups(one, slices) for one in written or [_SegmentFrame(1, 0)]]
    seg.PixelData = _pack(frames, ids, clip.size)
    seg["PixelData"].VR = "OB"
    pydicom.dcmwrite(handle, seg, enforce_file_format=True)


DICOM_SEG = FileFormat("dicom_seg", "masks.dcm", write, check=check)


def _is_empty(frame: RleFrame, object_id: int) -> bool:
    mask = frame.of(object_id)
    return mask is None or not rle.compute_area(mask.rle)


def _pack(frames: Iterable[RleFrame], ids: Sequence[int], size: tuple[int, int]) -> bytes:
    """Pack masks to bits without gaps between frames, the first pixel in the lowest bit."""
    packed, rest = [], np.zeros(0, bool)
    for mask in _decode_masks(frames, ids):
        bits = np.concatenate([rest, mask.ravel()])
        whole = len(bits) // 8 * 8
        packed.append(np.packbits(bits[:whole], bitorder="little").tobytes())
        rest = bits[whole:]
    packed.append(np.packbits(rest, bitorder="little").tobytes())
    data = b"".join(packed) or bytes((size[0] * size[1] + 7) // 8)
    return data + bytes(len(data) % 2)


def _decode_masks(frames: Iterable[RleFrame], ids: Sequence[int]) -> Iterator[Any]:
    for one in ids:
        for frame in frames:
            mask = frame.of(one)
            if mask is not None and rle.compute_area(mask.rle):
                yield rle.decode(mask.rle)


def _make_object(source: Dataset, slices: Sequence[Slice], clip: Clip) -> Dataset:
    """Make the SEG object without frames."""
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    import masklet

    seg = pydicom.Dataset()
    for name in _EMPTY:
        setattr(seg, name, "")
    for name in _COPIED:
        if name in source:
            seg[name] = source[name]
    if "FrameOfReferenceUID" in seg and "PositionReferenceIndicator" not in seg:
        seg.PositionReferenceIndicator = ""
    now = datetime.datetime.now()
    seg.SOPClassUID, seg.SOPInstanceUID, seg.SeriesInstanceUID = _SEG_CLASS, generate_uid(), generate_uid()
    seg.Modality, seg.SeriesNumber, seg.InstanceNumber = "SEG", int(source.get("SeriesNumber") or 0) + 1000, 1
    seg.SeriesDescription = "Segmentation by masklet"
    seg.Manufacturer, seg.ManufacturerModelName, seg.DeviceSerialNumber = "masklet", "masklet", "0"
    seg.SoftwareVersions = masklet.__version__
    seg.ContentDate = seg.SeriesDate = seg.InstanceCreationDate = now.strftime("%Y%m%d")
    seg.ContentTime = seg.SeriesTime = seg.InstanceCreationTime = now.strftime("%H%M%S")
    seg.ContentLabel, seg.ContentDescription, seg.ContentCreatorName = "SEGMENTATION", "Masks of objects", ""
    seg.ImageType, seg.LossyImageCompression = ["DERIVED", "PRIMARY"], "00"
    seg.SegmentationType, seg.SegmentsOverlap = "BINARY", "UNDEFINED"
    seg.SamplesPerPixel, seg.PhotometricInterpretation, seg.PixelRepresentation = 1, "MONOCHROME2", 0
    seg.BitsAllocated, seg.BitsStored, seg.HighBit = 1, 1, 0
    seg.Rows, seg.Columns = clip.size
    seg.ReferencedSeriesSequence = [_reference_series(slices)]
    seg.file_meta = FileMetaDataset()
    seg.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return seg


def _reference_series(slices: Sequence[Slice]) -> Dataset:
    unique = {one.header.SOPInstanceUID: one for one in slices}
    return _item(
        SeriesInstanceUID=slices[0].header.SeriesInstanceUID,
        ReferencedInstanceSequence=[_reference_image(one) for one in unique.values()],
    )


def _reference_image(one: Slice, **fields: Any) -> Dataset:
    header = one.header
    return _item(ReferencedSOPClassUID=header.SOPClassUID, ReferencedSOPInstanceUID=header.SOPInstanceUID, **fields)


def _make_segment(number: int, object_id: int, clip: Clip) -> Dataset:
    label = replace_surrogates(clip.labels.get(object_id) or f"object {object_id}")[:_MAX_TEXT].replace("\\", "/")
    return _item(
        SegmentNumber=number,
        SegmentLabel=label,
        SegmentDescription=f"object {object_id}",
        SegmentAlgorithmType="SEMIAUTOMATIC",
        SegmentAlgorithmName="masklet",
        TrackingID=f"object {object_id}",
        TrackingUID=_make_tracking_uid(clip, object_id),
        RecommendedDisplayCIELabValue=_to_cielab(pick_color(object_id)),
        SegmentedPropertyCategoryCodeSequence=[_code(_TISSUE)],
        SegmentedPropertyTypeCodeSequence=[_code(_TISSUE)],
    )


def _make_tracking_uid(clip: Clip, object_id: int) -> str:
    from pydicom.uid import generate_uid

    series = clip.video.reader.slices[0].header.SeriesInstanceUID  # type: ignore[union-attr]
    return generate_uid(entropy_srcs=["masklet", str(series), str(object_id)])


def _add_geometry(seg: Dataset, source: Dataset, slices: Sequence[Slice]) -> None:
    """Add the dimensions and the functional groups that all frames share."""
    from pydicom.uid import generate_uid

    organization = generate_uid(entropy_srcs=["masklet", str(seg.SOPInstanceUID)])
    seg.DimensionOrganizationSequence = [_item(DimensionOrganizationUID=organization)]
    has_positions = slices[0].position is not None and slices[0].orientation is not None
    # Segment number, and position in the patient or the number of the referenced frame.
    places = [(0x0062000B, 0x0062000A), (0x00200032, 0x00209113) if has_positions else (0x00201041, 0x00209111)]
    seg.DimensionIndexSequence = [
        _item(
            DimensionOrganizationUID=organization,
            DimensionIndexPointer=pointer,
            FunctionalGroupPointer=group,
        )
        for pointer, group in places
    ]
    shared: dict[str, Any] = {}
    spacing = slices[0].find("PixelSpacing", "PixelMeasuresSequence")
    if spacing:
        distance = _measure_distance(slices)
        extra = {"SpacingBetweenSlices": distance, "SliceThickness": distance} if distance else {}
        shared["PixelMeasuresSequence"] = [_item(PixelSpacing=spacing, **extra)]
    if slices[0].orientation is not None:
        orientation = [*slices[0].orientation]
        shared["PlaneOrientationSequence"] = [_item(ImageOrientationPatient=orientation)]
    seg.SharedFunctionalGroupsSequence = [_item(**shared)]


def _measure_distance(slices: Sequence[Slice]) -> float | None:
    """Return the distance of neighboring slices in millimetres."""
    if len(slices) > 1 and slices[0].position is not None and slices[1].position is not None:
        return float(np.linalg.norm(np.subtract(slices[1].position, slices[0].position)).round(6))
    thickness = slices[0].find("SliceThickness", "PixelMeasuresSequence")
    return float(thickness) if thickness else None


def _make_groups(frame: _SegmentFrame, slices: Sequence[Slice]) -> Dataset:
    one = slices[frame.slice_index]
    number = {"ReferencedFrameNumber": one.frame + 1} if "NumberOfFrames" in one.header else {}
    image = _reference_image(
        one, **number, SpatialLocationsPreserved="YES", PurposeOfReferenceCodeSequence=[_code(_SOURCE_IMAGE)]
    )
    derivation = _item(DerivationCodeSequence=[_code(_DERIVED)], SourceImageSequence=[image])
    groups = _item(
        FrameContentSequence=[_item(DimensionIndexValues=[frame.segment, frame.slice_index + 1])],
        SegmentIdentificationSequence=[_item(ReferencedSegmentNumber=frame.segment)],
        DerivationImageSequence=[derivation],
    )
    if one.position is not None:
        groups.PlanePositionSequence = [_item(ImagePositionPatient=[*one.position])]
    return groups


def _item(**fields: Any) -> Dataset:
    import pydicom

    item = pydicom.Dataset()
    for name, value in fields.items():
        setattr(item, name, value)
    return item


def _code(code: tuple[str, str, str]) -> Dataset:
    value, scheme, meaning = code
    return _item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def _to_cielab(rgb: tuple[int, int, int]) -> list[int]:
    """Return DICOM's 16-bit CIELab of an RGB color of 8 bits."""
    import cv2

    lightness, a, b = cv2.cvtColor(np.array([[rgb]], np.float32) / 255, cv2.COLOR_RGB2Lab)[0, 0].tolist()
    return [round(lightness * 655.35), round((a + 128) * 257), round((b + 128) * 257)]
