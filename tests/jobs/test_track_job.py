"""Tracking job: a job that is stopped anywhere and resumed has the masks of an uninterrupted one."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from masklet.errors import SettingsError
from masklet.jobs import resume
from masklet.jobs.frame_log import FrameLog
from masklet.jobs.track_job import TrackJob, run_job
from masklet.masks.rle_frame import RleFrame, encode_frame
from masklet.masks.tracked_frame import TrackedFrame
from masklet.memory.policy import MemoryPolicy
from masklet.memory.sam2long import Sam2LongMemory
from masklet.memory.samurai import SamuraiMemory
from masklet.prompts import Prompt, box, click
from masklet.tracking.auto_tracker import AutoTrackOptions
from masklet.tracking.tracker import Tracker
from masklet.tracking.traversal import Direction, plan_traversal
from masklet.video import Video, open_video
from support.fake_backend import FakeBackend, VariedBackend

LENGTH = 26
SCHEDULES: list[Mapping[int, Mapping[int, Prompt]]] = [
    {0: {1: click(3, 3)}},
    {6: {1: click(3, 3), 7: box(1, 1, 9, 9)}},
    {5: {1: click(3, 3)}, 22: {1: click(9, 9, positive=False), 2: box(2, 3, 8, 9)}},
]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for the disk, which would take most of the time."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def video() -> Video:
    return open_video(np.random.default_rng(0).integers(0, 255, (LENGTH, 12, 16, 3)).astype(np.uint8))  # type: ignore[return-value]


def create_job(video: Video, number: int, direction: Direction, every: int = 1) -> TrackJob:
    schedule = SCHEDULES[number]
    return TrackJob(FakeBackend(), video, schedule, plan_traversal(LENGTH, schedule, direction=direction, every=every))


def run(job: TrackJob, folder: Path, frames: int | None = None) -> list[RleFrame]:
    """Run a job for some frames, and return all finished ones."""
    with FrameLog(folder, {}) as journal:
        for number, frame in enumerate(run_job(job, journal)):
            if number == frames:
                break
            (journal.revise if frame.index in journal else journal.append)(frame)
        return list(journal)


def track_all(job: TrackJob) -> dict[int, RleFrame]:
    """Track the frames of the traversal with one tracker that drops nothing."""
    tracker = Tracker(job.backend, job.images, length=len(job.video))
    for frame, prompts in job.schedule.items():
        tracker.prompt(job.traversal.position_of(frame), prompts)
    frames = {}
    for visit in job.traversal.visits(job.video):
        if visit.frame is not None:
            masks = tracker.step(visit.position, visit.frame.image, direction=visit.direction)
            frames[visit.index] = encode_frame(TrackedFrame(visit.index, visit.time, masks))
    return frames


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
@pytest.mark.parametrize("number", range(len(SCHEDULES)))
def test_a_job_has_the_masks_of_a_tracker_that_drops_nothing(
    number: int, direction: Direction, video: Video, tmp_path: Path
) -> None:
    job = create_job(video, number, direction)
    expected = track_all(job)
    frames = run(job, tmp_path)
    assert [frame.index for frame in frames] == list(range(LENGTH))
    assert all(frame == expected[frame.index] for frame in frames if frame.index in expected)
    assert all(frame.object_ids == () for frame in frames if frame.index not in expected)


@pytest.mark.parametrize("share", [1e9, 0.1], ids=["a state after every frame", "states as by default"])
@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_stopping_anywhere_changes_no_mask(
    share: float, direction: Direction, video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume, "SAVE_TIME_SHARE", share)
    chance = random.Random(direction)
    for number in range(len(SCHEDULES)):
        for every in (1, 3):
            whole = run(create_job(video, number, direction, every), tmp_path / f"whole {number} {every}")
            folder, done = tmp_path / f"parts {number} {every}", 0
            while done < len(whole):
                done = len(run(create_job(video, number, direction, every), folder, chance.randint(0, 9)))
            assert run(create_job(video, number, direction, every), folder) == whole


def create_job_with(policy: MemoryPolicy, video: Video, direction: Direction) -> TrackJob:
    schedule = SCHEDULES[1]
    traversal = plan_traversal(LENGTH, schedule, direction=direction)
    return TrackJob(VariedBackend(), video, schedule, traversal, memory=policy)


@pytest.mark.parametrize(
    ("policy", "direction"),
    [(SamuraiMemory(stable_frames=2), "both"), (Sam2LongMemory(), "backward"), (Sam2LongMemory(), "both")],
)
def test_stopping_anywhere_changes_no_mask_with_a_memory_policy(
    policy: MemoryPolicy, direction: Direction, video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume, "SAVE_TIME_SHARE", 1e9)
    chance = random.Random(direction)
    whole = run(create_job_with(policy, video, direction), tmp_path / "whole")
    for _ in range(LENGTH):
        run(create_job_with(policy, video, direction), tmp_path / "parts", chance.randint(1, 9))
    assert run(create_job_with(policy, video, direction), tmp_path / "parts") == whole
    finished = create_job_with(policy, video, direction)
    assert run(finished, tmp_path / "parts") == whole
    assert isinstance(finished.backend, VariedBackend) and not finished.backend.calls


def test_a_job_with_several_hypotheses_ends_with_the_best_path(video: Video, tmp_path: Path) -> None:
    job = create_job_with(Sam2LongMemory(), video, "forward")
    tracker = job.start_tracker()
    first = tracker.masks  # results so far, as a stream shows them
    start = job.traversal.prompted[0]
    shown = {t: tracker.step(t).binary.tobytes() for t in range(start, LENGTH)}
    changed = tracker.settle(LENGTH - 1)
    assert changed and set(changed) <= set(range(start, LENGTH))
    frames = run(job, tmp_path)
    for t in range(start, LENGTH):
        assert np.array_equal(frames[t].decode().masks.binary, first(t).binary), t
        assert (first(t).binary.tobytes() != shown[t]) <= (t in changed), t


def test_frames_that_carry_masks_are_revised_with_them(tmp_path: Path) -> None:
    video, schedule = open_damaged(tmp_path, {3, 4}), SCHEDULES[0]
    job = TrackJob(VariedBackend(), video, schedule, plan_traversal(6, schedule), carry=True, memory=Sam2LongMemory())
    tracker = job.start_tracker()
    for t in (0, 1, 2, 5):
        tracker.step(t)
    tracker.settle(5)
    with pytest.warns(match="frame-corrupt"):
        frames = run(job, tmp_path / "out")
    assert [frame.corrupt for frame in frames] == [False, False, False, True, True, False]
    assert frames[2].counts == frames[3].counts == frames[4].counts == encode_frame(
        TrackedFrame(2, None, tracker.masks(2))).counts  # fmt: skip


def test_automatic_tracking_with_several_hypotheses_is_refused(video: Video) -> None:
    with pytest.raises(SettingsError, match="sam2long"):
        TrackJob(VariedBackend(), video, {}, plan_traversal(LENGTH, [0]),
                 auto_track=AutoTrackOptions(), memory=Sam2LongMemory())  # fmt: skip


def test_with_a_state_finished_frames_are_not_tracked_again(
    video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume, "SAVE_TIME_SHARE", 1e9)
    run(create_job(video, 0, "forward"), tmp_path, 20)
    job = create_job(video, 0, "forward")
    run(job, tmp_path)
    assert isinstance(job.backend, FakeBackend)
    assert job.backend.methods().count("encode") == LENGTH - 20


@pytest.mark.parametrize("damage", ["cut", "removed"])
def test_a_lost_state_changes_no_mask(
    damage: str, video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume, "SAVE_TIME_SHARE", 1e9)
    whole = run(create_job(video, 1, "both"), tmp_path / "whole")
    for frames in (3, 17, 23):
        folder = tmp_path / f"{frames}"
        run(create_job(video, 1, "both"), folder, frames)
        (state,) = folder.glob("*.session")
        state.write_bytes(state.read_bytes()[:100]) if damage == "cut" else state.unlink()
        assert run(create_job(video, 1, "both"), folder) == whole


def test_a_finished_job_computes_nothing_and_leaves_only_the_log(video: Video, tmp_path: Path) -> None:
    run(create_job(video, 2, "both"), tmp_path)
    job = create_job(video, 2, "both")
    run(job, tmp_path)
    assert isinstance(job.backend, FakeBackend) and not job.backend.calls
    assert sorted(path.name for path in tmp_path.iterdir()) == ["journal.jsonl", "lock"]


def open_damaged(tmp_path: Path, broken: set[int]) -> Video:
    """Open a list of six images of which some cannot be read."""
    items: list[object] = [*np.random.default_rng(1).integers(0, 255, (6, 12, 16, 3)).astype(np.uint8)]
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    return open_video([tmp_path / "broken.png" if index in broken else item for index, item in enumerate(items)])  # type: ignore[return-value]


def test_a_corrupt_frame_has_no_masks_and_is_marked(tmp_path: Path) -> None:
    job = TrackJob(FakeBackend(), open_damaged(tmp_path, {3}), SCHEDULES[0], plan_traversal(6, [0]))
    with pytest.warns(match="frame-corrupt"):
        frames = run(job, tmp_path / "journal")
    assert [frame.corrupt for frame in frames] == [False, False, False, True, False, False]
    assert frames[3].object_ids == () and frames[4].object_ids == (1,)


def test_a_prompted_corrupt_frame_has_masks_and_is_marked(tmp_path: Path) -> None:
    schedule = {2: {1: click(3, 3)}}
    job = TrackJob(FakeBackend(), open_damaged(tmp_path, {2}), schedule, plan_traversal(6, schedule))
    with pytest.warns(match="frame-corrupt"):
        frames = run(job, tmp_path / "journal")
    assert [frame.corrupt for frame in frames] == [index == 2 for index in range(6)]
    assert frames[2].object_ids == (1,)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_corrupt_frames_can_have_the_masks_before_them_wherever_the_job_was_stopped(
    direction: Direction, tmp_path: Path
) -> None:
    start = 0 if direction == "forward" else 5
    traversal, schedule = plan_traversal(6, [start], direction=direction), {start: {1: click(3, 3)}}
    video = open_damaged(tmp_path, {2, 3})
    with pytest.warns(match="frame-corrupt"):
        plain = run(TrackJob(FakeBackend(), video, schedule, traversal), tmp_path / "plain")
        carried = run(TrackJob(FakeBackend(), video, schedule, traversal, carry=True), tmp_path / "carried")
        for frames in range(6):
            run(TrackJob(FakeBackend(), video, schedule, traversal, carry=True), tmp_path / f"{frames}", frames)
            assert (
                run(TrackJob(FakeBackend(), video, schedule, traversal, carry=True), tmp_path / f"{frames}") == carried
            )
    before = carried[1 if direction == "forward" else 4]
    assert [frame.corrupt for frame in carried] == [index in (2, 3) for index in range(6)]
    assert before.counts and carried[2].counts == carried[3].counts == before.counts
    assert [frame for frame in carried if not frame.corrupt] == [frame for frame in plain if not frame.corrupt]
