"""Calls of public programs for images, with the embedded model: they import `sam2` and run unchanged."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import masklet
from masklet.compat.sam2 import install
from masklet.compat.sam2.array import to_numpy
from parity.inputs import frames

SIZE = (90, 130)
CIRCLE, GROUND = (26, 32), (100, 8)
BOX, BOXES = [10, 18, 42, 46], np.array([[10, 18, 42, 46], [44, 28, 76, 64], [4, 60, 60, 88]])


@pytest.fixture(scope="module", autouse=True)
def sam2() -> Iterator[None]:
    """Let programs import `sam2`."""
    finders = list(sys.meta_path)
    install()
    yield
    sys.meta_path[:] = finders
    for name in [name for name in sys.modules if name == "sam2" or name.startswith("sam2.")]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def image() -> NDArray[np.uint8]:
    return frames(1, *SIZE, 3)[0]


@pytest.fixture(scope="module")
def model(sam2: None) -> Any:
    from sam2.build_sam import build_sam2

    return build_sam2("nano", None, device="cpu", runtime="onnx")


@pytest.fixture(scope="module")
def embedded(image: NDArray[np.uint8]) -> masklet.EmbeddedImage:
    """The image in masklet's own interface."""
    return masklet.load(runtime="onnx", zoom=0).embed(image, warn=False)


def test_example_of_the_image_predictor(model: Any, image: NDArray[np.uint8], embedded: masklet.EmbeddedImage) -> None:
    """Facebookresearch/sam2, notebooks/image_predictor_example.ipynb."""
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    predictor = SAM2ImagePredictor(model)
    predictor.set_image(Image.fromarray(image))
    assert predictor._features["image_embed"].shape == (1, 128, 16, 16)
    assert predictor._features["image_embed"][-1].shape == (128, 16, 16)
    point, label = np.array([CIRCLE]), np.array([1])
    masks, scores, logits = predictor.predict(point_coords=point, point_labels=label, multimask_output=True)
    order = np.argsort(scores)[::-1]
    masks, scores, logits = masks[order], scores[order], logits[order]
    expected = embedded.predict(masklet.click(*CIRCLE), multimask=True)
    assert np.array_equal(masks.astype(bool), expected.binary[order])
    assert np.allclose(scores, np.sort(expected.scores)[::-1], atol=1e-6)
    assert masks.shape == (3, *SIZE)
    assert logits.shape == (3, 64, 64)

    points, labels = np.array([CIRCLE, GROUND]), np.array([1, 0])
    mask_input = logits[np.argmax(scores), :, :]
    masks, _, _ = predictor.predict(
        point_coords=points, point_labels=labels, mask_input=mask_input[None, :, :], multimask_output=False
    )
    refined = embedded.predict(masklet.clicks(points, labels), multimask=False, refine=expected[int(order[0])])
    assert np.array_equal(masks.astype(bool), refined.binary)

    masks, _, _ = predictor.predict(
        point_coords=None, point_labels=None, box=np.array(BOX)[None, :], multimask_output=False
    )
    assert np.array_equal(masks.astype(bool), embedded.predict(masklet.box(*BOX), multimask=False).binary)
    masks, scores, _ = predictor.predict(point_coords=None, point_labels=None, box=BOXES, multimask_output=False)
    assert masks.shape == (3, 1, *SIZE)
    assert scores.shape == (3, 1)
    boxes = embedded.predict([masklet.box(*one) for one in BOXES], multimask=False)
    assert np.array_equal(masks.squeeze(1).astype(bool), boxes.binary)


@pytest.mark.slow
def test_example_of_the_image_predictor_with_a_batch(model: Any, image: NDArray[np.uint8]) -> None:
    """The cells with `set_image_batch`."""
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    predictor = SAM2ImagePredictor(model)
    other = np.ascontiguousarray(image[:70, :80])
    predictor.set_image_batch([image, other])
    masks_batch, scores_batch, _ = predictor.predict_batch(
        None, None, box_batch=[BOXES, BOXES[:2]], multimask_output=False
    )
    assert [masks.shape for masks in masks_batch] == [(3, 1, *SIZE), (2, 1, 70, 80)]
    points = [np.array([[CIRCLE], [GROUND]]), np.array([[CIRCLE]])]
    labels = [np.array([[1], [1]]), np.array([[1]])]
    masks_batch, scores_batch, _ = predictor.predict_batch(points, labels, box_batch=None, multimask_output=True)
    best = [masks[range(len(masks)), np.argmax(scores, axis=-1)] if masks.ndim == 4 else masks[np.argmax(scores)]
            for masks, scores in zip(masks_batch, scores_batch, strict=True)]  # fmt: skip
    assert [masks.shape for masks in best] == [(2, *SIZE), (70, 80)]
    predictor.set_image(image)
    alone = predictor.predict(points[0], labels[0])
    assert np.array_equal(alone[0], masks_batch[0])


def test_example_of_the_mask_generator(model: Any, image: NDArray[np.uint8]) -> None:
    """Facebookresearch/sam2, notebooks/automatic_mask_generator_example.ipynb."""
    from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator

    generator = SAM2AutomaticMaskGenerator(model, points_per_side=4, pred_iou_thresh=0.4, stability_score_thresh=0.3)
    masks = generator.generate(image)
    options = masklet.MaskGeneratorOptions(points_per_side=4, pred_iou_thresh=0.4, stability_score_thresh=0.3)
    expected = masklet.load(runtime="onnx", zoom=0).generate_masks(image, options)
    assert len(masks) == len(expected) > 2
    assert masks[0].keys() == {
        *("segmentation", "area", "bbox", "predicted_iou", "point_coords", "stability_score", "crop_box")
    }
    for mask, own in zip(masks, expected.to_records("binary_mask"), strict=True):
        assert mask["segmentation"].dtype == bool
        assert np.array_equal(mask["segmentation"], own["segmentation"])
        assert mask["area"] == int(mask["segmentation"].sum())
    drawn = sorted(masks, key=lambda one: one["area"], reverse=True)
    assert drawn[0]["area"] >= drawn[-1]["area"]


def test_handler_of_nuclio_in_cvat(model: Any, image: NDArray[np.uint8]) -> None:
    """Cvat-ai/cvat, serverless/pytorch/facebookresearch/sam2/nuclio/model_handler.py."""
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    predictor = SAM2ImagePredictor(model)
    predictor.set_image(np.array(Image.fromarray(image)))
    masks, scores, _ = predictor.predict(
        point_coords=np.array([list(CIRCLE), list(GROUND)]), point_labels=np.array([1, 0]), multimask_output=True
    )
    mask = masks[np.argsort(scores)[::-1]][0]
    assert mask[CIRCLE[1], CIRCLE[0]]
    assert not mask[GROUND[1], GROUND[0]]


@pytest.mark.slow
def test_server_samapi(image: NDArray[np.uint8]) -> None:
    """Ksugar/samapi, src/samapi/main.py: its own `load_state_dict`, tuples and None."""
    from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
    from sam2.build_sam import build_sam2
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    from masklet.checkpoints.hub import get_embedded_path
    from masklet.checkpoints.reader import read_tensors

    built = build_sam2(config_file="nano", device="cpu", runtime="onnx")
    built.load_state_dict(read_tensors(get_embedded_path()))
    predictor = SAM2ImagePredictor(built)
    predictor.set_image(image)
    masks, quality, _ = predictor.predict(
        point_coords=np.array((CIRCLE, GROUND)), point_labels=np.array((1, 0)), box=None, multimask_output=False
    )
    assert masks.shape == (1, *SIZE)
    assert quality.shape == (1,)
    masks, _, _ = predictor.predict(
        point_coords=None, point_labels=None, box=np.array(tuple(BOX)), mask_input=None, multimask_output=True
    )
    assert masks[0, CIRCLE[1], CIRCLE[0]]
    generator = SAM2AutomaticMaskGenerator(
        model=built, points_per_side=3, points_per_batch=64, pred_iou_thresh=0.0, stability_score_thresh=0.0,
        stability_score_offset=1.0, box_nms_thresh=0.7, crop_n_layers=0, crop_nms_thresh=0.7,
        crop_overlap_ratio=512 / 1500, crop_n_points_downscale_factor=1, min_mask_region_area=0,
        output_mode="coco_rle",
    )  # fmt: skip
    assert generator.generate(image)[0]["segmentation"]["size"] == list(SIZE)


def test_models_of_fiftyone(model: Any, image: NDArray[np.uint8]) -> None:
    """voxel51/fiftyone, fiftyone/utils/sam2.py: private methods of a batch of images."""
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    predictor = SAM2ImagePredictor(model)
    images = [image, np.ascontiguousarray(image[:70, :80])]
    predictor.set_image_batch(images)
    found = []
    for index, one in enumerate(images):
        height, width = one.shape[:2]
        boxes = np.round(BOXES[:2] / (width, height, width, height) * (width, height, width, height)).astype(int)
        _, _, _, corners = predictor._prep_prompts(None, None, boxes, None, True, index)
        masks, ious, _ = predictor._predict(
            point_coords=None, point_labels=None, boxes=corners, multimask_output=False, img_idx=index
        )
        found.append(SimpleNamespace(masks=masks.squeeze(1), scores=ious))
        points, labels = np.array([[CIRCLE]]), np.array([[1]])
        _, coords, marks, _ = predictor._prep_prompts(points, labels, None, None, True, index)
        three, scores, _ = predictor._predict(point_coords=coords, point_labels=marks, img_idx=index)
        assert three[0, scores[0].argmax()].shape == (height, width)
    assert [tuple(one.masks.shape) for one in found] == [(2, *SIZE), (2, 70, 80)]
    assert to_numpy(found[0].masks).dtype == bool
    assert predictor.get_image_embedding().shape[0] == 2


def test_cache_of_features(model: Any, image: NDArray[np.uint8]) -> None:
    """CVHub520/X-AnyLabeling-Server: the features of an image are installed in the predictor again."""
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    predictor = SAM2ImagePredictor(model)
    predictor.set_image(image)
    cached = {"features": predictor._features, "orig_hw": predictor._orig_hw}
    expected = predictor.predict(box=BOX, multimask_output=False)
    predictor.reset_predictor()
    for features in (cached["features"], {
        "image_embed": to_numpy(cached["features"]["image_embed"]),
        "high_res_feats": [to_numpy(level) for level in cached["features"]["high_res_feats"]],
    }):  # fmt: skip
        predictor._features, predictor._orig_hw, predictor._is_image_set = features, cached["orig_hw"], True
        found = predictor.predict(box=BOX, multimask_output=False)
        assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"point_coords": [[1, 2]], "point_labels": [1, 1]}, "points must be"),
        ({"point_coords": [[1, 2]], "point_labels": [7]}, "labels must be 1, 0 or −1, got"),
        ({"point_coords": [["a", 2]], "point_labels": [1]}, "point_coords must be numbers"),
        ({"box": BOXES, "mask_input": np.zeros((2, 1, 64, 64))}, "mask_input must be"),
        ({"box": BOXES, "point_coords": [[[1, 2]]], "point_labels": [[1]]}, "of 3 objects"),
    ],
)
def test_prompts_that_do_not_fit_are_refused(
    given: dict[str, Any], message: str, model: Any, image: NDArray[np.uint8]
) -> None:
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    predictor = SAM2ImagePredictor(model)
    predictor._features, predictor._orig_hw, predictor._is_image_set = None, [SIZE], True
    with pytest.raises(masklet.PromptError, match=message):
        predictor.predict(**given)


@pytest.mark.parametrize(
    "bad", [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 4), np.uint8), np.zeros((5, 5, 3), np.int32)]
)
def test_after_an_image_that_is_refused_no_image_is_set(bad: Any, model: Any, image: NDArray[np.uint8]) -> None:
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    predictor = SAM2ImagePredictor(model)
    predictor.set_image(image)
    with pytest.raises(masklet.ImageError):
        predictor.set_image(bad)
    assert (predictor._is_image_set, predictor._features, predictor._orig_hw) == (False, None, None)
    with pytest.raises(RuntimeError, match="An image must be set"):
        predictor.predict(box=BOX)


@pytest.mark.slow
def test_fractions_give_the_masks_of_whole_numbers(model: Any, image: NDArray[np.uint8]) -> None:
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    predictor = SAM2ImagePredictor(model)
    results = []
    for one in (image, (image / 255).astype(np.float32)):
        predictor.set_image(one)
        results.append(predictor.predict(box=BOX, multimask_output=False)[0])
    assert np.mean(results[0] != results[1]) < 1e-3
