"""Who is in which consumer group, and what it reads."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Member:
    """A consumer in a group that is not rebalancing."""

    group: str
    instance: str  # its static name, else the id the brokers gave it
    host: str
    client: str
    topics: frozenset[str]  # subscribed
    partitions: dict[str, list[int]]  # held, by topic


def members(admin: Any, groups: Collection[str] | None = None) -> list[Member]:
    """Return the members of these groups, or of all that we may describe.

    Groups that are rebalancing have none: until it is over, nobody knows who reads what.
    """
    if groups is None:
        groups = [g["group_id"] for g in admin.list_groups() if g["protocol_type"] == "consumer"]
    described = admin.describe_groups(list(groups)) if groups else {}
    return [
        _member(name, found)
        for name, group in described.items()
        if group["group_state"] == "Stable"
        for found in group["members"]
    ]


def _member(group: str, found: Any) -> Member:
    assignment = found["member_assignment"]["assigned_partitions"]
    return Member(
        group,
        found["group_instance_id"] or found["member_id"],
        found["client_host"].lstrip("/"),
        found["client_id"],
        frozenset(found["member_metadata"]["topics"]),
        {of_topic["topic"]: sorted(of_topic["partitions"]) for of_topic in assignment},
    )
