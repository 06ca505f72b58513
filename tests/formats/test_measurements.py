"""Measurements in CSV: equal to values that NumPy computes from the masks, in pixels and in micrometres."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from masklet.cli.main import main
from masklet.formats import Clip, read_masks, save_masks
from masklet.formats.csv_measurements import CSV, CSV_IMAGES
from masklet.images.spacing import Spacing, read_spacing
from masklet.masks.masks import Masks
from masklet.masks.rle_frame import RleFrame, encode_frame
from masklet.masks.tracked_frame import TrackedFrame
from support.gray_world import draw_boxes

Row = dict[str, str]


def read_rows(path: Path) -> list[Row]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def compute(mask: NDArray[np.bool_], x: float = 1, y: float = 1) -> dict[str, float]:
    """The measurements of a mask by their definition."""
    rows, columns = np.nonzero(mask)
    return {
        "area": len(rows) * x * y,
        "centroid_x": (columns + 0.5).mean() * x,
        "centroid_y": (rows + 0.5).mean() * y,
        "x0": columns.min() * x,
        "y0": rows.min() * y,
        "x1": (columns.max() + 1) * x,
        "y1": (rows.max() + 1) * y,
    }


def check_row(row: Row, mask: NDArray[np.bool_], spacing: Spacing | None = None) -> None:
    for name, value in compute(mask).items():
        assert float(row[name]) == pytest.approx(value, rel=1e-8), name
    for name, value in compute(mask, *spacing).items() if spacing else ():
        column = "area_um2" if name == "area" else f"{name}_um"
        assert float(row[column]) == pytest.approx(value, rel=1e-8), column


@pytest.fixture
def frames() -> list[TrackedFrame]:
    """Random masks of two objects on three frames; object 7 is hidden on frame 1."""
    random = np.random.default_rng(0)
    binary = random.random((3, 2, 41, 67)) < 0.3
    binary[:, :, :5] = binary[:, :, :, 60:] = False
    binary[1, 1] = False
    return [
        TrackedFrame(
            t, t / 25, Masks.from_binary(binary[t], object_ids=[2, 7], scores=[0.5, 0.25], labels=["a,b", None])
        )
        for t in range(3)
    ]


def test_measurements_of_a_video_are_those_of_numpy(frames: list[TrackedFrame], tmp_path: Path) -> None:
    (path,) = save_masks(frames, tmp_path, ["csv"])
    rows = read_rows(path)
    assert path.name == "measurements.csv"
    assert ",".join(rows[0]) == "frame,time,id,label,area,centroid_x,centroid_y,x0,y0,x1,y1,score"
    assert [(row["frame"], row["id"], row["label"]) for row in rows] == [
        (str(t), key, label) for t in range(3) for key, label in (("2", "a,b"), ("7", ""))
    ]
    for row, mask in zip(rows, (mask for frame in frames for mask in frame.masks.binary), strict=True):
        assert float(row["time"]) == int(row["frame"]) / 25
        assert float(row["score"]) == (0.5 if row["id"] == "2" else 0.25)
        if mask.any():
            check_row(row, mask)
        else:
            assert row["area"] == "0"
            assert {row[name] for name in ("centroid_x", "centroid_y", "x0", "y0", "x1", "y1")} == {""}


def test_measurements_in_micrometres_are_those_of_numpy(frames: list[TrackedFrame], tmp_path: Path) -> None:
    spacings = [Spacing(0.25, 0.5), None, Spacing(3.0, 3.0)]
    encoded = [encode_frame(frame) for frame in frames]
    clip = Clip("set", (41, 67), (2, 7), names=["a.tif", "b.png", "ä,c.tif"], spacing_of=spacings.__getitem__)
    with (tmp_path / "m.csv").open("wb") as handle:
        CSV_IMAGES.write(handle, encoded, clip)
    rows = read_rows(tmp_path / "m.csv")
    assert [row["image"] for row in rows] == ["a.tif"] * 2 + ["b.png"] * 2 + ["ä,c.tif"] * 2
    for row, (index, mask) in zip(rows, ((f.index, m) for f in frames for m in f.masks.binary), strict=True):
        if mask.any():
            check_row(row, mask, spacings[index])
        if index == 1:
            assert {row[name] for name in row if "_um" in name} == {""}


def test_a_video_of_no_objects_has_only_a_header(tmp_path: Path) -> None:
    with (tmp_path / "m.csv").open("wb") as handle:
        CSV.write(handle, [RleFrame(0, None, (4, 4), (), (), (), ())], Clip("v", (4, 4), ()))
    assert (tmp_path / "m.csv").read_text().splitlines() == [
        "frame,time,id,label,area,centroid_x,centroid_y,x0,y0,x1,y1,score"
    ]


def write_tiff(path: Path, description: str = "", **tags: object) -> Path:
    numbers = {"x": 282, "y": 283, "unit": 296}
    written = TiffImagePlugin.ImageFileDirectory_v2()
    if description:
        written[270] = description
    for name, value in tags.items():
        written[numbers[name]] = value
    Image.fromarray(draw_boxes({50: (3, 4, 23, 14), 90: (30, 20, 50, 36)})).save(path, tiffinfo=written)
    return path


OME = (
    '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org"><Image ID="Image:0"><Pixels ID="Pixels:0" '
    'SizeX="60" {} SizeY="40"/></Image></OME>'
)


@pytest.mark.parametrize(
    ("description", "tags", "expected"),
    [
        ("", {"x": 4000.0, "y": 2000.0, "unit": 3}, (2.5, 5.0)),  # pixels per centimetre
        ("", {"x": 300.0, "y": 300.0, "unit": 2}, (25_400 / 300, 25_400 / 300)),  # a scan
        ("", {"x": 72.0, "y": 72.0, "unit": 2}, None),
        ("", {"x": 96.0, "y": 96.0, "unit": 2}, None),
        ("", {"x": 72 / 2.54, "y": 72 / 2.54, "unit": 3}, None),
        ("", {"x": 1.0, "y": 1.0, "unit": 2}, None),
        ("", {"x": 4.0, "y": 4.0, "unit": 1}, None),  # without a unit
        ("", {}, None),
        ("ImageJ=1.53t\nunit=micron\n", {"x": 4.0, "y": 8.0, "unit": 1}, (0.25, 0.125)),
        ("ImageJ=1.53t\nunit=\\u00B5m\n", {"x": 4.0, "y": 4.0, "unit": 1}, (0.25, 0.25)),
        ("ImageJ=1.53t\nunit=mm\n", {"x": 4.0, "y": 4.0, "unit": 1}, (250.0, 250.0)),
        ("ImageJ=1.53t\nunit=pixel\n", {"x": 4.0, "y": 4.0, "unit": 1}, None),
        (OME.format('PhysicalSizeX="0.5" PhysicalSizeY="0.75"'), {"x": 72.0, "y": 72.0, "unit": 2}, (0.5, 0.75)),
        (OME.format('PhysicalSizeX="65" PhysicalSizeXUnit="nm" PhysicalSizeY="0.1"'), {}, (0.065, 0.1)),
        (OME.format('PhysicalSizeX="0.5"'), {}, None),
        (OME.format('PhysicalSizeX="x" PhysicalSizeY="1"'), {}, None),
        (OME.format('PhysicalSizeX="0" PhysicalSizeY="1"'), {}, None),
    ],
)  # fmt: skip
def test_the_spacing_is_read_from_tiff_files(
    description: str, tags: dict[str, object], expected: tuple[float, float] | None, tmp_path: Path
) -> None:
    found = read_spacing(write_tiff(tmp_path / "one.tif", description, **tags))
    assert found == (None if expected is None else pytest.approx(expected, rel=1e-5))


def test_files_that_are_no_tiff_have_no_spacing(tmp_path: Path) -> None:
    Image.new("RGB", (5, 5)).save(tmp_path / "photo.jpg", dpi=(300, 300))
    (tmp_path / "broken.tif").write_bytes(b"II*\0\xff\xff\xff\xff broken")
    assert read_spacing(tmp_path / "photo.jpg") is None
    assert read_spacing(tmp_path / "broken.tif") is None


def read_json(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    value: dict[str, dict[str, str]] = json.loads(capsys.readouterr().out)
    return value


@pytest.mark.usefixtures("gray_world")
def test_track_writes_measurements(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "stack").mkdir()
    for t in range(3):
        write_tiff(tmp_path / f"stack/{t}.tif", x=4000.0, y=4000.0, unit=3)
    words = ["track", str(tmp_path / "stack"), "--point", "5,5#4", "--label", "cell#4", "--out", str(tmp_path / "out")]
    assert main([*words, "--format", "csv,png", "--json"]) == 0
    files = read_json(capsys)["files"]
    rows, masks = read_rows(Path(files["csv"])), [*read_masks(files["png"])]
    assert [(row["frame"], row["id"], row["label"]) for row in rows] == [(str(t), "4", "cell") for t in range(3)]
    for row, frame in zip(rows, masks, strict=True):
        check_row(row, frame.masks.binary[0], Spacing(2.5, 2.5))
    assert main([*words, "--format", "csv", "--spacing", "0.5", "--overwrite", "--json"]) == 0
    check_row(read_rows(Path(read_json(capsys)["files"]["csv"]))[0], masks[0].masks.binary[0], Spacing(0.5, 0.5))
    assert main([*words, "--format", "csv", "--spacing", "0", "--overwrite"]) == 2
    assert "--spacing must be a positive number of micrometres, got 0" in capsys.readouterr().err


@pytest.mark.usefixtures("gray_world")
def test_everything_writes_measurements_of_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = [write_tiff(tmp_path / "a.tif", x=4000.0, y=4000.0, unit=3), write_tiff(tmp_path / "b.tif")]
    words = ["everything", *map(str, images), "--points-per-side", "6", "--out", str(tmp_path / "out")]
    assert main([*words, "--format", "csv,rle,coco", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)["pictures"]
    rows = read_rows(tmp_path / "out/measurements.csv")
    assert [row["image"] for row in rows] == ["a.tif"] * 2 + ["b.tif"] * 2
    masks = [mask for frame in read_masks(tmp_path / "out/coco.json") for mask in frame.masks.binary]
    for row, mask in zip(rows, masks, strict=True):
        check_row(row, mask, Spacing(2.5, 2.5) if row["image"] == "a.tif" else None)
    assert records[0]["files"]["csv"] == str(tmp_path / "out/measurements.csv")
