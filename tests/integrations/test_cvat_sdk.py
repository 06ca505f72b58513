"""Functions for CVAT under the interfaces of cvat-sdk, and masks read by its decoder."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("cvat_sdk")

from cvat_sdk import auto_annotation as cvataa
from cvat_sdk.masks import decode_mask, encode_mask
from PIL import Image

from masklet.errors import PromptError
from masklet.integrations.cvat import detector, interactor, tracker
from masklet.masks.cvat_shapes import decode_cvat_mask, encode_cvat_mask
from masklet.masks.polygons import rasterize
from masklet.segmenter import Segmenter
from support.gray_world import GrayWorld
from support.tool_protocols import SIDE, draw, make_mask

A, B = (8, 16, 24, 48), (40, 4, 60, 20)
CONTEXT = SimpleNamespace(frame_name="0.png", conf_threshold=None, conv_mask_to_poly=False, original_shape_type="mask")


def make_frame(step=0, *, hidden=False):
    return Image.fromarray(draw({200: B} if hidden else {100: (8 + step, 16, 24 + step, 48), 200: B}))


def read_mask(points):
    return decode_mask(points, image_width=SIDE, image_height=SIDE)


@pytest.mark.parametrize(("shape", "share"), [((1, 1), 1), ((7, 13), 0.4), ((90, 120), 0.01), ((5, 5), 0)])
def test_mask_runs_are_those_of_the_sdk(shape, share):
    mask = np.random.default_rng(3).random(shape) < share
    points = encode_cvat_mask(mask)
    assert points == encode_mask(mask)
    assert (decode_mask(points, image_width=shape[1], image_height=shape[0]) == mask).all()
    assert (decode_cvat_mask(encode_mask(mask), shape) == mask).all()


@pytest.mark.parametrize("threshold", [None, 0.5])
def test_detection_gives_masks_or_polygons_of_everything(threshold):
    function = detector.Detector(Segmenter(GrayWorld()), "thing")
    (label,) = function.spec.labels
    assert (label.name, label.id, label.type) == ("thing", 0, "mask")
    context = SimpleNamespace(frame_name="0.png", conf_threshold=threshold, conv_mask_to_poly=False)
    shapes = function.detect(context, make_frame())
    masks = [read_mask(shape.points) for shape in shapes]
    assert {(shape.label_id, str(shape.type), shape.frame) for shape in shapes} == {(0, "mask", 0)}
    assert any((mask == make_mask(A)).all() for mask in masks) and any((mask == make_mask(B)).all() for mask in masks)
    context.conv_mask_to_poly = True
    outlines = function.detect(context, make_frame())
    assert {str(shape.type) for shape in outlines} == {"polygon"}
    pairs = zip(outlines, masks, strict=True)
    assert all((rasterize([shape.points], (SIDE, SIDE)) == mask).all() for shape, mask in pairs)


def test_interaction_uses_points_and_a_box_on_a_prepared_image():
    function = interactor.Interactor(Segmenter(GrayWorld()))
    assert function.spec == cvataa.InteractionFunctionSpec(min_pos_points=1, min_neg_points=0, min_bounding_boxes=0)
    prepared = function.preprocess_image(CONTEXT, make_frame().convert("L"))
    prompts = SimpleNamespace(pos_points=((12.0, 20.0),), neg_points=((50.0, 10.0),), bounding_box=None)
    for box in (None, ((8.0, 16.0), (24.0, 48.0))):
        prompts.bounding_box = box
        (shape,) = function.detect(CONTEXT, prepared, prompts)
        assert shape.type == "mask" and (read_mask(shape.points) == make_mask(A)).all()
        (confidence,) = shape.attributes
        assert confidence.spec_id == cvataa.InteractionResultAttributes.CONFIDENCE and 0 <= float(confidence.value) <= 1
    prompts = SimpleNamespace(pos_points=((99.0, 20.0),), neg_points=(), bounding_box=None)
    with pytest.raises(PromptError, match="outside the image"):
        function.detect(CONTEXT, prepared, prompts)


@pytest.mark.parametrize("kind", ["mask", "polygon", "rectangle"])
def test_tracking_follows_a_shape_and_reports_that_it_is_hidden(kind):
    function = tracker.ShapeTracker(Segmenter(GrayWorld()))
    assert kind in function.spec.supported_shape_types
    points = {"mask": encode_mask(make_mask(A)), "polygon": [8, 16, 24, 16, 24, 48, 8, 48], "rectangle": [*A]}[kind]
    shape = cvataa.TrackableShape(type=kind, points=points)
    state = function.init_tracking_state(CONTEXT, function.preprocess_image(CONTEXT, make_frame()), shape)
    found = [function.track(CONTEXT, function.preprocess_image(CONTEXT, image), state)
             for image in (make_frame(2), make_frame(2, hidden=True), make_frame(5))]  # fmt: skip
    assert found[1] is None
    for one, step in ((found[0], 2), (found[2], 5)):
        assert one.type == kind
        expected = make_mask((8 + step, 16, 24 + step, 48))
        if kind == "rectangle":
            assert one.points == [8 + step, 16, 24 + step, 48]
        else:
            mask = read_mask(one.points) if kind == "mask" else rasterize([one.points], (SIDE, SIDE))
            assert (mask == expected).all()


def test_shapes_on_one_frame_share_its_embedding():
    backend = GrayWorld()
    function = tracker.ShapeTracker(Segmenter(backend))
    image = function.preprocess_image(CONTEXT, make_frame())
    states = [function.init_tracking_state(CONTEXT, image, cvataa.TrackableShape(type="rectangle", points=[*box]))
              for box in (A, B)]  # fmt: skip
    assert backend.encoded == 1
    image = function.preprocess_image(CONTEXT, make_frame(2))
    assert [function.track(CONTEXT, image, state).points for state in states] == [[10, 16, 26, 48], [*B]]
    assert backend.encoded == 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["detector", "interactor", "tracker"])
def test_cvat_cli_loads_the_functions_by_their_module(kind):
    common = pytest.importorskip("cvat_cli._internal.common")
    loader = common.FunctionLoader(f"masklet.integrations.cvat.{kind}", None, {"model": "nano", "runtime": "onnx"})
    spec = loader.load().spec
    assert isinstance(spec, cvataa.DetectionFunctionSpec | cvataa.InteractionFunctionSpec | cvataa.TrackingFunctionSpec)
