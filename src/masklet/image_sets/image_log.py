"""Log of a set of images: the finished images with their masks, which stay readable if the process is killed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from masklet.files.hashing import sha256, sha256_of_samples
from masklet.jobs.fingerprint import fingerprint_prompts
from masklet.jobs.frame_log import FrameLog, JobDescription
from masklet.masks.rle_frame import RleFrame
from masklet.prompts import Prompt

_Prompts = Mapping[int, Prompt]


def fingerprint_image(path: Path, prompts: _Prompts) -> str:
    """Return a hash of the name and the content of an image and of its prompts. Raises `InputNotFound`."""
    facts = [path.name, sha256_of_samples(path), fingerprint_prompts({0: prompts})]
    return sha256(json.dumps(facts, sort_keys=True).encode())


class ImageLog:
    """Log of the finished images of a set, by fingerprint. It is a frame log with a number for each image.

    Args:
        folder: The folder of the log.
        job: What the masks of all images depend on.

    Raises:
        StateError: `resume-mismatch`: the log is of another job. `job-locked`: another process has it open.
        ResourceError: The log cannot be written.
    """

    def __init__(self, folder: Path, job: JobDescription) -> None:
        self._log = FrameLog(folder, job)
        self._numbers: dict[str, int] = {}
        for note in self._log.notes:
            if "image" in note:
                self._numbers[note["image"]] = note["frame"]

    def read(self, key: str) -> RleFrame | None:
        """Read the masks of an image, or return None if it is not finished."""
        number = self._numbers.get(key)
        return None if number is None or number not in self._log else next(self._log.read([number]))

    def append(self, key: str, frame: RleFrame) -> None:
        """Append the masks of a finished image. Raises `ResourceError`."""
        number = self._numbers.get(key)
        if number is None:
            number = max(self._numbers.values(), default=-1) + 1
            self._log.add_note(image=key, frame=number)
            self._numbers[key] = number
        numbered = replace(frame, index=number)
        if number in self._log:
            self._log.revise(numbered)
        else:
            self._log.append(numbered)

    def add_note(self, **values: Any) -> None:
        """Append a note, JSON values by name."""
        self._log.add_note(**values)

    def __enter__(self) -> ImageLog:
        return self

    def __exit__(self, *exception: object) -> None:
        self._log.close()
