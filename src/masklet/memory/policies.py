"""Memory policies by name, and as the fields of a session file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from masklet.errors import SettingsError
from masklet.memory.dam4sam import Dam4SamMemory
from masklet.memory.policy import MemoryPolicy
from masklet.memory.recent_memory import RecentMemory
from masklet.memory.reference_memory import ReferenceMemory
from masklet.memory.sam2long import Sam2LongMemory
from masklet.memory.samurai import SamuraiMemory

POLICIES: Mapping[str, type[RecentMemory | SamuraiMemory | Dam4SamMemory | Sam2LongMemory]] = {
    policy.name: policy for policy in (RecentMemory, SamuraiMemory, Dam4SamMemory, Sam2LongMemory)
}
"""Policies that a user can choose, by name."""

_STORED: Mapping[str, Any] = {**POLICIES, ReferenceMemory.name: ReferenceMemory}  # those that a session file can have
_LARGE_MOTION_WEIGHT = 0.15  # SAMURAI's weight of the motion score for the large model


def parse_memory(memory: str | MemoryPolicy | None, model_name: str = "") -> MemoryPolicy:
    """Return a policy from its name.

    Args:
        memory: Name of a policy, or a policy; None is `recent`, which is SAM 2's rule.
        model_name: Name of the model, such as `sam2.1-large`, on which SAMURAI's weight of the motion score depends.

    Raises:
        SettingsError: There is no policy of this name (`bad-usage`).
    """
    if memory is None:
        return RecentMemory()
    if not isinstance(memory, str):
        return _check_policy(memory)
    if memory not in POLICIES:
        raise SettingsError("bad-usage", f"unknown memory {memory!r}; choose one of {', '.join(POLICIES)}")
    if memory == SamuraiMemory.name and "large" in model_name.split("-"):
        return SamuraiMemory(motion_weight=_LARGE_MOTION_WEIGHT)
    return POLICIES[memory]()


def policy_to_fields(policy: MemoryPolicy) -> dict[str, Any]:
    """Return a policy as the fields of a session file: `name` and its numbers.

    Raises:
        SettingsError: The policy is not one of masklet's, so it cannot be restored from a file (`bad-usage`).
    """
    stored: Any = policy
    if type(stored) is not _STORED.get(policy.name):
        message = f"{policy!r} cannot be saved; sessions can have the memory {', '.join(POLICIES)}"
        raise SettingsError("bad-usage", message)
    return {"name": policy.name, **asdict(stored)}


def policy_from_fields(fields: Mapping[str, Any]) -> MemoryPolicy:
    """Make a policy from the fields that `policy_to_fields` returned. No fields make SAM 2's rule.

    Raises:
        SettingsError: The name or a number is unknown or out of range (`bad-usage`).
    """
    name, numbers = fields.get("name", RecentMemory.name), {key: fields[key] for key in fields if key != "name"}
    try:
        policy: MemoryPolicy = _STORED[name](**numbers)
    except (KeyError, TypeError) as cause:
        raise SettingsError("bad-usage", f"unknown memory in a session file: {dict(fields)!r}") from cause
    return policy


def _check_policy(policy: Any) -> MemoryPolicy:
    if isinstance(policy, type) or not callable(getattr(policy, "select", None)):
        raise SettingsError("bad-usage", f"memory must be one of {', '.join(POLICIES)}, or a policy, got {policy!r}")
    checked: MemoryPolicy = policy
    return checked
