"""Predictions on several images at a time, whose prompts are decoded in one call of the backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from masklet.backend import Backend, Decoded
from masklet.masks.masks import Masks
from masklet.predict.embedded_image import EmbeddedImage
from masklet.predict.prompt_prediction import DecodeCall, run_decoder
from masklet.prompts import Prompt


class PredictionRequest(NamedTuple):
    """Arguments of `EmbeddedImage.predict`, and the image."""

    image: EmbeddedImage
    prompts: Mapping[int, Prompt]
    multimask: bool | None = None
    refine: Masks | None = None


def predict_batch(backend: Backend, requests: Sequence[PredictionRequest]) -> list[Masks | Exception]:
    """Predict the masks of several requests. Each has the masks that it would have alone.

    Requests without zoom take one call of the decoder together; those with zoom take two or three.

    Args:
        backend: Backend of all images.
        requests: The requests, of the same image or of different ones.

    Returns:
        The masks of each request, or the error that it raised, which does not affect the others.
    """
    runs = [one.image.predict_in_steps(one.prompts, multimask=one.multimask, refine=one.refine) for one in requests]
    results: dict[int, Masks | Exception] = {}
    decoded: dict[int, Decoded | None] = dict.fromkeys(range(len(runs)))
    while decoded:
        calls: dict[int, DecodeCall] = {}
        for key, result in decoded.items():
            try:
                calls[key] = runs[key].send(result)  # type: ignore[arg-type]
            except StopIteration as end:
                results[key] = end.value
            except Exception as error:  # noqa: BLE001 - it belongs to one request
                results[key] = error
        try:
            decoded = dict(zip(calls, _decode_together(backend, [*calls.values()]), strict=True))
        except Exception as error:  # noqa: BLE001 - it belongs to all requests that are not complete
            results |= dict.fromkeys(calls, error)
            decoded = {}
    return [results[key] for key in range(len(runs))]


def _decode_together(backend: Backend, calls: Sequence[DecodeCall]) -> list[Decoded]:
    """Run calls of images, whose features have one row each, as one call."""
    if len(calls) <= 1:
        return [run_decoder(backend, call) for call in calls]
    is_one_image = all(call.features.stride4 is calls[0].features.stride4 for call in calls)
    queries = [query for call in calls for query in call.queries]
    features = [call.features for call in calls for _ in call.queries]
    joined = calls[0].features if is_one_image else backend.join(features)
    return backend.split(backend.decode(joined, queries), [len(call.queries) for call in calls])
