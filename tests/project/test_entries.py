"""Entries: JSON there and back, and refused values."""

from __future__ import annotations

from typing import Any

import pytest

from masklet.errors import FormatError
from masklet.project.entries import (
    Medium,
    ObjectClass,
    ProjectObject,
    PromptEntry,
    entry_to_json,
    parse_entry,
    parse_key,
    prompt_key,
)
from masklet.prompts import BOTTOM_RIGHT, TOP_LEFT

MEDIUM = Medium("../clips/dog.mp4", "video", (720, 1280), 50, (0.04, 25.0), checked=True).to_json()
CLASS = ObjectClass("dog", "#00aaff", ("breed", "age"), 3).to_json()
OBJECT = ProjectObject("Rex", 3, "#ff0000", hidden=True, attributes={"breed": "husky"}).to_json()
PROMPT = PromptEntry(((3, 4.5, 1), (9, 9, 0)), (0, 1, 20, 30), 2).to_json()
ENTRIES = {"project": {"name": "p"}, "media/1": MEDIUM, "class/3": CLASS, "object/1/2": OBJECT, "prompt/1/2/0": PROMPT}


@pytest.mark.parametrize("key", ENTRIES)
def test_an_entry_is_read_as_it_was_written(key: str) -> None:
    assert entry_to_json(parse_entry(key, ENTRIES[key])) == ENTRIES[key]


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("project", {"name": 3}),
        ("media/1", {"path": ""}),
        ("media/1", {"kind": "audio"}),
        ("media/1", {"size": [0, 5]}),
        ("media/1", {"size": [5]}),
        ("media/1", {"kind": "image"}),  # with 50 frames
        ("media/1", {"times": [0, 0]}),
        ("media/1", {"checked": 1}),
        ("class/3", {"color": "red"}),
        ("class/3", {"name": "a\nb"}),
        ("class/3", {"digit": 0}),
        ("class/3", {"attributes": [1]}),
        ("object/1/2", {"class": 0}),
        ("object/1/2", {"attributes": {"a": 1}}),
        ("object/1/2", {"locked": "no"}),
        ("prompt/1/2/0", {"points": [[1, 2]]}),
        ("prompt/1/2/0", {"points": [[1, 2, 5]]}),
        ("prompt/1/2/0", {"points": [[1, float("nan"), 1]]}),
        ("prompt/1/2/0", {"points": [[1, "2", 1]]}),
        ("prompt/1/2/0", {"points": [], "box": None}),
        ("prompt/1/2/0", {"box": [5, 5, 1, 9]}),
        ("prompt/1/2/0", {"candidate": 3}),
    ],
)
def test_an_invalid_value_is_refused(key: str, changes: dict[str, Any]) -> None:
    with pytest.raises(FormatError) as error:
        parse_entry(key, {**ENTRIES[key], **changes})
    assert error.value.code == "project-broken"


@pytest.mark.parametrize(
    "key", ["", "media", "media/0", "media/01", "media/1/2", "object/1", "prompt/1/2/-1", "media/x"]
)
def test_an_unknown_key_is_refused(key: str) -> None:
    with pytest.raises(FormatError, match="has no entry"):
        parse_key(key)


def test_a_key_has_the_numbers_of_its_entry() -> None:
    assert parse_key(prompt_key(7, 2, 0)) == ("prompt", (7, 2, 0))


def test_the_prompt_of_an_entry_has_its_box_and_clicks() -> None:
    prompt = PromptEntry(((3, 4, 1), (9, 8, 0)), (0, 1, 20, 30)).to_prompt()
    assert prompt.points.tolist() == [[0, 1], [20, 30], [3, 4], [9, 8]]
    assert prompt.labels.tolist() == [TOP_LEFT, BOTTOM_RIGHT, 1, 0]
