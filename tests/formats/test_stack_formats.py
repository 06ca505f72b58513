"""Masks of stacks: label stacks with the spacing and affine of the source, and DICOM segmentations."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
import tifffile
from numpy.typing import NDArray

from masklet.errors import BackendError, FormatError, SettingsError
from masklet.formats import masks_at, read_masks, save_masks
from masklet.masks.masks import Masks
from masklet.masks.tracked_frame import TrackedFrame
from masklet.video import open_video
from support.stack_files import AFFINE, COUNT, SIZE, draw_ball, write_nifti, write_series, write_tiff
from support.track_runs import track


def tracked(indices: range = range(COUNT)) -> list[TrackedFrame]:
    """The ball as object 2, and a square on slice 3 as object 7."""
    frames = []
    for index in indices:
        masks = Masks.from_binary(draw_ball()[index], object_ids=[2], labels=["ball"])
        if index == 3:
            square = np.zeros(SIZE, bool)
            square[1:4, 2:7] = True
            masks = Masks.join([masks, Masks.from_binary(square, object_ids=[7])])
        frames.append(TrackedFrame(index, None, masks))
    return frames


def draw_labels(indices: range = range(COUNT)) -> NDArray[np.uint8]:
    labels = np.where(draw_ball(), 2, 0).astype(np.uint8)
    labels[3, 1:4, 2:7] = 7
    labels[[index for index in range(COUNT) if index not in indices]] = 0
    return labels


def test_a_tiff_stack_of_labels_has_the_spacing_of_its_source(tmp_path: Path) -> None:
    source = write_tiff(tmp_path / "a.tif")
    (path,) = save_masks(tracked(range(2, 5)), tmp_path / "out", ["tiff"], video=open_video(source), path=source)
    with tifffile.TiffFile(path) as file:
        assert file.is_imagej and np.array_equal(file.asarray(), draw_labels(range(2, 5)))
        assert (file.imagej_metadata or {})["spacing"] == 2.0 and file.series[0].axes == "ZYX"
    written: Any = open_video(path)
    assert np.allclose(written.geometry.spacing, (0.3, 0.4)) and written.geometry.slice_distance == 2.0
    assert [frame.masks.object_ids for frame in read_masks(path)] == [(), (), (2,), (2, 7), (2,), ()]
    assert np.array_equal(masks_at(path, 3).of(7).binary[0], draw_labels()[3] == 7)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_nifti_file_of_labels_has_the_header_of_its_source(name: str, tmp_path: Path) -> None:
    source = write_nifti(tmp_path / name)
    (path,) = save_masks(tracked(), tmp_path / "out", ["nifti"], video=open_video(source), path=source)
    was, now = nibabel.load(source), nibabel.load(path)
    assert np.array_equal(np.asarray(now.dataobj), draw_labels().transpose(2, 1, 0))
    assert np.array_equal(was.affine, now.affine) and was.header.get_zooms() == now.header.get_zooms()
    assert nibabel.aff2axcodes(was.affine) == nibabel.aff2axcodes(now.affine)
    assert now.header["sform_code"] == was.header["sform_code"] and now.get_data_dtype() == np.uint8
    assert [frame.masks.object_ids for frame in read_masks(path)][3] == (2, 7)
    (again,) = save_masks(tracked(), tmp_path / "again", ["nifti"], video=open_video(source), path=source)
    assert path.read_bytes() == again.read_bytes()


def test_a_nifti_file_of_a_dicom_series_lies_in_the_patient(tmp_path: Path) -> None:
    source = write_series(tmp_path / "series")
    (path,) = save_masks(tracked(), tmp_path / "out", ["nifti"], video=open_video(source), path=source)
    image = nibabel.load(path)
    assert np.allclose(image.affine, [[-0.7, 0, 0, -1], [0, -0.8, 0, -2], [0, 0, 2.5, 10], [0, 0, 0, 1]], atol=1e-6)
    assert np.allclose(image.header.get_zooms(), (0.7, 0.8, 2.5))


def test_label_stacks_are_written_of_any_video(tmp_path: Path) -> None:
    frames = [TrackedFrame(one.index, None, one.masks) for one in tracked()]
    tiff, nifti = save_masks(frames, tmp_path, ["tiff", "nifti"])
    assert np.array_equal(tifffile.imread(tiff), draw_labels())
    assert np.array_equal(np.asarray(nibabel.load(nifti).dataobj), draw_labels().transpose(2, 1, 0))
    large = [TrackedFrame(0, None, Masks.from_binary(draw_ball()[0], object_ids=[300]))]
    (path,) = save_masks(large, tmp_path / "large", ["tiff"])
    assert tifffile.imread(path).dtype == np.uint16


def test_a_segmentation_has_the_patient_and_the_geometry_of_its_series(tmp_path: Path) -> None:
    source = write_series(tmp_path / "series")
    (path,) = save_masks(tracked(), tmp_path / "out", ["dicom_seg"], video=open_video(source), path=source)
    seg = pydicom.dcmread(path)
    first = pydicom.dcmread(source / "IM006")
    for name in ("PatientName", "PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "Rows", "Columns"):
        assert seg[name].value == first[name].value
    assert seg.Modality == "SEG" and seg.SeriesInstanceUID != first.SeriesInstanceUID
    assert [(one.SegmentNumber, one.SegmentLabel) for one in seg.SegmentSequence] == [(1, "ball"), (2, "object 7")]
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert [*measures.PixelSpacing] == [0.8, 0.7] and measures.SpacingBetweenSlices == 2.5
    labels = np.zeros((COUNT, *SIZE), np.uint8)
    for mask, groups in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        z = float(groups.PlanePositionSequence[0].ImagePositionPatient[2])
        index = round((z - 10) / 2.5)
        image = groups.DerivationImageSequence[0].SourceImageSequence[0]
        assert image.ReferencedSOPInstanceUID == f"1.2.826.0.1.3680043.8.498.5.{index + 1}"
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        labels[index][mask > 0] = {1: 2, 2: 7}[number]
    assert np.array_equal(labels, draw_labels()) and seg.NumberOfFrames == COUNT + 1


def test_a_segmentation_without_masks_has_an_empty_frame(tmp_path: Path) -> None:
    source = write_series(tmp_path / "series")
    frames = [TrackedFrame(0, None, Masks.from_binary(np.zeros(SIZE, bool)))]
    (path,) = save_masks(frames, tmp_path / "out", ["dicom_seg"], video=open_video(source), path=source)
    seg = pydicom.dcmread(path)
    assert seg.NumberOfFrames == 1 and not seg.pixel_array.any() and len(seg.SegmentSequence) == 1


def test_formats_that_do_not_fit_are_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match="needs the geometry of a DICOM series"):
        save_masks(tracked(), tmp_path / "a", ["dicom_seg"])

    def fail(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr("masklet.video.stacks.open.import_module", fail)
    for name, library in (("tiff", "tifffile"), ("nifti", "nibabel"), ("dicom_seg", "pydicom")):
        with pytest.raises(BackendError, match=library) as caught:
            save_masks(tracked(), tmp_path / "a", [name])
        assert ".[stacks]" in caught.value.hint
    assert not (tmp_path / "a").exists()


def test_numbers_that_are_no_object_ids_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((3, *SIZE), 0.5, np.float32), photometric="minisblack")
    with pytest.raises(FormatError, match="whole numbers from 0"):
        list(read_masks(tmp_path / "a.tif"))
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(b"no volume"))
    with pytest.raises(FormatError):
        list(read_masks(tmp_path / "a.nii.gz"))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kind", ["tiff", "nifti", "dicom_seg"])
def test_a_stack_is_tracked_and_its_masks_are_written_back(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers = {"tiff": write_tiff, "nifti": write_nifti, "dicom_seg": write_series}
    source = writers[kind](tmp_path / {"tiff": "a.tif", "nifti": "a.nii.gz", "dicom_seg": "a"}[kind])
    words = [source, "--box", "7,5,22,20@0", "--format", f"{kind},csv,npz"]
    monkeypatch.chdir(tmp_path)
    assert track(*words) == 0
    out = tmp_path / "a_masks"
    with (out / "measurements.csv").open() as file:
        rows = [*csv.DictReader(file)]
    width, height = (0.3, 0.4) if kind == "tiff" else (700, 800)
    assert len(rows) == COUNT
    for row in rows:
        assert float(row["area_um2"]) == pytest.approx(float(row["area"]) * width * height)
    stored = {frame.index: frame.masks for frame in read_masks(out / "masks.npz")}
    if kind != "dicom_seg":
        found = read_masks(out / {"tiff": "masks.tif", "nifti": "masks.nii.gz"}[kind])
        for frame in found:
            union = stored[frame.index].binary.any(axis=0)
            assert np.array_equal(frame.masks.binary.any(axis=0), union)
    assert track(*words, "--resume") == 0
    assert track(*words, "--value-range=-50,100", "--resume") == 78, "it is another job"
    assert track(*words, "--value-range", "100,0", "--resume") == 2


def test_the_affine_of_tests_is_oblique() -> None:
    assert AFFINE[1, 2] != 0
