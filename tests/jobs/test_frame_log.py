"""A journal keeps every finished frame, whatever ends the process that writes it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from masklet.errors import ResourceError, StateError
from masklet.jobs.frame_log import FILE_NAME, FrameLog
from masklet.masks.rle_frame import RleFrame

JOB: dict[str, Any] = {"video": {"sha256": "abc"}, "prompts": {"0": {"1": [[5.0, 5.0, 1]]}}, "direction": "forward"}


def frame(index: int) -> RleFrame:
    return RleFrame(index, index / 25, (4, 5), (1, 7), (0.5, 0.25), (3.0, -10.0), ("d0", f"{index}!"))


def test_finished_frames_come_back_sorted(tmp_path: Path) -> None:
    with FrameLog(tmp_path, JOB) as journal:
        for index in (3, 1, 2):
            journal.append(frame(index))
    with FrameLog(tmp_path, JOB) as again:
        assert list(again) == [frame(1), frame(2), frame(3)]
        assert 2 in again and 0 not in again and len(again) == 3


def test_notes_come_back(tmp_path: Path) -> None:
    with FrameLog(tmp_path, JOB) as journal:
        journal.add_note(formats=["png"])
    with FrameLog(tmp_path, JOB) as again:
        assert again.notes == [{"formats": ["png"]}]


def test_a_journal_cut_anywhere_has_every_whole_line_and_goes_on(tmp_path: Path) -> None:
    with FrameLog(tmp_path, JOB) as journal:
        for index in range(4):
            journal.append(frame(index))
    content = (tmp_path / FILE_NAME).read_bytes()
    ends = [place + 1 for place, byte in enumerate(content) if byte == ord("\n")]
    for cut in [*range(0, len(content), 23), *(end + shift for end in ends for shift in (-1, 0) if end + shift)]:
        (tmp_path / FILE_NAME).write_bytes(content[:cut])
        with FrameLog(tmp_path, JOB) as again:
            whole = max(0, sum(end <= cut for end in ends) - 1)  # the first line is the job
            assert [one.index for one in again] == list(range(whole))
            again.append(frame(9))
        with FrameLog(tmp_path, JOB) as again:
            assert [one.index for one in again] == [*range(whole), 9]


@pytest.mark.parametrize("place", [-1, -20, -60, -200])
def test_a_damaged_line_and_what_follows_does_not_count(place: int, tmp_path: Path) -> None:
    with FrameLog(tmp_path, JOB) as journal:
        for index in range(4):
            journal.append(frame(index))
    content = bytearray((tmp_path / FILE_NAME).read_bytes())
    content[place] ^= 0x55
    (tmp_path / FILE_NAME).write_bytes(bytes(content))
    with FrameLog(tmp_path, JOB) as again:
        assert [one.index for one in again] == list(range(len(again))) and len(again) < 4
        assert all(one == frame(one.index) for one in again)


def test_another_job_is_refused_and_the_difference_named(tmp_path: Path) -> None:
    FrameLog(tmp_path, JOB).close()
    with pytest.raises(StateError, match="direction was 'forward', is 'both'") as caught:
        FrameLog(tmp_path, {**JOB, "direction": "both"})
    assert caught.value.code == "resume-mismatch" and caught.value.exit_status == 78
    FrameLog(tmp_path, JOB).close()  # and is not harmed by the attempt


def test_a_journal_that_another_process_holds_is_refused(tmp_path: Path) -> None:
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
    FrameLog(tmp_path, {}).close()  # a killed process holds nothing


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_failing_disk_loses_no_finished_frame(
    fault: int, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    working = getattr(os, call)
    for failing in range(6):
        folder = tmp_path / f"{fault}-{call}-{failing}"
        with FrameLog(folder, JOB) as journal:
            left = failing

            def broken(*arguments: Any) -> Any:
                nonlocal left
                left -= 1
                if left < 0:
                    raise OSError(fault, os.strerror(fault))
                return working(*arguments)

            monkeypatch.setattr(os, call, broken)
            finished = []
            with pytest.raises(ResourceError) as caught:
                for index in range(10):
                    journal.append(frame(index))
                    finished.append(index)
            monkeypatch.setattr(os, call, working)
            assert caught.value.exit_status == 74
            journal.append(frame(99))  # when the fault is gone it goes on
        with FrameLog(folder, JOB) as again:
            assert [one.index for one in again] == [*finished, 99]


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    working = os.write
    with FrameLog(tmp_path, JOB) as journal:
        monkeypatch.setattr(os, "write", lambda descriptor, data: working(descriptor, data[:7]))
        journal.append(frame(0))
        monkeypatch.undo()
    with FrameLog(tmp_path, JOB) as again:
        assert list(again) == [frame(0)]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="file"):
        FrameLog(tmp_path / "file" / "journal", JOB)
