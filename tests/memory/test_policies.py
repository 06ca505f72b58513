"""Memory policies by name and as fields."""

from __future__ import annotations

import json
from typing import Any

import pytest

from masklet.errors import SettingsError
from masklet.memory.dam4sam import Dam4SamMemory
from masklet.memory.policies import POLICIES, parse_memory, policy_from_fields, policy_to_fields
from masklet.memory.policy import MemoryPolicy
from masklet.memory.recent_memory import RecentMemory
from masklet.memory.reference_memory import ReferenceMemory
from masklet.memory.sam2long import Sam2LongMemory
from masklet.memory.samurai import SamuraiMemory


def test_policies_have_names() -> None:
    assert [*POLICIES] == ["recent", "samurai", "dam4sam", "sam2long"]
    assert [parse_memory(name).name for name in POLICIES] == [*POLICIES]
    assert parse_memory(None) == RecentMemory()


def test_a_policy_is_used_as_it_is() -> None:
    policy = SamuraiMemory(motion_weight=0.4)
    assert parse_memory(policy, "sam2.1-large") is policy


@pytest.mark.parametrize(
    "model, weight", [("sam2.1-large", 0.15), ("sam2-large", 0.15), ("sam2.1-base-plus", 0.25), ("nano", 0.25)]
)
def test_samurais_weight_depends_on_the_model(model: str, weight: float) -> None:
    assert parse_memory("samurai", model) == SamuraiMemory(motion_weight=weight)


@pytest.mark.parametrize("memory", ["", "SAMURAI", "reference", 3, SamuraiMemory])
def test_unknown_memories_are_errors(memory: Any) -> None:
    with pytest.raises(SettingsError, match="recent, samurai, dam4sam, sam2long") as caught:
        parse_memory(memory)
    assert caught.value.code == "bad-usage"


@pytest.mark.parametrize(
    "policy",
    [
        RecentMemory(),
        ReferenceMemory(),
        SamuraiMemory(motion_weight=0.15, stable_frames=7),
        Dam4SamMemory(stride=3),
        Sam2LongMemory(hypotheses=2, max_scale=1.2),
    ],
    ids=repr,
)
def test_policies_survive_a_session_file(policy: MemoryPolicy) -> None:
    fields = json.loads(json.dumps(policy_to_fields(policy)))
    assert fields["name"] == policy.name
    assert policy_from_fields(fields) == policy


def test_an_old_session_file_has_the_memory_of_sam_2() -> None:
    assert policy_from_fields({}) == RecentMemory()


@pytest.mark.parametrize(
    "fields", [{"name": "other"}, {"name": "recent", "stride": 5}, {"name": "dam4sam", "stride": 0}, {"name": ["a"]}]
)
def test_damaged_fields_are_errors(fields: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        policy_from_fields(fields)


def test_a_policy_of_the_user_cannot_be_saved() -> None:
    class OwnMemory(RecentMemory):
        def select(self, *arguments: Any) -> Any:
            return super().select(*arguments)

    class OtherMemory:
        name, chooses = "other", False

    with pytest.raises(SettingsError, match="cannot be saved"):
        policy_to_fields(OtherMemory())  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="cannot be saved"):
        policy_to_fields(OwnMemory())
