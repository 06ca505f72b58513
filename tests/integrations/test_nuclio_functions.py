"""Functions of nuclio for CVAT: handlers as nuclio calls them, and the example folders."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

from masklet.integrations.cvat import nuclio
from masklet.integrations.cvat.nuclio import InteractorFunction, TrackerFunction, respond
from masklet.segmenter import Segmenter
from support.gray_world import GrayWorld
from support.tool_protocols import draw, encode_png, make_mask

EXAMPLES = Path(__file__).parents[2] / "examples" / "cvat-nuclio"
A, B = (8, 16, 24, 48), (40, 4, 60, 20)


def moving(step, *, hidden=False):
    return encode_png(draw({} if hidden else {100: (8 + step, 16, 24 + step, 48), 200: B}))


def call(function, **body):
    text, status = respond(function, body)
    assert status == 200, text
    return json.loads(text)


def make_context():
    """Return a context as nuclio passes it, with a response of its attributes."""
    return SimpleNamespace(user_data=SimpleNamespace(), Response=SimpleNamespace, logger=SimpleNamespace(error=print))


@pytest.mark.parametrize("kind", ["interactor", "tracker"])
def test_the_examples_work_as_nuclio_calls_them(kind, monkeypatch):
    options = {}
    monkeypatch.setattr(
        nuclio, "load", lambda name, **given: options.update(given, name=name) or Segmenter(GrayWorld())
    )
    monkeypatch.setenv("MASKLET_MODEL", "sam2.1-tiny")
    module = runpy.run_path(str(EXAMPLES / kind / "main.py"))
    context = make_context()
    module["init_context"](context)
    assert options == {"name": "sam2.1-tiny", "device": None}
    body = {
        "image": moving(0),
        "pos_points": [[12, 20]],
        "neg_points": [],
        "obj_bbox": None,
        "shapes": [[*A]],
        "states": [],
    }
    response = module["handler"](context, SimpleNamespace(body=body))
    assert (response.status_code, response.content_type, response.headers) == (200, "application/json", {})
    assert set(json.loads(response.body)) == ({"mask"} if kind == "interactor" else {"shapes", "states"})
    response = module["handler"](context, SimpleNamespace(body=b"{"))
    assert response.status_code == 400 and "JSON" in json.loads(response.body)["error"]


@pytest.mark.parametrize("kind", ["interactor", "tracker"])
def test_the_metadata_are_those_that_cvat_reads(kind):
    yaml = pytest.importorskip("yaml")
    content = yaml.safe_load((EXAMPLES / kind / "function.yaml").read_text())
    annotations = content["metadata"]["annotations"]
    assert (content["metadata"]["namespace"], annotations["type"], content["spec"]["handler"]) == (
        "cvat",
        kind,
        "main:handler",
    )
    assert json.loads(annotations.get("spec") or "[]") == [] and int(annotations["version"]) == 2
    trigger = content["spec"]["triggers"]["myHttpTrigger"]
    assert (trigger["kind"], trigger["numWorkers"]) == ("http", 1)
    assert {one["name"] for one in content["spec"]["env"]} == {nuclio.MODEL_VARIABLE, nuclio.DEVICE_VARIABLE}
    if kind == "interactor":
        assert (annotations["min_pos_points"], annotations["min_neg_points"]) == (1, 0)


def test_an_interaction_gives_rows_and_encodes_each_image_once():
    backend = GrayWorld()
    function = InteractorFunction(Segmenter(backend))
    for _ in range(2):
        response = call(function, image=moving(0), pos_points=[[12, 20]], neg_points=[[50, 10]], obj_bbox=[])
        assert response == {"mask": make_mask(A).astype(int).tolist()}
    assert backend.encoded == 1
    for step in range(1, 6):
        call(function, image=moving(step), pos_points=[[20, 20]])
    assert len(function._images) == 4


def test_shapes_are_followed_and_stay_while_their_object_is_hidden():
    function = TrackerFunction(Segmenter(GrayWorld()))
    states = call(function, image=moving(0), shapes=[[*A], [*B]], states=[None, None])["states"]
    response = call(function, image=moving(3), shapes=[[*A], [*B]], states=states)
    assert response == {"shapes": [[11, 16, 27, 48], [*B]], "states": states}
    hidden = call(function, image=moving(3, hidden=True), shapes=response["shapes"], states=states)
    assert hidden == response
    mixed = call(function, image=moving(5), shapes=[[13, 16, 29, 48], [*B]], states=[states[0], None])
    assert mixed["shapes"] == [[13, 16, 29, 48], [*B]] and mixed["states"][0] == states[0] != mixed["states"][1]


def test_tracks_are_limited_and_end_after_a_time():
    clock = [0.0]
    function = TrackerFunction(Segmenter(GrayWorld()), max_tracks=2, now=lambda: clock[0])
    first, second, third = [call(function, image=moving(0), shapes=[[*A]])["states"] for _ in range(3)]
    body, status = respond(function, {"image": moving(0), "states": first})
    assert status == 400 and "no track" in json.loads(body)["error"]
    call(function, image=moving(1), states=second)
    clock[0] = nuclio.TRACK_LIFETIME_S + 1
    assert respond(function, {"image": moving(0), "states": third})[1] == 400


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("[]", "an object"),
        ({"pos_points": [[1, 1]]}, "no field 'image'"),
        ({"image": "!", "pos_points": [[1, 1]]}, "base64"),
        ({"image": "AAAA", "pos_points": [[1, 1]]}, "image"),
        ({"image": moving(0), "pos_points": [[1, 99]]}, "outside the image"),
    ],
)
def test_bad_requests_get_errors_of_one_line(body, message):
    text, status = respond(InteractorFunction(Segmenter(GrayWorld())), body)
    assert status == 400 and message in json.loads(text)["error"]


def test_a_broken_shape_does_not_begin_a_track():
    function = TrackerFunction(Segmenter(GrayWorld()))
    for shape in ([1, 2, 3], "a", [5, 5, 5, 9]):
        assert respond(function, {"image": moving(0), "shapes": [shape]})[1] == 400
    assert not function._tracks
