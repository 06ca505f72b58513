"""A program that calls every method of the image predictor and the mask generator, as client programs do.

It runs under the reference, where `record_reference.py` stores the results of each call, and under masklet. It needs
only NumPy and Pillow.
"""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from compat.call_log import CallLog

CONFIG = "sam2.1-micro"
SEED, SIZE, OTHER_SIZE = 5, (90, 130), (120, 70)
BOXES = np.array([[20, 15, 60, 55], [5, 5, 30, 30], [50, 25, 125, 85]])
ONE, TWO = np.array([1]), np.array([1, 0])
POINT, POINTS = np.array([[35, 30]]), np.array([[35, 30], [100, 50]])
CALM = re.compile(r"(qkv|q_proj)\.weight$")


def make_weights(shapes: dict[str, list[int]]) -> dict[str, NDArray[Any]]:
    """Make weights by formula whose attention is soft, so that float32 and float64 give close masks."""
    from parity.inputs import weights

    scaled = {name: value * 0.1 if CALM.search(name) else value for name, value in weights(shapes, SEED).items()}
    return {name: np.asarray(value, np.float32) for name, value in scaled.items()}


def make_images() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw two images of different sizes."""
    from parity.inputs import frames

    return frames(1, *SIZE, SEED)[0], frames(1, *OTHER_SIZE, SEED + 1)[0]


def run_predictor(api: SimpleNamespace, model: Any, log: CallLog) -> None:
    """Call every method of the image predictor.

    Args:
        api: Namespace with `SAM2ImagePredictor`, `fix`, which adapts a predictor of the reference to a small network,
            and `tensor`, which makes a tensor.
        model: Result of `build_sam2`.
        log: Log of the results.
    """
    image, other = make_images()
    predictor = api.fix(api.SAM2ImagePredictor(model))
    _call_too_early(predictor, log)
    predictor.set_image(image)
    _log_state(predictor, log, "set")
    _predict_image(predictor, log)
    _predict_tensors(api, predictor, log)
    log.call("failed.set_image", lambda: predictor.set_image("image.jpg"))
    log.value("failed.state", [predictor._is_image_set, predictor._is_batch, predictor._features is None])
    predictor.set_image(Image.fromarray(other))
    log.value("pil.size", list(predictor._orig_hw[0]))
    log.call("pil.click", lambda: predictor.predict(POINT, ONE, multimask_output=False))
    _predict_batch(api, predictor, log, image, other)
    _predict_cleaned(api, model, log, image)


def _call_too_early(predictor: Any, log: CallLog) -> None:
    log.call("early.predict", lambda: predictor.predict(POINT, ONE))
    log.call("early._predict", lambda: predictor._predict(None, None))
    log.call("early.embedding", predictor.get_image_embedding)
    log.call("early.predict_batch", lambda: predictor.predict_batch([POINT], [ONE]))
    log.call("early.set_image", lambda: predictor.set_image([[1, 2, 3]]))
    log.call("early.set_image_batch", lambda: predictor.set_image_batch("images"))


def _log_state(predictor: Any, log: CallLog, name: str) -> None:
    log.value(f"{name}.flags", [predictor._is_image_set, predictor._is_batch])
    log.value(f"{name}.orig_hw", [list(size) for size in predictor._orig_hw])
    log.value(f"{name}.features", predictor._features)
    log.call(f"{name}.embedding", predictor.get_image_embedding)


def _predict_image(predictor: Any, log: CallLog) -> None:
    """Predict as the reference's notebook for images does, and from every combination of prompts."""
    predict = predictor.predict
    _, scores, logits = log.call("click", lambda: predict(point_coords=POINT, point_labels=ONE))
    best = logits[np.argmax(scores), :, :][None, :, :]
    log.value("click.sorted", [float(score) for score in scores[np.argsort(scores)[::-1]]])
    calls: dict[str, dict[str, Any]] = {
        "refined": {"point_coords": POINTS, "point_labels": TWO, "mask_input": best, "multimask_output": False},
        "single": {"point_coords": POINT, "point_labels": ONE, "multimask_output": False},
        "box": {"point_coords": None, "point_labels": None, "box": BOXES[0], "multimask_output": False},
        "box_1x4": {"point_coords": None, "point_labels": None, "box": BOXES[:1], "multimask_output": False},
        "box_and_click": {"point_coords": POINT, "point_labels": ONE * 0, "box": BOXES[0], "multimask_output": False},
        "boxes": {"box": BOXES, "multimask_output": False},
        "boxes_multi": {"box": BOXES},
        "boxes_and_clicks": {
            "box": BOXES,
            "point_coords": np.repeat(POINTS[None], 3, axis=0),
            "point_labels": np.repeat(TWO[None], 3, axis=0),
        },
        "objects": {"point_coords": np.array([[[35, 30]], [[100, 50]]]), "point_labels": np.array([[1], [1]])},
        "padded": {"point_coords": np.array([[35, 30], [0, 0]]), "point_labels": np.array([1, -1])},
        "outside": {"point_coords": np.array([[-20.0, 30], [150, 100]]), "point_labels": TWO},
        "fractions": {"point_coords": POINT / np.array([130, 90]), "point_labels": ONE, "normalize_coords": False},
        "box_fractions": {"box": BOXES[0] / np.array([130, 90, 130, 90]), "normalize_coords": False},
        "logits": {"point_coords": POINT, "point_labels": ONE, "return_logits": True},
        "lists": {"point_coords": [[35, 30]], "point_labels": [1], "box": [20, 15, 60, 55]},
        "tuples": {"point_coords": ((35, 30),), "point_labels": (1,)},
        "nothing": {},
        "mask_alone": {"mask_input": best, "multimask_output": False},
        "mask_4d": {"mask_input": best[None], "point_coords": POINT, "point_labels": ONE},
        "one_mask_of_boxes": {"box": BOXES, "mask_input": best, "multimask_output": False},
        "no_labels": {"point_coords": POINT},
    }
    for name, arguments in calls.items():
        log.call(name, lambda arguments=arguments: predict(**arguments))


def _predict_tensors(api: SimpleNamespace, predictor: Any, log: CallLog) -> None:
    """Call the private methods that client programs use."""
    transforms = predictor._transforms
    points, labels = api.tensor(POINTS.astype(np.float32)), api.tensor(TWO.astype(np.int32))
    coords = log.call("transform_coords", lambda: transforms.transform_coords(points, normalize=True, orig_hw=SIZE))
    boxes = api.tensor(BOXES.astype(np.float32))
    corners = log.call("transform_boxes", lambda: transforms.transform_boxes(boxes, normalize=True, orig_hw=SIZE))
    log.call("transform_fractions", lambda: transforms.transform_coords(points / 130))
    log.call("_predict.points", lambda: predictor._predict(coords[None], labels[None], multimask_output=False))
    log.call("_predict.boxes", lambda: predictor._predict(None, None, boxes=corners, return_logits=True))
    low_res = predictor._predict(None, None, boxes=corners)[2]
    log.call("postprocess_masks", lambda: transforms.postprocess_masks(low_res, (45, 65)))
    image, other = make_images()
    log.call("transforms", lambda: transforms(image))
    log.call("forward_batch", lambda: transforms.forward_batch([image, other]))


def _predict_batch(
    api: SimpleNamespace, predictor: Any, log: CallLog, image: NDArray[Any], other: NDArray[Any]
) -> None:
    """Predict on two images at once."""
    predictor.set_image_batch([image, other])
    _log_state(predictor, log, "batch")
    points, labels = [POINT, POINTS], [ONE, TWO]
    predict = predictor.predict_batch
    log.call("batch.points", lambda: predict(points, labels, multimask_output=True))
    log.call("batch.boxes", lambda: predict(box_batch=[BOXES, BOXES[:1]], multimask_output=False))
    masks = [np.zeros((1, 64, 64), np.float32)] * 2
    log.call("batch.masks", lambda: predict(points, labels, None, masks, return_logits=True))
    log.call("batch.last", lambda: predictor.predict(POINT, ONE, multimask_output=False))
    for index, size in enumerate((SIZE, OTHER_SIZE)):  # as fiftyone does
        boxes = api.tensor(BOXES.astype(np.float32))
        corners = predictor._transforms.transform_boxes(boxes, normalize=True, orig_hw=size)
        log.call(
            f"batch._predict.{index}",
            lambda index=index, corners=corners: predictor._predict(
                None, None, boxes=corners, multimask_output=False, img_idx=index
            ),
        )
    log.call("batch.not_arrays", lambda: predictor.set_image_batch([Image.fromarray(image)]))
    log.value("batch.failed", [predictor._is_image_set, predictor._is_batch, predictor._features is None])
    predictor.set_image(image)
    log.call("batch.single_mode", lambda: predict(points, labels))
    predictor.reset_predictor()
    log.value("reset", [predictor._is_image_set, predictor._is_batch, predictor._features is None])


def _predict_cleaned(api: SimpleNamespace, model: Any, log: CallLog, image: NDArray[Any]) -> None:
    """Predict with another threshold, and with holes and islands removed."""
    for name, options in {
        "threshold": {"mask_threshold": 0.7},
        "holes": {"max_hole_area": 40.0},
        "sprinkles": {"max_sprinkle_area": 60.0},
        "cleaned": {"mask_threshold": -0.4, "max_hole_area": 30.0, "max_sprinkle_area": 30.0, "ignored": 1},
    }.items():
        predictor = api.fix(api.SAM2ImagePredictor(model, **options))
        predictor.set_image(image)
        log.call(name, lambda predictor=predictor: predictor.predict(box=BOXES, return_logits=True))


def run_without_postprocessing(api: SimpleNamespace, model: Any, log: CallLog) -> None:
    """Predict single masks with a model that was built with `apply_postprocessing=False`."""
    predictor = api.fix(api.SAM2ImagePredictor(model))
    predictor.set_image(make_images()[0])
    log.call("raw.single", lambda: predictor.predict(POINT, ONE, multimask_output=False))
    log.call("raw.boxes", lambda: predictor.predict(box=BOXES, multimask_output=False))


SMALL = {"mask_threshold": 6.0, "points_per_side": 4}  # masks of a part of the image
GENERATORS: dict[str, dict[str, Any]] = {
    "default": {},
    "binary": {"points_per_batch": 4, "pred_iou_thresh": 0.3, "stability_score_thresh": 0.5, "box_nms_thresh": 1.0},
    "uncompressed": {**SMALL, "output_mode": "uncompressed_rle"},
    "coco": {**SMALL, "output_mode": "coco_rle", "stability_score_offset": 0.5, "box_nms_thresh": 0.3},
    "single": {**SMALL, "multimask_output": False, "mask_threshold": 4.0, "box_nms_thresh": 0.9},
    "grids": {
        "points_per_side": None,
        "point_grids": [np.array([[0.25, 0.4], [0.75, 0.5], [0.1, 0.9]])],
        "mask_threshold": 5.0,
    },
    "m2m": {"points_per_batch": 5, "use_m2m": True, "box_nms_thresh": 1.0, "pred_iou_thresh": 0.25},
    "area": {**SMALL, "min_mask_region_area": 25},
    "crops": {
        **SMALL,
        "crop_n_layers": 1,
        "crop_n_points_downscale_factor": 2,
        "crop_overlap_ratio": 0.4,
        "crop_nms_thresh": 0.9,
        "box_nms_thresh": 0.95,
        "use_m2m": True,
        "min_mask_region_area": 25,
    },
    "neither": {"points_per_side": None},
    "both": {"point_grids": [np.array([[0.5, 0.5]])]},
    "mode": {"output_mode": "png"},
}
PERMISSIVE = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.01}  # an empty mask is not stable


def run_generator(api: SimpleNamespace, model: Any, log: CallLog) -> None:
    """Call the mask generator with every option."""
    image = make_images()[0]
    for name, options in GENERATORS.items():
        log.call(f"generator.{name}", lambda options=options: _generate(api, model, image, options))


def _generate(api: SimpleNamespace, model: Any, image: NDArray[Any], options: dict[str, Any]) -> Any:
    chosen = {"points_per_side": 3, **(PERMISSIVE if options else {}), **options}
    generator = api.SAM2AutomaticMaskGenerator(model, **chosen)
    api.fix(generator.predictor)
    return generator.generate(image)


def run_utilities(api: SimpleNamespace, model: Any, log: CallLog) -> None:
    """Call the functions of `sam2.utils.amg` that client programs use, on tensors. They need no model."""
    amg = api.amg
    rng = np.random.RandomState(SEED)
    masks = np.stack([rng.rand(20, 30) > share for share in (0.5, 0.9, 2.0, -1.0)])
    tensor = api.tensor(masks)
    rles = log.call("amg.mask_to_rle_pytorch", lambda: amg.mask_to_rle_pytorch(tensor))
    log.call("amg.rle_to_mask", lambda: [amg.rle_to_mask(rle) for rle in rles])
    log.call("amg.area_from_rle", lambda: [int(amg.area_from_rle(rle)) for rle in rles])
    log.call("amg.coco_encode_rle", lambda: [amg.coco_encode_rle(rle) for rle in rles])
    log.call("amg.batched_mask_to_box", lambda: amg.batched_mask_to_box(tensor))
    log.call("amg.batched_mask_to_box.2d", lambda: amg.batched_mask_to_box(tensor[0]))
    for mode in ("holes", "islands", "other"):
        log.call(f"amg.remove_small_regions.{mode}", lambda mode=mode: amg.remove_small_regions(masks[1], 4, mode))
        log.call(f"amg.remove_all.{mode}", lambda mode=mode: amg.remove_small_regions(masks[1], 900, mode))
    log.call("amg.build_point_grid", lambda: amg.build_point_grid(3))
    log.call("amg.build_all_layer_point_grids", lambda: amg.build_all_layer_point_grids(4, 1, 2))
    log.call("amg.generate_crop_boxes", lambda: amg.generate_crop_boxes((90, 130), 2, 0.4))
    boxes = api.tensor(np.array([[3.0, 4, 20, 30], [40, 40, 60, 41]], np.float32))
    log.call("amg.box_xyxy_to_xywh", lambda: amg.box_xyxy_to_xywh(boxes[0]))
    log.call("amg.uncrop_boxes_xyxy", lambda: amg.uncrop_boxes_xyxy(boxes, [5, 6, 65, 76]))
    log.call("amg.uncrop_points", lambda: amg.uncrop_points(boxes[:, :2], [5, 6, 65, 76]))
    log.call("amg.uncrop_masks", lambda: amg.uncrop_masks(tensor, [5, 6, 35, 26], 40, 50))
    log.call("amg.is_box_near_crop_edge", lambda: amg.is_box_near_crop_edge(boxes, [5, 6, 65, 76], [0, 0, 90, 90]))
    logits = api.tensor(rng.randn(3, 20, 30).astype(np.float32))
    log.call("amg.calculate_stability_score", lambda: amg.calculate_stability_score(logits, 0.1, 0.5))
    log.call("amg.batch_iterator", lambda: [list(map(len, batch)) for batch in amg.batch_iterator(2, [1, 2, 3])])
    data = amg.MaskData(rles=rles[:3], boxes=amg.batched_mask_to_box(tensor)[:3])
    small = api.SAM2AutomaticMaskGenerator.postprocess_small_regions(data, 5, 0.9)
    log.value("amg.postprocess_small_regions", dict(small.items()))
