"""Reports D: CVAT files of images and videos, with shapes that are no plain polygons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from masklet.cli.main import main
from masklet.errors import FormatError, MaskletWarning
from masklet.formats import read_masks
from masklet.formats.cvat_reader import read_image_names
from support.annotation_samples import (
    BAR,
    HEIGHT,
    SQUARE,
    WIDTH,
    make_cvat_images,
    make_cvat_polygon,
    make_cvat_task,
    make_cvat_video,
    read_areas,
    read_objects,
    write_photo,
    write_text,
)

POLYGON = make_cvat_polygon(SQUARE)


def make_track(number: Any, *shapes: str, label: str = "x", **attributes: Any) -> str:
    more = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f'<track id="{number}" label="{label}"{more}>{"".join(shapes)}</track>'


def make_box(rotation: Any = None, frame: int | None = None, sides: tuple[Any, ...] = (30, 25, 50, 35)) -> str:
    place = "" if frame is None else f' frame="{frame}" keyframe="1" outside="0"'
    turned = "" if rotation is None else f' rotation="{rotation}"'
    x0, y0, x1, y1 = sides
    return f'<box label="x" occluded="0"{place} xtl="{x0}" ytl="{y0}" xbr="{x1}" ybr="{y1}"{turned} z_order="0"></box>'


def make_ellipse(rotation: Any = None, frame: int | None = None, **changes: Any) -> str:
    place = "" if frame is None else f' frame="{frame}" keyframe="1" outside="0"'
    turned = "" if rotation is None else f' rotation="{rotation}"'
    values = {"cx": 40, "cy": 30, "rx": 20, "ry": 10, **changes}
    numbers = " ".join(f'{name}="{value}"' for name, value in values.items())
    return f'<ellipse label="x" occluded="0"{place} {numbers}{turned} z_order="0"></ellipse>'


def write_shapes(folder: Path, *shapes: str) -> Path:
    return write_text(folder / "annotations.xml", make_cvat_images(*shapes))


def box_of(path: Path) -> tuple[int, ...]:
    ((_, box),) = read_objects(path).values()
    return box


@pytest.mark.parametrize(
    ("rotation", "expected"),
    [
        (90.0, (35, 20, 45, 40)),
        (270, (35, 20, 45, 40)),
        (-90, (35, 20, 45, 40)),
        (180, (30, 25, 50, 35)),
        (360, (30, 25, 50, 35)),
        ("", (30, 25, 50, 35)),
        (45, (29.4, 19.4, 50.6, 40.6)),
    ],
)
@pytest.mark.parametrize("in_video", [False, True])
def test_d1_a_rotated_box_turns_about_its_middle(
    rotation: Any, expected: tuple[float, ...], in_video: bool, tmp_path: Path
) -> None:
    video = make_cvat_video(make_track(1, make_box(rotation, 0)))
    path = write_text(tmp_path / "a.xml", video if in_video else make_cvat_images(make_box(rotation)))
    assert np.abs(np.subtract(box_of(path), expected)).max() <= 1


def test_d1_boxes_turn_clockwise(tmp_path: Path) -> None:
    (frame,) = read_masks(write_shapes(tmp_path, make_box(30, sides=(10, 25, 70, 35))))
    mask = frame.masks.binary[0]
    assert mask[20, 20] and mask[40, 60] and not mask[40, 20] and not mask[20, 60]  # y points down


def test_d2_a_shape_without_group_is_an_object_beside_a_group(tmp_path: Path) -> None:
    path = write_shapes(tmp_path, make_cvat_polygon(SQUARE, group_id=2), make_cvat_polygon(BAR))
    assert sorted(area for area, _ in read_objects(path).values()) == [400, 600]


@pytest.mark.parametrize(
    ("first", "second", "count"), [(0, 0, 2), ("", "", 2), (3, 3, 1), ("3.0", 3, 1), (1, 2, 2), (0, 1, 2)]
)
def test_d2_groups_join_shapes(first: Any, second: Any, count: int, tmp_path: Path) -> None:
    shapes = make_cvat_polygon(SQUARE, group_id=first), make_cvat_polygon(BAR, group_id=second)
    assert len(read_objects(write_shapes(tmp_path, *shapes))) == count


@pytest.mark.parametrize("rotation", [None, 0, 90, 30])
@pytest.mark.parametrize("in_video", [False, True])
def test_d3_an_ellipse_is_an_object(rotation: Any, in_video: bool, tmp_path: Path) -> None:
    tracks = make_track(1, make_ellipse(rotation, 0)), make_track(2, make_cvat_polygon(SQUARE, 0))
    images = make_cvat_images(make_ellipse(rotation), POLYGON)
    path = write_text(tmp_path / "a.xml", make_cvat_video(*tracks) if in_video else images)
    areas = sorted(area for area, _ in read_objects(path).values())
    assert areas == [400, pytest.approx(628, abs=12)]
    if rotation == 90:
        assert max(read_objects(path).values())[1] == pytest.approx((30, 10, 50, 50), abs=1)


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ('<points label="x" points="1,2;3,4"></points>', "1 of type points"),
        ('<polyline label="x" points="1,2;3,4;5,9"></polyline>', "1 of type polyline"),
        ('<skeleton label="x"><points label="a" points="1,2"></points><points label="b" points="3,4"/></skeleton>',
         "1 of type skeleton"),
        ('<cuboid label="x" xtl1="1" ytl1="1"></cuboid>', "1 of type cuboid"),
        ('<tag label="x" source="manual"></tag>', "1 of type tag"),
        ('<polygon label="x" points=""></polygon>', "1 broken .line 1"),
        ('<polygon label="x" points="1,2;3,4"></polygon>', "1 broken .*at least 3 points"),
        ('<polygon label="x" points="1,2;3,4;x,y"></polygon>', "1 broken"),
        ('<polygon label="x"></polygon>', "1 broken .*it has no 'points'"),
        (make_box(sides=("a", 1, 2, 3)), "1 broken"),
        (make_box(sides=("inf", 1, 2, 3)), "1 broken .*finite"),
        (make_box(rotation="nan"), "1 broken .*finite"),
        (make_box(rotation="left"), "1 broken"),
        (make_ellipse(rx="nan"), "1 broken .*finite"),
        ('<ellipse label="x" cx="1" cy="2" rx="3"></ellipse>', "1 broken .*it has no 'ry'"),
        ('<mask label="x" rle="1, 2" left="0" top="0" width="2" height="2"></mask>', "1 broken .*does not fit"),
        ('<mask label="x" rle="0, 4" left="79" top="0" width="2" height="2"></mask>', "1 broken .*does not fit"),
        ('<mask label="x" rle="0, 99999999999999999999" left="0" top="0" width="2" height="2"></mask>', "1 broken"),
        (make_cvat_polygon(SQUARE, group_id="left"), "1 broken"),
        (f'<box label="{"x" * 5000}" xtl="1" ytl="1" xbr="2" ybr="2"/>', "1 broken"),
    ],
)  # fmt: skip
def test_d3_what_has_no_area_is_skipped_with_a_warning(shape: str, reason: str, tmp_path: Path) -> None:
    path = write_shapes(tmp_path, shape, POLYGON)
    with pytest.warns(MaskletWarning, match=rf"skipped 1 shape: {reason}") as caught:
        assert read_areas(path) == [[400]]
    assert len(caught) == 1


@pytest.mark.parametrize(
    "shape",
    [
        '<points frame="0" keyframe="1" outside="0" points="1,2"></points>',
        '<polyline frame="0" keyframe="1" outside="0" points="1,2;3,4"></polyline>',
        '<skeleton frame="0" keyframe="1"><points outside="0" points="1,2"></points></skeleton>',
        '<polygon keyframe="1" outside="0" points="1,2;3,4;5,9"></polygon>',
    ],
)
def test_d3_tracks_without_area_are_skipped_with_a_warning(shape: str, tmp_path: Path) -> None:
    video = make_cvat_video(make_track(3, shape), make_track(4, make_cvat_polygon(SQUARE, 0)))
    with pytest.warns(MaskletWarning, match="skipped 1 shape"):
        frames = [*read_masks(write_text(tmp_path / "a.xml", video))]
    assert [frame.masks.areas.tolist() for frame in frames] == [[400], [], [], [], [], []]


def test_d3_a_file_of_broken_shapes_is_an_error(tmp_path: Path) -> None:
    path = write_shapes(tmp_path, '<polygon label="x" points="1,2"></polygon>')
    with pytest.raises(FormatError, match=r"annotations\.xml, line 1: a polygon needs at least 3 points"):
        read_areas(path)


@pytest.mark.usefixtures("gray_world")
def test_d4_tracks_that_are_numbered_from_0_fit_label_maps(tmp_path: Path) -> None:
    tracks = make_track(0, make_cvat_polygon(SQUARE, 0)), make_track(1, make_cvat_polygon(BAR, 0))
    path = write_text(tmp_path / "track0.xml", make_cvat_video(*tracks))
    assert {key: area for key, (area, _) in read_objects(path).items()} == {1: 400, 2: 600}
    image = write_photo(tmp_path / "a.png")
    assert main(["segment", str(image), "--mask", str(path), "--out", str(tmp_path / "masks")]) == 0
    labels = np.asarray(Image.open(tmp_path / "masks/a.png"))
    assert {*np.unique(labels).tolist()} <= {0, 1, 2}


@pytest.mark.parametrize(
    ("ids", "expected"), [((0, 5), (1, 6)), ((-2, 0), (1, 3)), ((1, 2), (1, 2)), (("4.0", 2), (4, 2))]
)
def test_d4_ids_below_1_are_raised(ids: tuple[Any, Any], expected: tuple[int, int], tmp_path: Path) -> None:
    tracks = [make_track(key, make_cvat_polygon(shape, 0)) for key, shape in zip(ids, (SQUARE, BAR), strict=True)]
    objects = read_objects(write_text(tmp_path / "a.xml", make_cvat_video(*tracks)))
    assert {key: area for key, (area, _) in objects.items()} == dict(zip(expected, (400, 600), strict=True))


def test_d_tracks_of_one_id_are_objects_unless_they_follow_each_other(tmp_path: Path) -> None:
    tracks = (
        make_track(1, make_cvat_polygon(SQUARE, 0)),
        make_track(1, make_cvat_polygon(BAR, 0)),
        make_track(1, make_cvat_polygon(SQUARE, 1)),
        make_track(1, make_cvat_polygon(SQUARE, 2), label="y"),
    )
    path = write_text(tmp_path / "a.xml", make_cvat_video(*tracks, meta=make_cvat_task(frames=3)))
    first, second, third = read_masks(path)
    assert (first.masks.object_ids, second.masks.object_ids, third.masks.object_ids) == ((1, 2), (1,), (3,))


@pytest.mark.parametrize("attributes", ['label="x"', 'id="x" label="x"', f'id="7" label="{"x" * 5000}"', 'id="inf"'])
def test_d_a_broken_track_is_skipped(attributes: str, tmp_path: Path) -> None:
    broken = f"<track {attributes}>{make_cvat_polygon(BAR, 0)}</track>"
    video = make_cvat_video(broken, make_track(4, make_cvat_polygon(SQUARE, 0)), meta=make_cvat_task(frames=1))
    with pytest.warns(MaskletWarning, match="skipped 1 shape: 1 broken"):
        assert read_areas(write_text(tmp_path / "a.xml", video)) == [[400]]


def make_image(number: Any, name: str, *shapes: str, width: Any = WIDTH, **attributes: Any) -> str:
    more = "".join(f' {key}="{value}"' for key, value in attributes.items())
    return f'<image id="{number}" name="{name}" width="{width}" height="{HEIGHT}"{more}>{"".join(shapes)}</image>'


def test_d_images_of_the_tasks_of_a_project_are_images_of_their_own(tmp_path: Path) -> None:
    tasks = f"<project><tasks>{make_cvat_task(1, 1)}{make_cvat_task(2, 1)}</tasks></project>"
    images = (
        make_image(0, "a.jpg", POLYGON, task_id=1)
        + make_image(0, "b.jpg", make_cvat_polygon(BAR), task_id=2)
        + make_image(1, "c.jpg", task_id=2)
    )
    path = write_text(tmp_path / "a.xml", f"<annotations><meta>{tasks}</meta>{images}</annotations>")
    assert read_areas(path) == [[400], [600], []]
    assert read_image_names(path) == ["a.jpg", "b.jpg", "c.jpg"]


@pytest.mark.parametrize(
    "image", [make_image("x", "b.jpg"), make_image(1, "b.jpg", width=""), make_image(1, "b.jpg", width=0), "<image/>"]
)
def test_d_a_broken_image_is_skipped(image: str, tmp_path: Path) -> None:
    text = f"<annotations>{image}{make_image(2, 'a.jpg', POLYGON)}</annotations>"
    with pytest.warns(MaskletWarning, match="skipped 1 shape: 1 broken"):
        assert read_areas(write_text(tmp_path / "a.xml", text)) == [[400]]


def make_project(*tracks: str) -> str:
    tasks = make_cvat_task(1, 2) + make_cvat_task(2, 4, width=WIDTH * 2)
    return make_cvat_video(*tracks, meta=f"<project><id>9</id><tasks>{tasks}</tasks></project>")


def test_d_the_videos_of_a_project_are_not_mixed(tmp_path: Path) -> None:
    mixed = make_project(
        make_track(0, make_cvat_polygon(SQUARE, 0), task_id=1), make_track(1, make_cvat_polygon(BAR, 0), task_id=2)
    )
    with pytest.raises(FormatError, match="2 videos; export each task"):
        read_areas(write_text(tmp_path / "a.xml", mixed))
    single = make_project(make_track(0, make_cvat_polygon(SQUARE, 0), task_id=2))
    frames = [*read_masks(write_text(tmp_path / "b.xml", single))]
    assert len(frames) == 4 and frames[0].masks.size == (HEIGHT, WIDTH * 2)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_d_files_may_begin_with_a_byte_order_mark(encoding: str, tmp_path: Path) -> None:
    text = make_cvat_images(POLYGON).replace("><", ">\r\n<")
    text = text if encoding == "utf-8-sig" else text.replace("utf-8", "utf-16")
    assert read_areas(write_text(tmp_path / "a.XML", text.encode(encoding))) == [[400]]
