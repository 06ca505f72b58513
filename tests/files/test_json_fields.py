"""Fields of JSON files have the requested type, or the error names the file and the place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from masklet.errors import FormatError, InputNotFound
from masklet.files.json_fields import Fields, name_errors, parse_json, read_fields, read_json

FIELDS = Fields(
    {
        "whole": 3, "half": 2.5, "fraction": 12.0, "text": "a", "yes": True, "null": None, "huge": 10**400,
        "list": [1, 2.0, "x"], "lists": [[1], 2], "object": {"a": 1}, "objects": [{"a": 1}, 2],
        "entries": {"1": {"a": 1}, "b": {}}, "endless": float("inf"), "nan": float("nan"),
    },
    "a.json",
)  # fmt: skip


def test_fields_of_the_requested_type_are_returned() -> None:
    assert (FIELDS.integer("whole"), FIELDS.integer("fraction"), FIELDS.integer("null", 7)) == (3, 12, 7)
    assert (FIELDS.number("half"), FIELDS.number("whole"), FIELDS.number("missing", 1.5)) == (2.5, 3.0, 1.5)
    assert (FIELDS.text("text"), FIELDS.text("missing", "b")) == ("a", "b")
    assert FIELDS.array("list") == [1, 2.0, "x"]
    assert Fields({"n": [1, 2.0]}, "x").integers("n") == [1, 2]
    assert Fields({"n": [[1], []]}, "x").arrays("n") == [[1], []]
    assert next(FIELDS.objects("objects")).integer("a") == 1
    assert Fields({"n": {"3": {"a": 1}}}, "x").numbered("n")[3].integer("a") == 1
    assert set(FIELDS.entries("entries")) == {"1", "b"}
    assert ("whole" in FIELDS, "missing" in FIELDS, FIELDS.get("missing")) == (True, False, None)


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda f: f.integer("half"), "'half' must be a whole number, got 2.5"),
        (lambda f: f.integer("yes"), "'yes' must be a whole number, got True"),
        (lambda f: f.integer("endless"), "'endless' must be a whole number, got inf"),
        (lambda f: f.integer("missing"), "no field 'missing'; it must be a whole number"),
        (lambda f: f.integer("null"), "'null' must be a whole number, got None"),
        (lambda f: f.number("nan"), "'nan' must be a number, got nan"),
        (lambda f: f.number("huge"), "'huge' must be a number, got 1000"),
        (lambda f: f.number("text"), "'text' must be a number, got 'a'"),
        (lambda f: f.text("whole"), "'whole' must be text, got 3"),
        (lambda f: f.array("object"), "'object' must be a list, got an object of 1"),
        (lambda f: f.arrays("lists"), "'lists' must be a list of lists, got 2 at 1"),
        (lambda f: f.integers("list"), "list: '2' must be a whole number, got 'x'"),
        (lambda f: f.object("list"), "'list' must be an object, got a list of 3"),
        (lambda f: list(f.objects("objects")), "objects 1: expected an object with fields, got 2"),
        (lambda f: f.entries("object"), "object: 'a' must be an object, got 1"),
        (lambda f: f.numbered("entries"), "entries: a field must be named by a whole number, got 'b'"),
        (lambda f: next(f.objects("objects")).text("a"), "objects 0: 'a' must be text, got 1"),
    ],
)
def test_the_error_for_a_field_of_another_type_names_file_and_place(
    read: Callable[[Fields], Any], message: str
) -> None:
    with pytest.raises(FormatError) as caught:
        read(FIELDS)
    assert caught.value.code == "annotation-broken"
    assert caught.value.message.startswith("a.json") and message in caught.value.message
    assert caught.value.context["path"] == "a.json"


@pytest.mark.parametrize("text", [b"{", b"\0", b"\xff", b"[" * 100_000, b"1" * 5000])
def test_text_that_is_not_json_is_refused(text: bytes) -> None:
    with pytest.raises(FormatError, match=r"a\.json: not JSON"):
        parse_json(text, "a.json")


def test_a_file_that_does_not_hold_an_object_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1]")
    assert read_json(tmp_path / "a.json") == [1]
    with pytest.raises(FormatError, match=r"a\.json: expected an object with fields, got a list of 1"):
        read_fields(tmp_path / "a.json")
    with pytest.raises(InputNotFound):
        read_fields(tmp_path / "b.json")


def test_a_name_is_added_to_an_error_once() -> None:
    for message in ("it is wrong", "a.json: it is wrong"):
        with pytest.raises(FormatError, match=r"^a\.json: it is wrong$"), name_errors("a.json"):
            raise FormatError("bad-rle", message)
