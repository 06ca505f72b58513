"""Tracker: which networks run when, and which masks do not depend on what happens in between."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from masklet.errors import (
    CheckpointError,
    InputNotFound,
    MaskletError,
    PromptError,
    SettingsError,
    StateError,
    VideoError,
)
from masklet.masks.masks import Masks
from masklet.masks.postprocessing import PostProcessing
from masklet.memory.sam2long import Sam2LongMemory
from masklet.prompts import Prompt, absent, box, click, mask
from masklet.tracking import tracker as tracker_module
from masklet.tracking.disk_cache import DiskCache
from masklet.tracking.session_reader import read_session
from masklet.tracking.tracker import Tracker
from masklet.views.zoom_view import ZoomView
from support.fake_backend import FakeBackend, RecomputingTracker, UnspilledTracker
from support.opaque_backend import ArrayUseError, OpaqueBackend

LENGTH = 60
CLIP = np.random.RandomState(0).randint(0, 256, (LENGTH, 4, 6, 3), np.uint8)


def fake(**options: Any) -> Any:
    """Return a backend whose arrays the tracker cannot read."""
    return OpaqueBackend(FakeBackend(**options))


def tracker(*, disk_cache: DiskCache | None = None, video: NDArray[np.uint8] | None = CLIP) -> Tracker:
    return Tracker(fake(), video, disk_cache=disk_cache)


def same(a: Masks, b: Masks) -> bool:
    return (
        a.object_ids == b.object_ids
        and np.array_equal(a.low_res, b.low_res)
        and np.array_equal(a.scores, b.scores)
        and np.array_equal(a.object_scores, b.object_scores)
    )


@pytest.mark.parametrize(
    "use",
    [
        lambda array: array[0],
        lambda array: array[:, 1],
        lambda array: [*array],
        lambda array: array + 1,
        lambda array: np.ones(3) * array,
        lambda array: array > 0,
        lambda array: array == array,
        lambda array: len(array),
        lambda array: array.shape,
        float,
        int,
        bool,
        np.asarray,
        lambda array: np.concatenate([array, array]),
    ],
)
def test_only_the_backend_can_use_its_arrays(use: Callable[[Any], Any]) -> None:
    (features,) = fake().encode([CLIP[0]])
    with pytest.raises(ArrayUseError):
        use(features.stride16)


def test_the_tracker_neither_places_regions_nor_computes() -> None:
    source = Path(tracker_module.__file__).read_text()
    assert not re.search("crop|numpy", source, re.IGNORECASE)


class Action:
    """One random action of a user, the same for every tracker."""

    def __init__(self, rng: random.Random) -> None:
        self.kind = rng.choice(["prompt", "prompt", "track", "track", "track", "remove_object", "remove_prompt"])
        self.frame, self.object_id = rng.randrange(LENGTH), rng.randint(1, 3)
        self.count, self.direction = rng.randint(1, 25), rng.choice([1, 1, -1])
        x, y = rng.randint(0, 5), rng.randint(0, 3)
        shape = np.zeros((4, 6), bool)
        shape[y, x] = True
        self.prompt: Prompt = rng.choice([click(x, y), click(x, y) + click(1, 1, positive=False), mask(shape)])

    def run(self, one: Tracker) -> list[Masks]:
        try:
            if self.kind == "prompt":
                return [one.prompt(self.frame, {self.object_id: self.prompt})]
            if self.kind == "track":
                frames = [self.frame + self.direction * k for k in range(self.count)]
                return [one.step(frame, direction=self.direction) for frame in frames if 0 <= frame < LENGTH]
            if self.kind == "remove_prompt":
                one.remove_prompt(self.frame, self.object_id)
            else:
                one.remove_object(self.object_id)
        except (PromptError, StateError):
            pass
        return []


@pytest.mark.parametrize("seed", range(40))
def test_the_disk_cache_changes_no_mask(seed: int) -> None:
    rng = random.Random(seed)
    spilled, whole = tracker(), UnspilledTracker(fake(), CLIP)
    for action in (Action(rng) for _ in range(25)):
        for a, b in zip(action.run(spilled), action.run(whole), strict=True):
            assert same(a, b)
    assert all(len(track.recent.in_memory) <= 31 for track in spilled.tracks.values())


def test_objects_are_in_the_order_of_their_first_prompts() -> None:
    one = tracker()
    full = np.ones((4, 6), bool)
    assert one.prompt(0, {5: click(1, 1), 3: mask(full), 4: click(2, 2)}).object_ids == (5, 3, 4)
    assert one.prompt(1, {2: mask(full), 3: click(0, 0)}).object_ids == (5, 3, 4, 2)
    assert one.step(2).object_ids == (5, 3, 4, 2)


@pytest.mark.parametrize("seed", range(20))
def test_a_saved_session_continues_as_if_it_had_never_stopped(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    one = tracker()
    for action in (Action(rng) for _ in range(12)):
        action.run(one)
    one.save(tmp_path / "session")
    other = read_session(tmp_path / "session", fake(), CLIP)
    assert other.object_ids == one.object_ids
    for action in (Action(rng) for _ in range(12)):
        for a, b in zip(action.run(one), action.run(other), strict=True):
            assert same(a, b)


@pytest.mark.parametrize("seed", range(20))
def test_results_that_are_not_computed_again_would_be_the_same(seed: int) -> None:
    rng = random.Random(1000 + seed)
    reusing, recomputing = tracker(), RecomputingTracker(fake(), CLIP)
    for action in (Action(rng) for _ in range(20)):
        for a, b in zip(action.run(reusing), action.run(recomputing), strict=True):
            assert same(a, b)


def test_frames_passed_one_by_one_are_tracked_like_a_video() -> None:
    streamed, from_video = tracker(video=None), tracker()
    streamed.prompt(0, {1: click(2, 2)}, CLIP[0])
    from_video.prompt(0, {1: click(2, 2)})
    for frame in range(LENGTH):
        assert same(streamed.step(frame, CLIP[frame]), from_video.step(frame))


def test_each_object_is_tracked_as_if_it_were_the_only_one() -> None:
    prompts = {0: {1: click(1, 1), 2: box(0, 0, 3, 3)}, 7: {3: click(4, 2)}}
    together = tracker()
    alone = {key: tracker() for key in (1, 2, 3)}
    for frame, by_object in prompts.items():
        together.prompt(frame, by_object)
        for key, prompt in by_object.items():
            alone[key].prompt(frame, {key: prompt})
    for frame in range(20):
        masks = together.step(frame)
        for key in (1, 2, 3):
            assert same(masks.of(key), alone[key].step(frame))


def test_adding_an_object_changes_no_mask_of_other_objects() -> None:
    with_it, without = tracker(), tracker()
    for one in (with_it, without):
        one.prompt(0, {1: click(1, 1)})
        one.step(1)
    with_it.prompt(1, {2: click(3, 3)})
    for frame in range(2, 10):
        assert same(with_it.step(frame).of(1), without.step(frame))


def test_a_correction_survives_propagation() -> None:
    one = tracker()
    one.prompt(0, {1: click(1, 1)})
    for frame in range(10):
        one.step(frame)
    corrected = one.prompt(5, {1: click(3, 2)})
    again = [one.step(frame) for frame in range(10)]
    assert same(again[5], corrected)


def test_a_correction_changes_every_later_frame() -> None:
    one = tracker()
    one.prompt(0, {1: click(1, 1)})
    before = [one.step(frame) for frame in range(10)]
    one.prompt(5, {1: click(3, 2)})
    after = [one.step(frame) for frame in range(10)]
    assert not any(np.array_equal(a.scores, b.scores) for a, b in zip(before[6:], after[6:], strict=True))


def test_a_correction_recomputes_only_its_own_object() -> None:
    one = tracker()
    one.prompt(0, {1: click(1, 1), 2: click(3, 1)})
    for frame in range(10):
        one.step(frame)
    one.prompt(5, {1: click(3, 2)})
    one.backend.calls.clear()  # type: ignore[attr-defined]
    for frame in range(10):
        one.step(frame)
    decoded = [arguments for method, arguments in one.backend.calls if method == "decode"]  # type: ignore[attr-defined]
    assert decoded == [[2]] * 8  # one object on each of the frames that were not prompted


def test_tracking_in_the_same_direction_twice_computes_nothing() -> None:
    one = tracker()
    one.prompt(0, {1: click(1, 1)})
    first = [one.step(frame) for frame in range(40)]
    one.backend.calls.clear()  # type: ignore[attr-defined]
    second = [one.step(frame) for frame in range(40)]
    assert one.backend.methods() == []  # type: ignore[attr-defined]
    assert all(same(a, b) for a, b in zip(first, second, strict=True))


def test_objects_share_one_call_per_frame() -> None:
    one = tracker()
    one.prompt(0, {key: click(key, 1) for key in (1, 2, 3)})
    one.backend.calls.clear()  # type: ignore[attr-defined]
    one.step(1)
    assert one.backend.methods() == ["encode", "attend", "decode", "memorize"]  # type: ignore[attr-defined]


def test_a_second_prompt_starts_from_the_mask_of_the_first() -> None:
    one = tracker()
    first = one.prompt(0, {1: click(1, 1)})
    assert not same(first, one.prompt(0, {1: click(1, 1)}))


def test_the_first_prompt_of_an_object_recalls_no_memory() -> None:
    one = tracker()
    one.prompt(0, {1: click(1, 1)})
    one.prompt(9, {1: click(2, 1)})
    assert [arguments for method, arguments in one.backend.calls if method == "attend"] == [[([], [])]] * 2  # type: ignore[attr-defined]


def test_an_absent_prompt_is_not_overwritten() -> None:
    one = tracker()
    one.prompt(0, {1: click(2, 2)})
    for frame in range(6):
        one.step(frame)
    masks = one.prompt(3, {1: absent()})
    assert one.backend.calls[-2] == ("use_masks", [(1, 1)])
    for frame in range(3, 6):
        one.step(frame)
    assert same(one.step(3), masks)


def test_an_object_without_a_result_is_hidden() -> None:
    one = tracker()
    one.prompt(0, {1: click(1, 1)})
    masks = one.prompt(3, {2: click(2, 2)})
    assert masks.object_ids == (1, 2)
    assert masks.areas[0] == 0
    assert not masks.visible[0]


def test_removing_the_last_prompt_removes_the_object() -> None:
    one = tracker()
    one.prompt(0, {1: click(1, 1)})
    one.remove_prompt(0, 1)
    assert one.object_ids == ()


def test_the_most_uncertain_frame_away_from_prompts_is_suggested() -> None:
    one = tracker()
    one.prompt(0, {1: click(1, 1)})
    uncertainties = {frame: float(one.step(frame).uncertainty[0]) for frame in range(LENGTH)}
    frame, object_id = one.suggest() or (0, 0)
    assert object_id == 1
    assert uncertainties[frame] == max(uncertainty for t, uncertainty in uncertainties.items() if t > 5)


def test_a_disk_cache_of_0_bytes_stores_nothing() -> None:
    disk_cache = DiskCache(0)
    one = tracker(disk_cache=disk_cache)
    one.prompt(0, {1: click(1, 1)})
    for frame in range(LENGTH):
        one.step(frame)
    assert list(disk_cache) == []
    assert len(one.tracks[1].results) <= 17


def test_trackers_share_a_disk_cache_without_sharing_memories() -> None:
    disk_cache = DiskCache()
    trackers = [tracker(disk_cache=disk_cache) for _ in range(2)]
    for x, one in enumerate(trackers):
        one.prompt(0, {1: click(x, 1)})
        for frame in range(LENGTH):
            one.step(frame)
    alone = tracker()
    alone.prompt(0, {1: click(0, 1)})
    for frame in range(LENGTH):
        alone.step(frame)
    trackers[1].remove_object(1)
    assert all(same(trackers[0].masks(frame), alone.masks(frame)) for frame in range(LENGTH))


def test_a_full_disk_cache_drops_its_oldest_entries() -> None:
    disk_cache = DiskCache(100)
    for key in range(5):
        disk_cache.put(("object", key), [np.full(5, key, np.int64)])
    assert list(disk_cache) == [("object", 3), ("object", 4)]
    assert disk_cache.get(("object", 4))[0].tolist() == [4] * 5


def test_step_without_an_object_is_refused_with_advice() -> None:
    with pytest.raises(StateError, match="prompt an object first") as caught:
        tracker().step(0)
    assert caught.value.code == "no-prompts"


def test_a_tracker_without_a_video_needs_the_image() -> None:
    with pytest.raises(StateError, match="pass its image") as caught:
        tracker(video=None).prompt(3, {1: click(1, 1)})
    assert caught.value.code == "frame-missing"


def test_a_refused_prompt_adds_no_object() -> None:
    one = tracker()
    with pytest.raises(PromptError):
        one.prompt(0, {1: click(1, 1), 2: click(100, 1)})
    assert one.object_ids == ()


def test_frames_of_another_size_are_refused() -> None:
    one = tracker(video=None)
    one.prompt(0, {1: click(1, 1)}, CLIP[0])
    with pytest.raises(VideoError, match=r"\(8, 8\)"):
        one.step(1, np.zeros((8, 8, 3), np.uint8))


@pytest.mark.parametrize("object_id", [2, -1])
def test_an_unknown_object_cannot_be_removed(object_id: int) -> None:
    one = tracker()
    one.prompt(0, {1: click(1, 1)})
    with pytest.raises(PromptError, match="the objects are"):
        one.remove_object(object_id)


def test_a_session_of_another_model_is_refused(tmp_path: Path) -> None:
    one = tracker()
    one.prompt(0, {1: click(1, 1)})
    one.save(tmp_path / "session")
    with pytest.raises(StateError, match="weights") as caught:
        read_session(tmp_path / "session", fake(identity="another"))
    assert caught.value.code == "resume-mismatch"


@pytest.mark.parametrize("damage", ["cut", "flip", "foreign", "empty"])
def test_a_broken_session_is_refused(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "session"
    one = tracker()
    one.prompt(0, {1: click(1, 1)})
    one.save(path)
    data = path.read_bytes()
    path.write_bytes(
        {"cut": data[: len(data) // 2], "flip": data[:20] + b"\xff" + data[21:], "foreign": b"{}" * 50, "empty": b""}[
            damage
        ]
    )
    with pytest.raises(CheckpointError) as caught:
        read_session(path, fake())
    assert caught.value.code == "session-broken"


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        (r"\"prompts\": {", r"\"prompts\": 7, \"was\": {"),
        (r"\"stamp\": 3", r"\"stamp\": 3.5"),
        (r"\"id\": 1", r"\"id\": null"),
        (r"\"recent\": []", r"\"recent\": [5]"),
        (r"\"length\": null", r"\"length\": []"),
    ],
)
def test_a_session_with_impossible_values_is_refused(written: str, instead: str, tmp_path: Path) -> None:
    one = tracker()
    one.prompt(0, {1: click(2, 2), 2: click(3, 1)})
    one.save(path := tmp_path / "session")
    length = int.from_bytes(path.read_bytes()[:8], "little")
    header, arrays = path.read_bytes()[8 : 8 + length].decode(), path.read_bytes()[8 + length :]
    assert written in header
    header = header.replace(written, instead, 1)
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode() + arrays)
    with pytest.raises(CheckpointError) as caught:
        read_session(path, fake())
    assert caught.value.code == "session-broken"


def test_a_missing_session_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match="nowhere"):
        read_session(tmp_path / "nowhere", fake())


def test_every_error_of_the_tracker_is_a_masklet_error() -> None:
    for fault in (lambda: tracker().masks(0), lambda: tracker().remove_object(1), lambda: tracker().prompt(0, {})):
        with pytest.raises(MaskletError):
            fault()


@pytest.mark.parametrize(
    ("prompts", "object_ids"),
    [(click(1, 1), (1,)), ([click(1, 1), click(2, 2)], (1, 2)), ({7: click(1, 1)}, (7,))],
)
def test_a_tracker_takes_the_prompts_that_an_image_takes(prompts: Any, object_ids: tuple[int, ...]) -> None:
    one, other = Tracker(fake()), Tracker(fake())
    by_object = dict(
        zip(object_ids, prompts.values() if isinstance(prompts, dict) else np.atleast_1d(prompts), strict=True)
    )
    assert one.prompt(0, prompts, CLIP[0]).object_ids == object_ids
    other.prompt(0, by_object, CLIP[0])
    assert same(one.masks(0), other.masks(0))


@pytest.mark.parametrize(
    ("prompts", "call"),
    [
        ((1, 2), "tracker.prompt(3, click(1, 2), image)"),
        ({2: (1, 2)}, "tracker.prompt(3, {2: click(1, 2)}, image)"),
        ({"a": click(1, 1)}, "{1: click(230, 150)}"),
    ],
)
def test_a_tracker_refuses_other_values_than_prompts_and_changes_nothing(prompts: Any, call: str) -> None:
    one = tracker()
    with pytest.raises(PromptError) as caught:
        one.prompt(3, prompts)
    assert str(caught.value).endswith(f"write {call}")
    assert one.object_ids == ()


def test_a_tracker_refuses_the_arguments_of_sam2() -> None:
    with pytest.raises(PromptError, match="clicks") as caught:
        tracker().prompt(0, 1, [[1, 2], [2, 2]], [1, 0])  # type: ignore[call-arg, arg-type]
    assert str(caught.value).endswith("write tracker.prompt(frame, clicks([(1, 2), (2, 2)], [1, 0]), image)")


def test_the_repr_of_a_tracker_is_one_line() -> None:
    one = Tracker(fake(), view=ZoomView(2.0))
    assert repr(one) == "Tracker(sam2.1-micro, fake, cpu, float32, 16 px, zoom 2, object_ids=[])"
    one = tracker()
    one.prompt(0, {7: click(1, 1), 4: click(2, 1)})
    assert repr(one) == "Tracker(sam2.1-micro, fake, cpu, float32, 16 px, object_ids=[7, 4])"


@pytest.mark.parametrize("settings", [{"view": ZoomView(2.0)}, {"memory": Sam2LongMemory()}])
def test_non_overlapping_memories_of_parts_or_hypotheses_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="cannot be combined with non-overlapping memories"):
        Tracker(FakeBackend(), postprocessing=PostProcessing(non_overlapping=True, in_memory=True), **settings)


def test_a_frame_that_is_stepped_to_can_be_prompted_without_its_image() -> None:
    one = tracker(video=None)
    one.prompt(0, {1: click(1, 1)}, CLIP[0])
    for frame in (1, 2, 1):  # the last one computes nothing
        one.step(frame, CLIP[frame])
    assert same(one.prompt(1, {2: click(2, 2)}), one.masks(1))


def test_the_label_of_a_prompt_belongs_to_its_object_on_every_frame_and_in_sessions(tmp_path: Path) -> None:
    one = tracker()
    one.prompt(0, {1: click(1, 1, label="dog"), 2: click(4, 2)})
    assert one.step(1).labels == ("dog", None)
    one.prompt(1, {1: click(2, 1)})  # keeps the label
    one.prompt(1, {2: click(4, 3, label="cat")})
    one.save(tmp_path / "session")
    other = read_session(tmp_path / "session", fake(), CLIP)
    assert one.masks(0).labels == other.masks(0).labels == other.step(2).labels == ("dog", "cat")
