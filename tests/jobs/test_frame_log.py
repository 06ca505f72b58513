"""Frame log: every finished frame is kept, whatever ends the process that writes it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from masklet.errors import ResourceError, StateError
from masklet.jobs.frame_log import FILE_NAME, FrameLog
from masklet.masks.rle_frame import RleFrame

JOB: dict[str, Any] = {"video": {"sha256": "abc"}, "prompts": {"0": {"1": [[5.0, 5.0, 1]]}}, "direction": "forward"}


def frame(index: int) -> RleFrame:
    return RleFrame(index, index / 25, (4, 5), (1, 7), (0.5, 0.25), (3.0, -10.0), ("d0", f"{index}!"))


def test_finished_frames_are_read_in_order(tmp_path: Path) -> None:
    with FrameLog(tmp_path, JOB) as log:
        for index in (3, 1, 2):
            log.append(frame(index))
    with FrameLog(tmp_path, JOB) as again:
        assert list(again) == [frame(1), frame(2), frame(3)]
        assert 2 in again and 0 not in again and len(again) == 3


def test_labels_are_stored_if_there_are_any(tmp_path: Path) -> None:
    labeled = replace(frame(2), labels=("dog", None))
    with FrameLog(tmp_path, JOB) as log:
        log.append(frame(1))
        log.append(labeled)
    assert (tmp_path / FILE_NAME).read_bytes().count(b"labels") == 1
    with FrameLog(tmp_path, JOB) as again:
        assert list(again) == [frame(1), labeled]
        assert [one.labels for one in again] == [(None, None), ("dog", None)]


def test_notes_are_read_again(tmp_path: Path) -> None:
    with FrameLog(tmp_path, JOB) as log:
        log.add_note(formats=["png"])
    with FrameLog(tmp_path, JOB) as again:
        assert again.notes == [{"formats": ["png"]}]


def test_a_log_cut_anywhere_has_every_complete_line_and_continues(tmp_path: Path) -> None:
    with FrameLog(tmp_path, JOB) as log:
        for index in range(4):
            log.append(frame(index))
    content = (tmp_path / FILE_NAME).read_bytes()
    ends = [offset + 1 for offset, byte in enumerate(content) if byte == ord("\n")]
    for cut in [*range(0, len(content), 23), *(end + shift for end in ends for shift in (-1, 0) if end + shift)]:
        (tmp_path / FILE_NAME).write_bytes(content[:cut])
        with FrameLog(tmp_path, JOB) as again:
            count = max(0, sum(end <= cut for end in ends) - 1)  # the first line is the job
            assert [one.index for one in again] == list(range(count))
            again.append(frame(9))
        with FrameLog(tmp_path, JOB) as again:
            assert [one.index for one in again] == [*range(count), 9]


@pytest.mark.parametrize("offset", [-1, -20, -60, -200])
def test_a_damaged_line_and_later_lines_do_not_count(offset: int, tmp_path: Path) -> None:
    with FrameLog(tmp_path, JOB) as log:
        for index in range(4):
            log.append(frame(index))
    content = bytearray((tmp_path / FILE_NAME).read_bytes())
    content[offset] ^= 0x55
    (tmp_path / FILE_NAME).write_bytes(bytes(content))
    with FrameLog(tmp_path, JOB) as again:
        assert [one.index for one in again] == list(range(len(again))) and len(again) < 4
        assert all(one == frame(one.index) for one in again)


def test_another_job_is_refused_with_the_difference(tmp_path: Path) -> None:
    FrameLog(tmp_path, JOB).close()
    with pytest.raises(StateError, match="direction was 'forward', is 'both'") as caught:
        FrameLog(tmp_path, {**JOB, "direction": "both"})
    assert caught.value.code == "resume-mismatch" and caught.value.exit_status == 78
    FrameLog(tmp_path, JOB).close()  # the attempt did not change it


def test_an_extended_job_keeps_the_frames_and_forgets_what_was_written(tmp_path: Path) -> None:
    longer = {**JOB, "direction": "longer"}
    with FrameLog(tmp_path, JOB) as log:
        log.add_note(live=["png"])
        log.append(frame(0))
        log.add_note(wrote="coco")
    (tmp_path / "state-1.session").write_bytes(b"state")
    with FrameLog(tmp_path, longer, extends=lambda was, now: (was, now) == (JOB, longer)) as log:
        assert [*log] == [frame(0)] and log.notes == [{"live": ["png"]}]
        log.append(frame(1))
        log.add_note(wrote="png")
    assert not (tmp_path / "state-1.session").exists()
    with FrameLog(tmp_path, longer) as log:
        assert [*log] == [frame(0), frame(1)] and log.notes == [{"live": ["png"]}, {"wrote": "png"}]
    with pytest.raises(StateError, match="direction was 'longer', is 'forward'"):
        FrameLog(tmp_path, JOB)


def test_a_log_that_another_process_has_open_is_refused(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", "import sys; from pathlib import Path; from masklet.jobs.frame_log import FrameLog\n"
         "FrameLog(Path(sys.argv[1]), {}); print('held', flush=True); sys.stdin.read()", str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdout and holder.stdout.readline() == b"held\n"
    try:
        with pytest.raises(StateError, match=f"process {holder.pid} on ") as caught:
            FrameLog(tmp_path, {})
        assert caught.value.code == "job-locked" and caught.value.retryable
    finally:
        holder.kill()
        holder.communicate()
    FrameLog(tmp_path, {}).close()  # a killed process holds no lock


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_failing_disk_loses_no_finished_frame(
    fault: int, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    working = getattr(os, call)
    for failing in range(6):
        folder = tmp_path / f"{fault}-{call}-{failing}"
        with FrameLog(folder, JOB) as log:
            remaining = failing

            def broken(*arguments: Any) -> Any:
                nonlocal remaining
                remaining -= 1
                if remaining < 0:
                    raise OSError(fault, os.strerror(fault))
                return working(*arguments)

            monkeypatch.setattr(os, call, broken)
            finished = []
            with pytest.raises(ResourceError) as caught:
                for index in range(10):
                    log.append(frame(index))
                    finished.append(index)
            monkeypatch.setattr(os, call, working)
            assert caught.value.exit_status == 74
            log.append(frame(99))  # when the fault is over, it continues
        with FrameLog(folder, JOB) as again:
            assert [one.index for one in again] == [*finished, 99]


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    working = os.write
    with FrameLog(tmp_path, JOB) as log:
        monkeypatch.setattr(os, "write", lambda descriptor, data: working(descriptor, data[:7]))
        log.append(frame(0))
        monkeypatch.undo()
    with FrameLog(tmp_path, JOB) as again:
        assert list(again) == [frame(0)]


def test_a_folder_that_cannot_be_made_is_an_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="file"):
        FrameLog(tmp_path / "file" / "log", JOB)
