"""Prompt options of videos: labels from options and files belong to objects, whichever frame is prompted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from masklet.cli.prompt_options import VideoPromptOptions
from masklet.errors import PromptError
from masklet.masks.masks import Masks
from support.dataset_layouts import write_json


def labels(options: VideoPromptOptions) -> dict[tuple[int, int], str | None]:
    """Return the label of each prompt by frame and object id."""
    schedule = options.parse_schedule()
    return {(frame, key): prompt.label for frame, by_object in schedule.items() for key, prompt in by_object.items()}


def test_a_label_option_applies_to_its_object_on_every_frame(tmp_path: Path) -> None:
    file = write_json(tmp_path / "prompts.json", [{"frame": 9, "object": 3, "points": [[4, 4, 1]]}])
    options = VideoPromptOptions(
        box=["1,2,3,4@5#3"], point=["1,2#3", "5,5"], label=["dog @ 2#3", "cat"], prompt_file=file
    )
    assert labels(options) == {(0, 1): "cat", (0, 3): "dog @ 2", (5, 3): "dog @ 2", (9, 3): "dog @ 2"}


def test_an_object_has_one_label_in_a_prompt_file(tmp_path: Path) -> None:
    rows = [
        {"box": [1, 2, 3, 4], "label": "dog"},
        {"frame": 2, "points": [[4, 4, 1]]},
        {"object": 2, "box": [1, 2, 3, 4]},
    ]
    file = write_json(tmp_path / "prompts.json", rows)
    assert labels(VideoPromptOptions(prompt_file=file)) == {(0, 1): "dog", (0, 2): None, (2, 1): None}
    rows[1]["label"] = "cat"
    write_json(file, rows)
    with pytest.raises(PromptError, match="object 1 has the labels 'dog' and 'cat'"):
        VideoPromptOptions(prompt_file=file).parse_schedule()


def test_masks_bring_their_labels_unless_others_are_given(tmp_path: Path) -> None:
    labeled = Masks.from_binary(np.eye(2, 16, dtype=bool).reshape(2, 4, 4), object_ids=(4, 5), labels=("bird", None))
    for name in ("masks.png", "masks.json"):
        labeled.save(tmp_path / name)
        assert labels(VideoPromptOptions(mask=[str(tmp_path / name)])) == {(0, 4): "bird", (0, 5): None}
        assert labels(VideoPromptOptions(mask=[f"{tmp_path / name}@3#4"], label=["crow#4"])) == {(3, 4): "crow"}
        rows = [{"object": 4, "mask": name}, {"frame": 2, "object": 4, "mask": name, "label": "bird"}]
        file = write_json(tmp_path / "prompts.json", rows)
        assert labels(VideoPromptOptions(prompt_file=file)) == {(0, 4): "bird", (2, 4): "bird"}
        rows[1]["label"] = "crow"
        write_json(file, rows)
        assert labels(VideoPromptOptions(prompt_file=file, label=["crow#4"])) == {(0, 4): "crow", (2, 4): "crow"}


def test_a_label_of_a_prompt_file_must_be_text(tmp_path: Path) -> None:
    file = write_json(tmp_path / "prompts.json", [{"box": [1, 2, 3, 4], "label": "  "}])
    with pytest.raises(PromptError, match="prompt 0: a label must be"):
        VideoPromptOptions(prompt_file=file).parse_schedule()
