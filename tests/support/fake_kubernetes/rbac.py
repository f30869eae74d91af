"""Roles: which token may do what. What was allowed is remembered, so that a test can find rights that nothing needs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.support.fake_kubernetes.objects import ApiFailure, Json
from tests.support.fake_kubernetes.resources import ResourceType

__all__ = ["Access", "Role", "Rule"]

Rule = tuple[str, str, str]
"""API group, resource (``pods`` or ``pods/log``), verb."""


@dataclass(frozen=True, slots=True)
class Role:
    """A closed set of rules."""

    rules: frozenset[Rule]

    @classmethod
    def from_rules(cls, rules: Iterable[Json]) -> Role:
        """The rules of a Role object: every group with every resource and verb of an entry."""
        return cls(
            frozenset(
                (group, resource, verb)
                for rule in rules
                for group in rule["apiGroups"]
                for resource in rule["resources"]
                for verb in rule["verbs"]
            )
        )

    def without(self, *rules: Rule) -> Role:
        """The role less some rules."""
        return Role(self.rules - set(rules))


@dataclass(slots=True)
class Access:
    """Who may do what. A token without a role may do everything: it is the test's own."""

    roles: dict[str, Role] = field(default_factory=dict)
    used: defaultdict[str, set[Rule]] = field(default_factory=lambda: defaultdict(set))
    refused: list[tuple[str, Rule]] = field(default_factory=list)

    def check(self, token: str, resource: ResourceType, subresource: str, verb: str, namespace: str) -> None:
        """Raises the 403 of RBAC, in its words."""
        name = f"{resource.plural}/{subresource}" if subresource else resource.plural
        rule = (resource.group, name, verb)
        role = self.roles.get(token)
        if role is not None and rule not in role.rules:
            self.refused.append((token, rule))
            raise ApiFailure(
                403,
                "Forbidden",
                f'{name} is forbidden: User "{token}" cannot {verb} resource "{name}" in API group '
                f'"{resource.group}" in the namespace "{namespace}"',
            )
        self.used[token].add(rule)
