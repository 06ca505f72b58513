"""Everything in a video: ids are stable, what comes later gets a new one, what is gone ends, memory stays as it is."""

from __future__ import annotations

import gc
import re
import tracemalloc
from collections.abc import Iterator, Mapping, Sequence
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
from masklet.tracking.auto_tracker import AutoTracker, AutoTrackOptions, auto_track
from masklet.tracking.disk_cache import DiskCache
from masklet.tracking.tracker import Tracker
from masklet.video.frames import Frame
from support.clips import write_clip
from support.gray_world import Box, GrayWorld, draw_boxes

SEARCH = MaskGeneratorOptions(points_per_side=8)
QUICK = AutoTrackOptions(SEARCH, every=4, patience=3)


def watched(clip: Sequence[Mapping[int, Box]], watch: AutoTrackOptions = QUICK) -> list[TrackedFrame]:
    frames = [Frame(index, index / 10, draw_boxes(things)) for index, things in enumerate(clip)]
    return list(auto_track(GrayWorld(), frames, watch))


def ids(frames: Sequence[TrackedFrame]) -> list[tuple[int, ...]]:
    return [frame.masks.object_ids for frame in frames]


def values(frame: TrackedFrame, clip: Sequence[Mapping[int, Box]]) -> dict[int, int]:
    """The grey value that each object is on."""
    image = draw_boxes(clip[frame.index])[..., 0]
    pairs = zip(frame.masks.object_ids, frame.masks.binary, strict=True)
    return {key: int(np.unique(image[mask]).item()) for key, mask in pairs if mask.any()}


def test_things_keep_their_ids_while_they_move() -> None:
    clip = [{50: (2 + t, 2, 12 + t, 12), 80: (40 - t, 20, 55 - t, 35)} for t in range(20)]
    frames = watched(clip)
    assert ids(frames) == [(1, 2)] * 20
    assert all(values(frame, clip) == values(frames[0], clip) for frame in frames)
    assert set(values(frames[0], clip).values()) == {50, 80}


def test_a_thing_that_appears_later_gets_a_new_id_at_the_next_look() -> None:
    clip = [{50: (2, 2, 12, 12), **({90: (30, 5, 42, 17)} if t >= 5 else {})} for t in range(12)]
    frames = watched(clip)
    assert ids(frames) == [(1,)] * 8 + [(1, 2)] * 4  # looks are on frames 0, 4 and 8
    assert values(frames[8], clip) == {1: 50, 2: 90}


def test_a_thing_that_is_gone_ends_and_its_id_is_not_given_again() -> None:
    clip = [{50: (2, 2, 12, 12), **({70: (30, 5, 42, 17)} if t < 5 or t >= 12 else {})} for t in range(16)]
    frames = watched(clip)
    gone = next(key for key, value in values(frames[0], clip).items() if value == 70)
    assert [gone in found for found in ids(frames)] == [True] * 7 + [False] * 9  # hidden on 5 and 6, ended on 7
    assert values(frames[12], clip) == {3 - gone: 50, 3: 70}


def test_a_thing_that_is_hidden_for_a_short_time_keeps_its_id() -> None:
    clip = [{50: (2, 2, 12, 12)} if t not in (5, 6) else {} for t in range(12)]
    frames = watched(clip)
    assert ids(frames) == [(1,)] * 12
    assert [bool(frame.masks.areas[0]) for frame in frames] == [t not in (5, 6) for t in range(12)]


def test_a_video_may_begin_with_nothing_and_end_with_nothing() -> None:
    clip = [{50: (2, 2, 12, 12)} if 3 <= t < 8 else {} for t in range(16)]
    assert ids(watched(clip)) == [()] * 4 + [(1,)] * 6 + [()] * 6


def test_a_part_of_what_is_followed_is_nothing_new() -> None:
    clip = [{50: (2, 2, 32, 32), **({90: (10, 10, 16, 16)} if t else {})} for t in range(5)]
    whole = [{50: (2, 2, 32, 32)}] * 5
    assert ids(watched(whole)) == [(1,)] * 5
    assert ids(watched(clip))[-1] == (1, 2)  # the colour below it is no part of object 1 any more
    assert ids(watched([{50: (2, 2, 32, 32), 90: (10, 10, 16, 16)}] * 5)) == [(1, 2)] * 5


def test_no_more_objects_are_followed_than_wished_for() -> None:
    clip = [{value: (value - 40, 5, value - 30, 15) for value in (50, 65, 80)}] * 9
    assert ids(watched(clip, AutoTrackOptions(SEARCH, every=4, max_objects=2))) == [(1, 2)] * 9


def test_what_waited_for_room_is_followed_when_there_is_some() -> None:
    things = {value: (value - 40, 5, value - 30, 15) for value in (50, 65)}
    clip = [things if t < 2 else {65: things[65]} for t in range(10)]
    frames = watched(clip, AutoTrackOptions(SEARCH, every=4, patience=2, max_objects=1))
    assert values(frames[0], clip) in ({1: 50}, {1: 65})
    if values(frames[0], clip) == {1: 50}:
        assert ids(frames) == [(1,)] * 3 + [()] * 1 + [(2,)] * 6


def test_of_objects_that_became_one_the_younger_ends() -> None:
    class Merging(GrayWorld):
        def decode(self, features: Any, queries: Any, *, hide: bool = False) -> Decoded:
            found = super().decode(features, queries, hide=hide)
            if not hide or self.encoded < 6:
                return found
            one = found.logits.max(axis=0, keepdims=True)
            return found._replace(logits=one.repeat(len(found.logits), 0))

    frames = [Frame(t, None, draw_boxes({50: (2, 2, 12, 12), 80: (30, 5, 45, 20)})) for t in range(9)]
    found = ids(list(auto_track(Merging(), frames, QUICK)))
    assert found == [(1, 2)] * 4 + [(1,)] * 4 + [(1, 3)]  # on frame 4 both masks cover both things, later 1 its own


def test_only_what_is_not_covered_is_clicked_again() -> None:
    asked: list[int] = []

    class Counting(GrayWorld):
        def decode(self, features: Any, queries: Any, *, hide: bool = False) -> Decoded:
            if not hide:
                asked.append(len(queries))
            return super().decode(features, queries, hide=hide)

    clip = [Frame(t, None, draw_boxes({50: (0, 0, 60, 30)})) for t in range(5)]
    list(
        auto_track(
            Counting(), clip, AutoTrackOptions(MaskGeneratorOptions(points_per_side=4, points_per_batch=99), every=4)
        )
    )
    assert asked == [16, 4]  # of four rows of clicks the last one is below the thing


def endless() -> Iterator[Mapping[int, Box]]:
    """Things that come and go: each is there for 20 frames, a new one every 10."""
    t = 0
    while True:
        things = [k for k in (t // 10 - 1, t // 10) if k >= 0]
        yield {40 + k % 200: (25 * (k % 2) + t % 10, 5, 25 * (k % 2) + t % 10 + 12, 25) for k in things}
        t += 1


def test_memory_does_not_grow_with_the_number_of_frames() -> None:
    tracker = Tracker(GrayWorld(), disk_cache=DiskCache(0))
    watcher = AutoTracker(tracker, QUICK)
    held: list[int] = []
    highest = most = 0
    tracemalloc.start()
    try:
        for t, things in zip(range(300), endless(), strict=False):
            masks = watcher.step(t, Frame(t, None, draw_boxes(things)))
            highest = max(highest, *masks.object_ids)
            most = max(most, sum(len(track.results) + len(track.recent) for track in tracker.tracks.values()))
            if t in (99, 299):  # the same things are there, at the same places
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert highest > 25 and most <= 3 * 32  # of more than 25 things at most three were followed at once
    assert held[1] < held[0] + 50_000  # bytes; what is kept of these 200 frames would be more than 3,000,000


def test_instead_of_a_frame_that_could_not_be_decoded_the_next_one_is_looked_at() -> None:
    noise = draw_boxes({120: (5, 5, 30, 30)})
    frames = [
        Frame(0, None, noise, corrupt=True),
        *(Frame(t, None, draw_boxes({50: (2, 2, 12, 12)})) for t in range(1, 9)),
    ]
    assert [frame.masks.object_ids for frame in auto_track(GrayWorld(), frames, QUICK)] == [()] + [(1,)] * 8


def test_a_model_finds_everything_in_a_video_an_array_and_an_iterator() -> None:
    clip = np.stack([draw_boxes({50: (2 + t, 2, 12 + t, 12)}) for t in range(6)])
    model = Segmenter(GrayWorld())
    assert [frame.masks.object_ids for frame in model.auto_track(clip, QUICK)] == [(1,)] * 6
    assert [frame.index for frame in model.auto_track(clip, QUICK, start=2, stop=5)] == [2, 3, 4]
    assert [frame.masks.object_ids for frame in model.auto_track(iter(clip), QUICK)] == [(1,)] * 6


def test_the_python_in_the_docs_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "everything.md"
    monkeypatch.setattr(masklet, "load", lambda name: Segmenter(GrayWorld()))
    monkeypatch.chdir(tmp_path)
    PilImage.fromarray(draw_boxes({50: (2, 2, 12, 12)})).save("street.jpg")
    write_clip(tmp_path / "clip.mp4", 2)
    (block,) = re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)
    assert (tmp_path / "street.json").is_file() and names["frame"].index == 1


def test_the_docs_name_every_setting_and_its_default() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "everything.md").read_text()
    told = dict(re.findall(r"^\| `--([\w-]+)[^|]*` \| ([^|]*) \|", page, flags=re.MULTILINE))
    named = {
        "multimask_output": "no-multimask-output",
        "every": "look-every",
        "min_uncovered": "uncovered",
        "max_objects": "most",
    }
    own = {"three": True, "no": False, "–": None, "512/1500": 512 / 1500}
    for one in (
        *fields(MaskGeneratorOptions),
        *(one for one in fields(AutoTrackOptions) if one.name != "mask_generator"),
    ):
        text = told[named.get(one.name, one.name.replace("_", "-"))]
        if one.default is None and one.name != "point_grids":  # what suits the model
            usual, embedded = (
                getattr(MaskGeneratorOptions().for_model(model), one.name) for model in ("sam2.1-tiny", EMBEDDED_MODEL)
            )
            assert text == f"{usual:g}, with `{EMBEDDED_MODEL}` {embedded:g}"
            continue
        assert one.default == (own[text] if text in own else float(text)), one.name


@pytest.mark.parametrize(
    "wrong", [{"every": 0}, {"patience": 0}, {"max_objects": 0}, {"min_uncovered": 0.0}, {"min_uncovered": 1.5}]
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        AutoTrackOptions(**wrong)
