"""Stacks: slices of TIFF, NIfTI and DICOM as frames, with their order, spacing and gray levels."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from masklet.errors import BackendError, MaskletWarning, PromptError, VideoError
from masklet.jobs.fingerprint import fingerprint_source
from masklet.video import VideoOptions, open_video
from masklet.video.frame_folder import find_frame_files, name_video
from masklet.video.stacks import nifti_volume
from masklet.video.stacks.dicom_series import DicomSeries
from support.stack_files import AFFINE, COUNT, SIZE, draw_ball, draw_volume, write_nifti, write_series, write_tiff


def scale(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    return np.rint(np.clip((values.astype(float) - low) * 255 / (high - low), 0, 255)).astype(np.uint8)


def write_stack(kind: str, folder: Path) -> Path:
    if kind == "dicom":
        return write_series(folder / "series")
    return write_tiff(folder / "stack.tif") if kind == "tiff" else write_nifti(folder / f"stack.{kind}")


@pytest.mark.parametrize("kind", ["tiff", "nii", "nii.gz", "dicom"])
def test_a_stack_is_a_video_of_its_slices(kind: str, tmp_path: Path) -> None:
    path = write_stack(kind, tmp_path)
    offset = 1000 if kind == "tiff" else 0
    with open_video(path, VideoOptions(value_range=(-1000 + offset, 500 + offset))) as video:
        assert len(video) == COUNT and video.size == SIZE and video.times == (None,) * COUNT
        wanted = scale(draw_volume(), -1000, 500)
        for frame in video.frames(range(COUNT - 1, -1, -1)):
            assert np.abs(frame.image[..., 0].astype(int) - wanted[frame.index]).max() <= 1
            assert frame.image.shape == (*SIZE, 3) and not frame.corrupt and frame.time is None
        with pytest.raises(PromptError, match="no slice 6"):
            video[COUNT]
    assert find_frame_files(str(path)) is None and name_video(path) in ("stack", "series")
    assert fingerprint_source(path) == fingerprint_source(path)


@pytest.mark.parametrize(
    ("kind", "spacing", "distance"),
    [("tiff", (0.3, 0.4), 2.0), ("nii.gz", (700, 806.2258), 2500), ("dicom", (700, 800), 2500)],
)
def test_a_stack_has_its_spacing(kind: str, spacing: tuple[float, float], distance: float, tmp_path: Path) -> None:
    video: Any = open_video(write_stack(kind, tmp_path))
    if kind == "nii.gz":
        spacing, distance = (700, 800), float(np.hypot(0.1, 2.5) * 1000)
        assert np.allclose(video.geometry.affine, AFFINE)
    assert np.allclose(video.geometry.spacing, spacing) and np.isclose(video.geometry.slice_distance, distance)
    if kind == "dicom":
        assert np.allclose(video.geometry.affine, [[-0.7, 0, 0, -1], [0, -0.8, 0, -2], [0, 0, 2.5, 10], [0, 0, 0, 1]])


def test_numbers_are_mapped_by_the_window_or_else_by_percentiles_of_all_slices(tmp_path: Path) -> None:
    ct: Any = open_video(write_series(tmp_path / "a"))
    assert ct.value_range == (40 - 0.5 - 199.5, 40 - 0.5 + 199.5)
    bare: Any = open_video(write_series(tmp_path / "b", WindowCenter=None, WindowWidth=None))
    low, high = bare.value_range
    assert -700 <= low < -690 and 310 < high <= 336
    inverted: Any = open_video(write_series(tmp_path / "c", PhotometricInterpretation="MONOCHROME1"))
    assert np.abs(inverted[2].astype(int) - (255 - ct[2].astype(int))).max() <= 1
    chosen = VideoOptions(value_range=(-1000, 500))
    pair = [open_video(tmp_path / name, chosen)[2].astype(int) for name in ("a", "c")]
    assert np.abs(pair[0] + pair[1] - 255).max() == 0
    volume: Any = open_video(write_nifti(tmp_path / "a.nii"))
    assert volume.value_range == pytest.approx((low, high))
    ball = draw_ball()[3]
    assert volume[3][ball].min() > 240 and volume[3][~ball].max() < 15


def test_images_of_8_bits_and_of_colors_are_not_changed(tmp_path: Path) -> None:
    colors = np.random.default_rng(1).integers(0, 256, (4, *SIZE, 3), np.uint8)
    tifffile.imwrite(tmp_path / "rgb.tif", colors, photometric="rgb", compression="zlib")
    tifffile.imwrite(tmp_path / "gray.tif", colors[..., 0], photometric="minisblack")
    rgb, gray = open_video(tmp_path / "rgb.tif"), open_video(tmp_path / "gray.tif")
    assert all(np.array_equal(rgb[index], colors[index]) for index in range(4))
    assert all(np.array_equal(gray[index], colors[index][..., [0, 0, 0]]) for index in range(4))


def test_slices_without_numbers_are_black(tmp_path: Path) -> None:
    values = np.full((5, 6, 3), np.nan, np.float32)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "empty.nii")
    assert not open_video(tmp_path / "empty.nii")[1].any()
    values[..., 2] = np.arange(30).reshape(5, 6)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii")
    video = open_video(tmp_path / "a.nii")
    assert not video[0].any() and video[2].max() == 255


def test_a_stack_whose_white_is_zero_is_inverted(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(0, 256, (4, *SIZE), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="miniswhite")
    assert np.array_equal(open_video(tmp_path / "a.tif")[2][..., 0], 255 - values[2])


def test_ome_stacks_have_their_spacing_and_of_several_channels_the_first(tmp_path: Path) -> None:
    values = (draw_volume() + 1000).astype(np.uint16)
    sides = {"PhysicalSizeX": 300.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.4, "PhysicalSizeYUnit": "µm"}
    metadata = {"axes": "ZCYX", **sides, "PhysicalSizeZ": 2.0, "PhysicalSizeZUnit": "µm"}
    tifffile.imwrite(
        tmp_path / "a.ome.tif", np.stack([values, values // 2], 1), ome=True, compression="zlib", metadata=metadata
    )
    with pytest.warns(MaskletWarning, match="first of 2 channels"):
        video: Any = open_video(tmp_path / "a.ome.tif", VideoOptions(value_range=(0, 1500)))
    assert np.allclose(video.geometry.spacing, (0.3, 0.4)) and video.geometry.slice_distance == 2.0
    assert np.array_equal(video[4][..., 0], scale(values[4], 0, 1500))


def test_slices_are_read_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compressed = write_tiff(tmp_path / "a.tif", imagej=False, compression="zlib", metadata=None)
    read: list[int] = []
    original = tifffile.TiffPage.asarray
    monkeypatch.setattr(
        tifffile.TiffPage,
        "asarray",
        lambda page, *rest, **more: read.append(page.index) or original(page, *rest, **more),
    )
    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", None)
    video = open_video(compressed, VideoOptions(value_range=(0, 1500)))
    assert not read and video[2].any() and len(read) <= 1
    mapped: Any = open_video(write_tiff(tmp_path / "b.tif"), VideoOptions(value_range=(0, 1500)))
    assert isinstance(mapped.reader._mapped, np.memmap) and mapped[2].any()


@pytest.mark.parametrize("library", ["tifffile", "nibabel", "pydicom"])
def test_a_missing_library_names_the_extra(library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_stack({"tifffile": "tiff", "nibabel": "nii", "pydicom": "dicom"}[library], tmp_path)
    original = builtins.__import__

    def fail(name: str, *rest: Any) -> Any:
        if name.split(".")[0] == library:
            raise ImportError(f"No module named {library!r}")
        return original(name, *rest)

    monkeypatch.setattr("masklet.video.stacks.open.import_module", fail)
    with pytest.raises(BackendError, match=library) as caught:
        open_video(path)
    assert caught.value.code == "backend-missing" and caught.value.hint == 'pip install ".[stacks]"'


def test_a_series_is_sorted_by_position_and_reports_and_indexes_are_left_out(tmp_path: Path) -> None:
    folder = write_series(tmp_path)
    (folder / "readme.txt").write_text("notes")
    (folder / "DICOMDIR").write_bytes((folder / "IM001").read_bytes())
    numbers = [one.header.InstanceNumber for one in DicomSeries(folder).slices]
    assert numbers == [6, 5, 4, 3, 2, 1]
    (folder / "IM003").unlink()
    with pytest.warns(MaskletWarning, match="some may be missing"):
        assert len(open_video(folder)) == COUNT - 1


def test_a_series_without_positions_is_sorted_by_number(tmp_path: Path) -> None:
    folder = write_series(tmp_path, ImagePositionPatient=None)
    assert [one.header.InstanceNumber for one in DicomSeries(folder).slices] == [1, 2, 3, 4, 5, 6]


def test_a_file_of_several_frames_is_a_stack(tmp_path: Path) -> None:
    pixels = (draw_volume() + 1024).astype("<u2").tobytes()
    settings = {"NumberOfFrames": COUNT, "PixelData": pixels, "ImagePositionPatient": None}
    folder = write_series(tmp_path, **settings)
    video: Any = open_video(folder / "IM001", VideoOptions(value_range=(-1000, 500)))
    assert len(video) == COUNT and np.array_equal(video[4][..., 0], scale(draw_volume()[4], -1000, 500))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"ImagePositionPatient": [0, 0, 1]}, None),
        ({"PixelData": b"\0\0"}, "slice 0 cannot be read"),
        ({"Rows": 0}, "cannot be read"),
        ({"NumberOfFrames": 2_000_000_000}, "states 2000000000 frames"),
    ],
)
def test_odd_series_are_opened_or_refused_with_a_reason(
    settings: dict[str, Any], text: str | None, tmp_path: Path
) -> None:
    folder = write_series(tmp_path, **settings)
    if text is None:
        assert len(open_video(folder)) == COUNT
        return
    with pytest.raises(VideoError, match=text):
        open_video(folder)[0]


def test_several_series_and_several_times_are_refused(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "a")
    other = write_series(tmp_path / "b", SeriesInstanceUID="1.2.3.4")
    for path in other.iterdir():
        path.rename(folder / f"other{path.name}")
    with pytest.raises(VideoError, match="2 series"):
        open_video(folder)
    image = nibabel.Nifti1Image(np.zeros((5, 6, 7, 8), np.uint8), np.eye(4))
    nibabel.save(image, tmp_path / "a.nii")
    with pytest.raises(VideoError, match="save one of its volumes"):
        open_video(tmp_path / "a.nii")
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 4, 16, 17), np.uint8), imagej=True, metadata={"axes": "TZYX"})
    with pytest.raises(VideoError, match="T=3, Z=4"):
        open_video(tmp_path / "a.tif")


def test_a_truncated_tiff_stack_has_the_slices_before_its_end(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", imagej=False, compression="zlib", metadata=None)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    with pytest.warns(MaskletWarning, match="is truncated or damaged"):
        video = open_video(path, VideoOptions(value_range=(0, 1500)))
    assert video.truncated and 1 < len(video) < COUNT and video[0].any()


@pytest.mark.parametrize("kind", ["nii", "nii.gz", "dicom"])
def test_a_truncated_stack_is_an_error_and_no_crash(kind: str, tmp_path: Path) -> None:
    path = write_stack(kind, tmp_path)
    for file in path.iterdir() if path.is_dir() else [path]:
        file.write_bytes(file.read_bytes()[: int(file.stat().st_size * 0.6)])
    with pytest.raises(VideoError):
        video = open_video(path, VideoOptions(value_range=(-1000, 500)))
        for index in range(len(video)):
            assert video[index].shape == (*SIZE, 3)


def test_a_compressed_volume_is_unpacked_no_further_than_its_header_says(tmp_path: Path) -> None:
    import gzip

    plain = write_nifti(tmp_path / "a.nii").read_bytes()
    path = tmp_path / "b.nii.gz"
    path.write_bytes(gzip.compress(plain + bytes(1 << 22)))
    (tmp_path / "unpacked").mkdir()
    assert nifti_volume._unpack(path, tmp_path / "unpacked").stat().st_size == len(plain)
