"""Sets of images in Python: prompts from CSV and COCO files, and segmentation that can be resumed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import masklet
from masklet.errors import FormatError, MaskletWarning, PromptError, ResourceError, StateError
from masklet.formats import read_masks
from masklet.image_sets.segment_images import segment_images
from masklet.prompts import box, click
from masklet.segmenter import Segmenter
from support.dataset_layouts import write_json
from support.gray_world import GrayWorld, draw_boxes

AREAS = {"a.png": (64, 120), "b2.png": (64, 110), "b10.png": (64, 100)}  # of the boxes of gray value 50 and 90


@pytest.fixture
def folder(tmp_path: Path, gray_world: None) -> Path:
    """A folder of three images of two gray boxes."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate(AREAS):
        Image.fromarray(draw_boxes({50: (0, 0, 8, 8), 90: (20, 20, 32 - number, 30)})).save(folder / name)
    return folder


def areas_of(path: Path) -> list[list[int]]:
    return [sorted(frame.masks.areas.tolist()) for frame in read_masks(path)]


def read_csv(text: str, folder: Path) -> dict[Path, dict[int, masklet.Prompt]]:
    file = folder.parent / "prompts.csv"
    file.write_text(text, encoding="utf-8")
    return masklet.read_prompts(file, sorted(folder.glob("*.png")))


@pytest.mark.parametrize(
    "text",
    [
        "image,x0,y0,x1,y1\na.png,1,2,3,4\n",
        "\ufeffImage;X0;Y0;X1;Y1\r\na.png;1;2;3;4\r\n",
        "image\tx0\ty0\tx1\ty1\tlabel\na.png\t1\t2\t3\t4\t\n",
        " image , x0, y0, x1, y1 ,\n a.png , 1, 2.0, 3, 4 ,\n,,,,\n",
        "x1,y1,x0,y0,object,image\n3,4,1,2,1,photos\\a.png\n",
        'image,x0,y0,x1,y1\n"a.png","1","2","3","4"',
    ],
)
def test_csv_files_of_spreadsheets_are_read(text: str, folder: Path) -> None:
    (prompts,) = read_csv(text, folder).values()
    assert repr(prompts) == repr({1: box(1, 2, 3, 4)})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" \n\n", "has no header"),
        ("image,x\na.png,1\n", "line 1: needs the column 'image', and x0, y0, x1, y1 for boxes or x, y"),
        ("x,y\n1,2\n", "line 1: needs the column 'image'"),
        ("image,x,y,colour\n", "line 1: unknown column 'colour'; columns are image, object, label, x0"),
        ("image,x,y,x\n", "line 1: the column 'x' is repeated"),
        ("image,x,y\na.png,1,2,3\n", "line 2: 4 values for 3 columns"),
        ("image,x,y\n\na.png,1,b\n", "line 3: 'y' is a number of pixels, got 'b'"),
        ("image,x,y\na.png,1,\n", "line 2: 'y' is a number of pixels, got ''"),
        ("image,x,y\na.png,,\n", "line 2: the row has neither a box nor a click"),
        ("image,x,y,x0,y0,x1,y1\na.png,1,1,1,1,2,2\n", "line 2: the row has a box and a click"),
        ("image,x,y,positive\na.png,1,1,2\n", "line 2: 'positive' is 1 or 0, got '2'"),
        ("image,object,x,y\na.png,0,1,1\n", "line 2: an object is a whole number from 1, got '0'"),
        ("image,object,x,y\na.png,cat,1,1\n", "line 2: an object is a whole number from 1, got 'cat'"),
        ("image,x,y\nc.png,1,1\n", "the input does not have an image 'c.png'"),
        ("image,x,y\n../a.png,1,1\n", "line 2: the name '../a.png' has the part '..'"),
    ],
)
def test_an_invalid_csv_file_is_refused_with_the_line(text: str, message: str, folder: Path) -> None:
    with pytest.raises(FormatError) as caught:
        read_csv(text, folder)
    assert message in str(caught.value)
    assert "prompts.csv" in str(caught.value)


def test_prompts_of_a_csv_file_are_checked(folder: Path) -> None:
    with pytest.raises(PromptError, match=r"line 2: box must have x0 < x1"):
        read_csv("image,x0,y0,x1,y1\na.png,3,4,1,2\n", folder)
    with pytest.raises(PromptError, match="at most one box"):
        read_csv("image,x0,y0,x1,y1\na.png,1,1,2,2\na.png,3,3,4,4\n", folder)
    with pytest.raises(PromptError, match="line 2: points must be finite"):
        read_csv("image,x,y\na.png,nan,1\n", folder)


def write_coco(path: Path, annotations: list[dict[str, Any]], **image: Any) -> Path:
    """Write a COCO file with all images and one more, in a folder of another name."""
    images = [{"id": 10 * n, "file_name": f"train2017/{name}", **image} for n, name in enumerate([*AREAS, "other.png"])]
    categories = [{"id": 1, "name": "sky"}, {"id": 2, "name": "card"}]
    rows = [{"id": 100_000 + n, **annotation} for n, annotation in enumerate(annotations)]
    return write_json(path, {"images": images, "annotations": rows, "categories": categories})


def test_boxes_beyond_the_edge_of_an_image_are_cut_off(folder: Path, tmp_path: Path) -> None:
    annotations = [{"image_id": 0, "category_id": 9, "bbox": [-0.5, -3, 20, 100]}]
    file = write_coco(tmp_path / "a.json", annotations, width=60, height=40)
    assert repr(masklet.read_prompts(file, [folder / "a.png"])) == repr({folder / "a.png": {1: box(0, 0, 19.5, 40)}})


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"image_id": 0, "bbox": [1, 1, 0, 5]}, "has no area in its image"),
        ({"image_id": 0, "bbox": [1, 1, 5]}, "a bbox must be"),
        ({"image_id": 0, "bbox": [1, 1, float("inf"), 5]}, "a bbox must be"),
        ({"image_id": 99, "bbox": [1, 1, 5, 5]}, "no image has the id 99"),
    ],
)
def test_a_broken_box_is_skipped_and_reported(
    annotation: dict[str, Any], message: str, folder: Path, tmp_path: Path
) -> None:
    images = sorted(folder.glob("*.png"))
    good = {"image_id": 0, "bbox": [0, 0, 9, 9]}
    with pytest.warns(MaskletWarning, match=message):
        assert len(masklet.read_prompts(write_coco(tmp_path / "a.json", [good, annotation]), images)) == 1
    with pytest.raises(FormatError, match=message):
        masklet.read_prompts(write_coco(tmp_path / "b.json", [annotation]), images)


def test_a_coco_file_of_other_images_is_an_error(folder: Path, tmp_path: Path) -> None:
    file = write_coco(tmp_path / "a.json", [{"image_id": 30, "bbox": [0, 0, 9, 9]}])
    with pytest.warns(MaskletWarning), pytest.raises(FormatError, match="no box in any of the 1 images of the input"):
        masklet.read_prompts(file, [folder / "a.png"])


def test_a_set_is_segmented_from_python(folder: Path, tmp_path: Path) -> None:
    backend = GrayWorld()
    model, images = Segmenter(backend), sorted(folder.glob("*.png"))
    (folder / "broken.png").write_bytes(b"<html>")
    prompts = {images[0]: click(4, 4), images[2]: {5: box(18, 18, 34, 32)}, folder / "broken.png": click(1, 1)}
    paths = [*map(str, images), folder / "broken.png"]

    def segment(**options: Any) -> Iterator[masklet.SegmentedImage]:
        return segment_images(model, paths, prompts, tmp_path / "out", ["coco", "png"], **options)

    results = [*segment()]
    assert [result.path.name for result in results] == [images[0].name, images[2].name, "broken.png"]
    assert [result.masks.areas.tolist() for result in results if result.masks] == [[64], [110]]
    assert results[2].error is not None and results[2].error.code == "unsupported-format"
    assert areas_of(tmp_path / "out/coco.json") == [[64], [110]]
    with pytest.raises(ResourceError, match="contains an earlier run"):
        segment()
    before = backend.encoded
    assert [result.resumed for result in segment(resume=True)] == [True, True, False]
    assert backend.encoded == before
    with pytest.raises(StateError, match="contains another job"):
        [*segment(resume=True, remove_islands=3)]
    with pytest.raises(PromptError, match="no prompt given"):
        segment_images(model, paths, {}, tmp_path / "other")


def test_another_process_cannot_resume_at_the_same_time(folder: Path, tmp_path: Path) -> None:
    model, images = Segmenter(GrayWorld()), sorted(folder.glob("*.png"))
    running = segment_images(model, images, click(4, 4), tmp_path / "out", ["coco"])
    next(running)
    with pytest.raises(StateError) as caught:
        next(segment_images(model, images, click(4, 4), tmp_path / "out", ["coco"], resume=True))
    assert caught.value.code == "job-locked"
    running.close()  # type: ignore[attr-defined]
