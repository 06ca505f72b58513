"""Automatic tracking: ids are stable, new objects get new ids, lost objects are dropped, memory is constant."""

from __future__ import annotations

import gc
import re
import tracemalloc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage

import masklet
from masklet.backend import Decoded
from masklet.config import EMBEDDED_MODEL
from masklet.errors import SettingsError
from masklet.masks.tracked_frame import TrackedFrame
from masklet.predict.mask_generator import MaskGeneratorOptions
from masklet.segmenter import Segmenter
from masklet.tracking.auto_tracker import AutoTracker, AutoTrackOptions
from masklet.tracking.propagate import need_nothing, propagate
from masklet.tracking.tracker import Tracker
from masklet.tracking.traversal import visit_in_order
from masklet.video.frames import Frame
from support.clips import write_clip
from support.gray_world import Box, GrayWorld, draw_boxes

SEARCH = MaskGeneratorOptions(points_per_side=8)
QUICK = AutoTrackOptions(SEARCH, every=4, patience=3)


def auto_track(
    backend: GrayWorld, frames: Iterable[Frame], options: AutoTrackOptions = QUICK, tracker: Tracker | None = None
) -> Iterator[TrackedFrame]:
    tracker = tracker or Tracker(backend)
    after = AutoTracker(tracker, options).update
    return propagate(tracker, visit_in_order(frames), after=after, needed=need_nothing)


def track(clip: Sequence[Mapping[int, Box]], options: AutoTrackOptions = QUICK) -> list[TrackedFrame]:
    frames = [Frame(index, index / 10, draw_boxes(things)) for index, things in enumerate(clip)]
    return list(auto_track(GrayWorld(), frames, options))


def ids(frames: Sequence[TrackedFrame]) -> list[tuple[int, ...]]:
    return [frame.masks.object_ids for frame in frames]


def values(frame: TrackedFrame, clip: Sequence[Mapping[int, Box]]) -> dict[int, int]:
    """Return the gray value of each visible object."""
    image = draw_boxes(clip[frame.index])[..., 0]
    pairs = zip(frame.masks.object_ids, frame.masks.binary, strict=True)
    return {key: int(np.unique(image[mask]).item()) for key, mask in pairs if mask.any()}


def test_moving_objects_keep_their_ids() -> None:
    clip = [{50: (2 + t, 2, 12 + t, 12), 80: (40 - t, 20, 55 - t, 35)} for t in range(20)]
    frames = track(clip)
    assert ids(frames) == [(1, 2)] * 20
    assert all(values(frame, clip) == values(frames[0], clip) for frame in frames)
    assert set(values(frames[0], clip).values()) == {50, 80}


def test_a_new_object_gets_a_new_id_when_masks_are_generated_next() -> None:
    clip = [{50: (2, 2, 12, 12), **({90: (30, 5, 42, 17)} if t >= 5 else {})} for t in range(12)]
    frames = track(clip)
    assert ids(frames) == [(1,)] * 8 + [(1, 2)] * 4  # masks are generated on frames 0, 4 and 8
    assert values(frames[8], clip) == {1: 50, 2: 90}


def test_a_lost_object_is_dropped_and_its_id_is_not_used_again() -> None:
    clip = [{50: (2, 2, 12, 12), **({70: (30, 5, 42, 17)} if t < 5 or t >= 12 else {})} for t in range(16)]
    frames = track(clip)
    lost = next(key for key, value in values(frames[0], clip).items() if value == 70)
    tracked = [lost in object_ids for object_ids in ids(frames)]
    assert tracked == [True] * 7 + [False] * 9  # hidden on 5 and 6, dropped on 7
    assert values(frames[12], clip) == {3 - lost: 50, 3: 70}


def test_an_object_that_is_hidden_for_a_short_time_keeps_its_id() -> None:
    clip = [{50: (2, 2, 12, 12)} if t not in (5, 6) else {} for t in range(12)]
    frames = track(clip)
    assert ids(frames) == [(1,)] * 12
    assert [bool(frame.masks.areas[0]) for frame in frames] == [t not in (5, 6) for t in range(12)]


def test_a_video_may_begin_and_end_without_objects() -> None:
    clip = [{50: (2, 2, 12, 12)} if 3 <= t < 8 else {} for t in range(16)]
    assert ids(track(clip)) == [()] * 4 + [(1,)] * 6 + [()] * 6


def test_a_part_of_a_tracked_object_is_not_a_new_object() -> None:
    clip = [{50: (2, 2, 32, 32), **({90: (10, 10, 16, 16)} if t else {})} for t in range(5)]
    whole = [{50: (2, 2, 32, 32)}] * 5
    assert ids(track(whole)) == [(1,)] * 5
    assert ids(track(clip))[-1] == (1, 2)  # its pixels do not belong to object 1 on this frame
    assert ids(track([{50: (2, 2, 32, 32), 90: (10, 10, 16, 16)}] * 5)) == [(1, 2)] * 5


def test_at_most_max_objects_are_tracked() -> None:
    clip = [{value: (value - 40, 5, value - 30, 15) for value in (50, 65, 80)}] * 9
    assert ids(track(clip, AutoTrackOptions(SEARCH, every=4, max_objects=2))) == [(1, 2)] * 9


def test_a_waiting_object_is_tracked_when_another_is_dropped() -> None:
    things = {value: (value - 40, 5, value - 30, 15) for value in (50, 65)}
    clip = [things if t < 2 else {65: things[65]} for t in range(10)]
    frames = track(clip, AutoTrackOptions(SEARCH, every=4, patience=2, max_objects=1))
    assert values(frames[0], clip) in ({1: 50}, {1: 65})
    if values(frames[0], clip) == {1: 50}:
        assert ids(frames) == [(1,)] * 3 + [()] * 1 + [(2,)] * 6


def test_of_duplicate_objects_the_younger_is_dropped() -> None:
    class MergingBackend(GrayWorld):
        def decode(self, features: Any, queries: Any, *, hide: bool = False) -> Decoded:
            found = super().decode(features, queries, hide=hide)
            if not hide or self.encoded < 6:
                return found
            one = found.logits.max(axis=0, keepdims=True)
            return found._replace(logits=one.repeat(len(found.logits), 0))

    frames = [Frame(t, None, draw_boxes({50: (2, 2, 12, 12), 80: (30, 5, 45, 20)})) for t in range(9)]
    found = ids(list(auto_track(MergingBackend(), frames, QUICK)))
    assert found == [(1, 2)] * 4 + [(1,)] * 4 + [(1, 3)]  # on frame 4 both masks cover both objects, later each its own


def test_only_uncovered_points_are_prompted_again() -> None:
    counts: list[int] = []

    class CountingBackend(GrayWorld):
        def decode(self, features: Any, queries: Any, *, hide: bool = False) -> Decoded:
            if not hide:
                counts.append(len(queries))
            return super().decode(features, queries, hide=hide)

    clip = [Frame(t, None, draw_boxes({50: (0, 0, 60, 30)})) for t in range(5)]
    list(
        auto_track(
            CountingBackend(),
            clip,
            AutoTrackOptions(MaskGeneratorOptions(points_per_side=4, points_per_batch=99), every=4),
        )
    )
    assert counts == [16, 4]  # of four rows of points, the last one is below the object


def endless() -> Iterator[Mapping[int, Box]]:
    """Yield objects by frame: every 10 frames a new one, which remains for 20 frames."""
    t = 0
    while True:
        things = [k for k in (t // 10 - 1, t // 10) if k >= 0]
        yield {40 + k % 200: (25 * (k % 2) + t % 10, 5, 25 * (k % 2) + t % 10 + 12, 25) for k in things}
        t += 1


def test_memory_does_not_grow_with_the_number_of_frames() -> None:
    tracker = Tracker(GrayWorld())
    frames = (Frame(t, None, draw_boxes(things)) for t, things in enumerate(endless()))
    traced: list[int] = []
    highest = most = 0
    tracemalloc.start()
    try:
        for t, frame in zip(range(200), auto_track(GrayWorld(), frames, tracker=tracker), strict=False):
            highest = max(highest, *frame.masks.object_ids)
            most = max(most, sum(len(track.results) + len(track.recent) for track in tracker.tracks.values()))
            if t in (99, 199):  # the objects are at the same places
                gc.collect()
                traced.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert highest > 15 and most <= 3 * 32  # of more than 15 objects at most three were tracked at once
    assert traced[1] < traced[0] + 50_000  # bytes; the results of 100 frames would take more than 1,500,000


def test_masks_are_generated_on_the_next_frame_if_one_could_not_be_decoded() -> None:
    noise = draw_boxes({120: (5, 5, 30, 30)})
    frames = [
        Frame(0, None, noise, corrupt=True),
        *(Frame(t, None, draw_boxes({50: (2, 2, 12, 12)})) for t in range(1, 9)),
    ]
    assert [frame.masks.object_ids for frame in auto_track(GrayWorld(), frames, QUICK)] == [()] + [(1,)] * 8


def test_a_model_tracks_everything_in_an_array_and_an_iterator() -> None:
    clip = np.stack([draw_boxes({50: (2 + t, 2, 12 + t, 12)}) for t in range(6)])
    model = Segmenter(GrayWorld())
    assert [frame.masks.object_ids for frame in model.auto_track(clip, QUICK)] == [(1,)] * 6
    assert [frame.index for frame in model.auto_track(clip, QUICK, start=2, stop=5)] == [2, 3, 4]
    assert [frame.masks.object_ids for frame in model.auto_track(iter(clip), QUICK)] == [(1,)] * 6


def test_the_python_of_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "everything.md"
    monkeypatch.setattr(masklet, "load", lambda name: Segmenter(GrayWorld()))
    monkeypatch.chdir(tmp_path)
    PilImage.fromarray(draw_boxes({50: (2, 2, 12, 12)})).save("street.jpg")
    write_clip(tmp_path / "clip.mp4", 2)
    (block,) = re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)
    assert (tmp_path / "street.json").is_file() and names["frame"].index == 1


def test_the_guide_lists_every_option_and_its_default() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "everything.md").read_text()
    defaults = dict(re.findall(r"^\| `--([\w-]+)[^|]*` \| ([^|]*) \|", page, flags=re.MULTILINE))
    renamed = {
        "multimask_output": "no-multimask-output",
        "every": "look-every",
        "min_uncovered": "uncovered",
        "max_objects": "most",
    }
    others = {
        "mask_generator",
        "detector",
        "min_score",
        "max_misses",
    }  # the last three: docs/integrations/text-prompts.md
    own = {"three": True, "no": False, "–": None, "512/1500": 512 / 1500}
    for one in (
        *fields(MaskGeneratorOptions),
        *(one for one in fields(AutoTrackOptions) if one.name not in others),
    ):
        text = defaults[renamed.get(one.name, one.name.replace("_", "-"))]
        if one.default is None and one.name != "point_grids":  # the default of the model
            released, embedded = (
                getattr(MaskGeneratorOptions().for_model(model), one.name) for model in ("sam2.1-tiny", EMBEDDED_MODEL)
            )
            assert text == f"{released:g}, with `{EMBEDDED_MODEL}` {embedded:g}"
            continue
        assert one.default == (own[text] if text in own else float(text)), one.name


@pytest.mark.parametrize(
    "wrong", [{"every": 0}, {"patience": 0}, {"max_objects": 0}, {"min_uncovered": 0.0}, {"min_uncovered": 1.5}]
)
def test_options_outside_their_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        AutoTrackOptions(**wrong)
