"""labelme annotates one image of a folder, masklet tracks the objects through the others, and labelme opens them.

The AI tools of labelme run on a model of masklet.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

label_file = pytest.importorskip("labelme._label_file", exc_type=ImportError)
utils = pytest.importorskip("labelme.utils")

from masklet.cli.main import main  # noqa: E402

SIZE = (120, 160)
COUNT = 5


def left(index: int) -> int:
    return 30 + 4 * index


def draw_square(index: int) -> NDArray[np.bool_]:
    mask = np.zeros(SIZE, bool)
    mask[30:80, left(index) : left(index) + 50] = True
    return mask


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Frames with a bright square that moves to the right."""
    folder = tmp_path / "shots"
    folder.mkdir()
    for index in range(COUNT):
        image = np.where(draw_square(index)[..., None], (220, 90, 60), (40, 60, 50)).astype(np.uint8)
        Image.fromarray(image).save(folder / f"{index:05d}.jpg", quality=95)
    return folder


def make_polygon() -> dict[str, Any]:
    """What the tool "polygon" makes."""
    points = [[30.0, 30.0], [80.0, 30.0], [80.0, 80.0], [30.0, 80.0]]
    return {"label": "block", "points": points, "shape_type": "polygon", "mask": None}


def make_mask() -> dict[str, Any]:
    """What the tool "AI mask" makes: two corners, both included, and the mask between them."""
    content = io.BytesIO()
    Image.fromarray(np.full((50, 50), 255, np.uint8)).save(content, "PNG")
    mask = base64.b64encode(content.getvalue()).decode()
    return {"label": "block", "points": [[30.0, 30.0], [79.0, 79.0]], "shape_type": "mask", "mask": mask}


@pytest.mark.parametrize("shape", [make_polygon(), make_mask()], ids=["polygon", "mask"])
def test_an_annotated_image_is_tracked_through_its_folder(folder: Path, shape: dict[str, Any]) -> None:
    record = {**shape, "group_id": None, "description": "", "flags": {}}
    name = folder / "00000.json"
    label_file.LabelFile().save(str(name), [record], "00000.jpg", *SIZE)
    out = folder.parent / "shots_masks"
    assert main(["track", str(folder), "--mask", str(name), "--format", "labelme", "--out", str(out)]) == 0
    files = sorted((out / "labelme").glob("*.json"))
    assert len(files) == COUNT
    for index, file in enumerate(files):
        opened = label_file.LabelFile(str(file))
        assert utils.img_data_to_pil(opened.image_data).size == SIZE[::-1]
        masks = [utils.shape_to_mask(SIZE, one["points"], one["shape_type"]) for one in opened.shapes]
        found, wanted = np.logical_or.reduce(masks), draw_square(index)
        assert {one["label"] for one in opened.shapes} == {"block"}
        assert (found & wanted).sum() / (found | wanted).sum() > 0.9


@pytest.fixture
def osam_models() -> Iterator[Any]:
    """osam's models, restored afterwards."""
    osam = pytest.importorskip("osam")
    known = [*osam.apis.registered_model_types]
    yield osam
    osam.apis.registered_model_types[:] = known


def test_the_ai_tools_of_labelme_run_on_masklet(osam_models: Any, folder: Path) -> None:
    session_type = pytest.importorskip("labelme._automation._osam_session", exc_type=ImportError).OsamSession
    from masklet.integrations.osam import register

    register(replaces="sam2:latest")
    session = session_type(model_name="sam2:latest")
    image = np.asarray(Image.open(folder / "00000.jpg"))
    for points, labels in ([[55.0, 55.0]], [1]), ([[28.0, 28.0], [82.0, 82.0]], [2, 3]):
        response = session.run(image=image, image_id="00000", points=np.array(points), point_labels=np.array(labels))
        (annotation,) = response.annotations
        box, found = annotation.bounding_box, np.zeros(SIZE, bool)
        found[box.ymin : box.ymax + 1, box.xmin : box.xmax + 1] = annotation.mask
        wanted = draw_square(0)
        assert (found & wanted).sum() / (found | wanted).sum() > 0.9
