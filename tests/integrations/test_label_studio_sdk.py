"""Predictions for Label Studio, read by label-studio-sdk: its decoder of brush masks and its checks of predictions."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("label_studio_sdk")

from label_studio_sdk.converter.brush import decode_rle, mask2rle
from label_studio_sdk.label_interface import LabelInterface
from label_studio_sdk.label_interface.objects import PredictionValue

from masklet.masks.brush_rle import decode_brush, encode_brush
from masklet.serve.protocols import label_studio
from support.tool_protocols import SIDE, draw, encode_png, make_mask, open_protocol

A, B = (8, 16, 24, 48), (40, 4, 60, 20)
LABELS = '<Label value="cat"/><Label value="dog"/>'
CONFIG = f"""
<View>
  <Image name="image" value="$image"/>
  <{{output}} name="tag" toName="image">{LABELS}</{{output}}>
  <KeyPointLabels name="tag2" toName="image" smart="true">{LABELS}</KeyPointLabels>
</View>
"""
POINT = {"type": "keypointlabels", "value": {"x": 20, "y": 30, "keypointlabels": ["dog"]}, "is_positive": 1,
         "to_name": "image", "from_name": "tag2"}  # fmt: skip


@pytest.mark.parametrize(("shape", "share"), [((1, 1), 1), ((7, 13), 0.4), ((90, 120), 0.01), ((300, 300), 0)])
def test_brush_rle_is_that_of_the_official_encoder(shape, share):
    mask = np.random.default_rng(3).random(shape) < share
    code = encode_brush(mask)
    assert code == mask2rle(mask.astype(np.uint8) * 255)
    assert (decode_rle(code).reshape(*shape, 4)[..., 3] == np.where(mask, 255, 0)).all()
    assert (decode_brush(mask2rle(mask.astype(np.uint8) * 255), shape) == mask).all()


@pytest.mark.parametrize("output", ["BrushLabels", "PolygonLabels", "RectangleLabels", "BitmaskLabels"])
def test_predictions_are_valid_for_the_label_configuration(output):
    config = CONFIG.format(output=output)
    task = {"id": 1, "data": {"image": f"data:image/png;base64,{encode_png(draw({100: A, 200: B}))}"}}
    body = {"tasks": [task], "label_config": config, "project": "1.1", "params": {"context": {"result": [POINT]}}}
    with open_protocol(label_studio) as client:
        (prediction,) = client.post("/predict", json=body).json()["results"]
    assert prediction["result"][0]["from_name"] == "tag"
    parsed = PredictionValue(**prediction)
    assert parsed.model_version == prediction["model_version"] and len(parsed.result) == 1
    assert LabelInterface(config).validate_prediction(prediction)
    if output == "BrushLabels":
        value = prediction["result"][0]["value"]
        alpha = decode_rle(value["rle"]).reshape(SIDE, SIDE, 4)[..., 3]
        assert (alpha == np.where(make_mask(A), 255, 0)).all() and value["brushlabels"] == ["dog"]
