"""osam runs a model of masklet, as labelme's AI polygon and AI mask call it."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

osam = pytest.importorskip("osam")
from masklet.errors import InputNotFound  # noqa: E402
from masklet.integrations.osam import NAME, register  # noqa: E402
from masklet.segmenter import load  # noqa: E402

BOX = (60, 40, 150, 120)


@pytest.fixture
def models() -> Iterator[list[Any]]:
    """The list of osam's models, restored afterwards."""
    known = [*osam.apis.registered_model_types]
    yield osam.apis.registered_model_types
    osam.apis.registered_model_types[:] = known
    osam.apis.running_model = None


def draw() -> np.ndarray[Any, Any]:
    """A bright rectangle on a dark ground."""
    image = np.full((160, 220, 3), (40, 60, 50), np.uint8)
    x0, y0, x1, y1 = BOX
    image[y0:y1, x0:x1] = (220, 90, 60)
    return image


def ask(model: str = NAME, **prompt: Any) -> Any:
    request = osam.types.GenerateRequest(model=model, image=draw(), prompt=osam.types.Prompt(**prompt))
    return osam.apis.generate(request)


def paste(annotation: Any) -> np.ndarray[Any, Any]:
    """Paste a mask into the image, as osam's command line does."""
    mask, box = np.zeros((160, 220), bool), annotation.bounding_box
    mask[box.ymin : box.ymax + 1, box.xmin : box.xmax + 1] = annotation.mask
    return mask


def test_clicks_and_boxes_give_the_masks_of_masklet(models: list[Any]) -> None:
    register()
    x0, y0, x1, y1 = BOX
    click = ask(points=np.array([[100.0, 80.0]]), point_labels=np.array([1]))
    corners = ask(points=np.array([[x1, y0], [x0, y1]], float), point_labels=np.array([2, 3]))
    for response in (click, corners):
        (annotation,) = response.annotations
        mask = paste(annotation)
        square = np.zeros_like(mask)
        square[y0:y1, x0:x1] = True
        assert response.model == NAME and (mask & square).sum() / (mask | square).sum() > 0.9
        assert 0 < annotation.score <= 1
    from masklet.prompts import click as click_at

    wanted = load().segment(draw(), click_at(100, 80)).binary[0]
    assert np.array_equal(paste(click.annotations[0]), wanted)


def test_a_model_takes_the_place_of_one_that_labelme_lists(models: list[Any]) -> None:
    count = len(models)
    register(replaces="sam2:latest")
    assert len(models) == count + 1 and [kind.name for kind in models].count("sam2:latest") == 1
    kind = osam.apis.get_model_type_by_name("sam2")
    assert kind.get_size() > 100_000 and kind.get_modified_at() and len(kind.get_id()) == 12
    assert osam.apis.get_model_metadata("sam2:latest").license_spdx == "Apache-2.0"
    kind.pull(progress=None, cancel=None, timeout=30)
    kind.remove()
    assert kind.get_size() > 100_000
    assert ask("sam2:latest", points=[[100, 80]], point_labels=[1]).model == "sam2:latest"


def test_what_labelme_relies_on(models: list[Any]) -> None:
    model = register()()
    with pytest.raises(NotImplementedError):
        model.encode_image(draw())
    request = osam.types.GenerateRequest(model=NAME, image=draw())
    (annotation,) = model.generate(request).annotations  # without a prompt: the middle of the image
    assert paste(annotation)[80, 110]
    for bad in ({"texts": ["a cup"]}, {"points": [[900, 900]], "point_labels": [1]}):
        request = osam.types.GenerateRequest(model=NAME, image=draw(), prompt=osam.types.Prompt(**bad))
        with pytest.raises(ValueError, match=r"text prompts|outside the image"):
            model.generate(request)
    with pytest.raises(ValueError, match="image"):
        model.generate(osam.types.GenerateRequest(model=NAME))


def test_responses_are_read_back_from_json(models: list[Any]) -> None:
    register()
    response = ask(points=[[100, 80]], point_labels=[1])
    (record,) = json.loads(response.model_dump_json())["annotations"]
    decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(record["mask"]))))
    assert np.array_equal(decoded > 0, response.annotations[0].mask)


def test_an_unknown_model_is_an_error_at_registration(models: list[Any], tmp_path: Path) -> None:
    with pytest.raises(InputNotFound):
        register(tmp_path / "missing.safetensors")


def test_a_program_of_osam_runs_with_the_model(tmp_path: Path) -> None:
    Image.fromarray(draw()).save(tmp_path / "image.png")
    prompt = '{"points": [[100, 80]], "point_labels": [1]}'
    command = [sys.executable, "-m", "masklet.integrations.osam", "--as", "sam2:tiny", "osam", "run", "sam2:tiny"]
    run = subprocess.run(
        [*command, "--image", str(tmp_path / "image.png"), "--prompt", prompt, "--json"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    (annotation,) = json.loads(run.stdout)["annotations"]
    assert annotation["bounding_box"]["xmin"] == pytest.approx(BOX[0], abs=3)
