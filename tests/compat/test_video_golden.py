"""Recorded sessions of the reference (tests/parity), through the video predictor: the same masks in float64.

The frames are an array, which is resized like an image, as in the recording. Corrections are conditioning frames.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from masklet.compat.sam2.build_sam import build_sam2_video_predictor
from parity.inputs import frames, weights
from support.recorded import PARITY, load_shapes

OVERRIDES = ["++model.add_all_frames_to_correct_as_cond=true", "++model.fill_hole_area=0"]
SIZE = (180, 320)


class Recording:
    """A recorded session, with which masks are compared."""

    def __init__(self, case: str) -> None:
        self.arrays = np.load(PARITY / f"video_{case}.npz")
        self.names = {key.rsplit("_ids", 1)[0] for key in self.arrays.files if key.endswith("_ids")}
        self.count = 1 + max(int(name.split("_")[1]) for name in self.names if name.startswith("forward_"))
        self.clip = frames(self.count, *SIZE, int(case.rsplit("_", 1)[1]) + 100)
        self.seen: set[str] = set()

    def compare(self, name: str, ids: list[int], logits: Any) -> None:
        """Compare the masks of a step."""
        values = logits.numpy()[:, 0]
        assert [*ids] == self.arrays[f"{name}_ids"].tolist(), name
        assert np.array_equal(np.packbits(values > 0), self.arrays[f"{name}_masks"]), name
        expected = self.arrays[f"{name}_sample"]
        assert np.abs(sample(values, expected) - expected).max() < 1e-5, name
        self.seen.add(name)


def sample(array: NDArray[Any], like: NDArray[Any]) -> NDArray[Any]:
    """Every k-th value, as recorded."""
    flat = array.reshape(-1)
    return flat[:: max(1, flat.size // like.size)][: like.size].reshape(like.shape)


def open_case(case: str) -> tuple[Any, Recording]:
    pytest.importorskip("torch")
    name, seed = case.rsplit("_", 1)
    predictor = build_sam2_video_predictor(name, device="cpu", dtype="float64", hydra_overrides_extra=OVERRIDES)
    predictor.load_state_dict(weights(load_shapes()[name], int(seed)))
    return predictor, Recording(case)


def prompt(predictor: Any, state: Any, recording: Recording) -> None:
    """Prompt three objects as in the recording."""
    add = predictor.add_new_points_or_box
    recording.compare("prompt_1", *add(state, 0, 1, points=[[70, 60]], labels=[1])[1:])
    recording.compare("prompt_1b", *add(state, 0, 1, points=[[70, 60], [20, 20]], labels=[1, 0])[1:])
    recording.compare("prompt_2", *add(state, 0, 7, box=[100, 50, 200, 120])[1:])
    mask = np.zeros(SIZE, bool)
    mask[90:160, 210:290] = True
    recording.compare("prompt_3", *predictor.add_new_mask(state, 2, 3, mask)[1:])


@pytest.mark.slow
@pytest.mark.parametrize("case", ["sam2-micro_3", "sam2.1-micro_7"])
def test_every_frame_of_a_recorded_session_has_the_same_masks(case: str) -> None:
    predictor, recording = open_case(case)
    state = predictor.init_state(recording.clip)
    prompt(predictor, state, recording)
    for frame, ids, logits in predictor.propagate_in_video(state):
        recording.compare(f"forward_{frame}", ids, logits)
    middle = recording.count // 2
    correction = predictor.add_new_points_or_box(state, middle, 1, points=[[150, 90]], labels=[1])
    recording.compare("correct", *correction[1:])
    for frame, ids, logits in predictor.propagate_in_video(state, middle, reverse=True):
        recording.compare(f"backward_{frame}", ids, logits)
    assert predictor.remove_object(state, 7)[0] == [1, 3]
    for frame, ids, logits in predictor.propagate_in_video(state, 0, min(6, recording.count) - 1):
        recording.compare(f"again_{frame}", ids, logits)
    assert recording.seen == recording.names
