"""Arguments of commands: accepted values, and messages for all others."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

import pytest

from masklet.errors import MaskletError
from masklet.studio.arguments import MAX_ITEMS, read_arguments

Fields = TypedDict("Fields", {"name": str, "class": int | None}, total=False)


def command(
    client: object,
    *,
    medium: int,
    object_id: int | None,
    points: list[tuple[float, float, Literal[0, 1]]],
    fields: Fields,
    direction: Literal["forward", "both"] = "forward",
    is_accepted: bool = False,
    attributes: dict[str, str] | None = None,
) -> None: ...


VALID: dict[str, Any] = {"medium": 3, "object": None, "points": [[1, 2.5, 1]], "fields": {"class": None}}


def test_arguments_become_keyword_arguments() -> None:
    read = read_arguments(command, {**VALID, "object": 2, "attributes": {"state": "open"}})
    assert read == {
        "medium": 3,
        "object_id": 2,
        "points": [(1.0, 2.5, 1)],
        "fields": {"class": None},
        "attributes": {"state": "open"},
    }
    assert isinstance(read["points"][0][0], float)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"medium": None}, "/medium must be a whole number from 0 to 2147483647, got null"),
        ({"medium": True}, "/medium must be a whole number from 0 to 2147483647, got true"),
        ({"medium": 1.0}, "/medium must be a whole number from 0 to 2147483647, got 1.0"),
        ({"medium": -1}, "/medium must be a whole number"),
        ({"medium": 10**5000}, "got a longer number"),
        ({"object": "2"}, "/object must be a whole number"),
        ({"points": [[1, 2, 1], [1, float("nan"), 1]]}, "/points/1/1 must be a number from"),
        ({"points": [[1, 10**400, 1]]}, "/points/0/1 must be a number"),
        ({"points": [[1, 2, 2]]}, "/points/0/2 must be 0 or 1, got 2"),
        ({"points": [[1, 2, True]]}, "/points/0/2 must be 0 or 1, got true"),
        ({"points": [[1, 2]]}, "/points/0 must be a list of 3 items, got a list of 2"),
        ({"points": [[1, 2, 1]] * (MAX_ITEMS + 1)}, "/points must be a list of at most 100000 items"),
        ({"points": {"0": 1}}, "/points must be a list"),
        ({"fields": []}, "/fields must be an object, got a list of 0"),
        ({"fields": {"id": 4}}, "/fields/id is not a field; the fields are name, class"),
        ({"fields": {"name": 4}}, "/fields/name must be a text"),
        ({"fields": {"name": "x" * 5000}}, "/fields/name must be a text of at most 4096 characters"),
        ({"direction": "up"}, "/direction must be forward or both, got 'up'"),
        ({"direction": ["both"]}, "/direction must be forward or both, got a list of 1"),
        ({"is_accepted": 1}, "/is_accepted must be true or false, got 1"),
        ({"attributes": {"state": 1}}, "/attributes/state must be a text"),
        ({"client": 1}, "/client is not an argument; the arguments are medium, object, points"),
    ],
)
def test_invalid_arguments_are_named(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(MaskletError) as caught:
        read_arguments(command, {**VALID, **changed})
    assert caught.value.code == "bad-request"
    assert caught.value.message.startswith("/") and message in caught.value.message
    assert len(caught.value.message) < 200


def test_a_missing_argument_is_named() -> None:
    with pytest.raises(MaskletError, match=r"^/points is missing$"):
        read_arguments(command, {name: value for name, value in VALID.items() if name != "points"})
