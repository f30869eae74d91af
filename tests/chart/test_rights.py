"""Who may do what through the API of Kubernetes: least rights, in one namespace, and nobody reads secrets."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.chart import VALUE_SETS, render

_RUN_PODS = {"get", "list", "watch", "create", "delete", "deletecollection"}
_FORBIDDEN_VERBS = {"*", "escalate", "bind", "impersonate", "approve", "sign"}
_FORBIDDEN_RESOURCES = {
    "*",
    "secrets",
    "nodes",
    "serviceaccounts",
    "serviceaccounts/token",
    "roles",
    "rolebindings",
    "clusterroles",
    "clusterrolebindings",
    "pods/exec",
    "pods/attach",
    "pods/portforward",
    "pods/ephemeralcontainers",
    "customresourcedefinitions",
    "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations",
}


def _rules(values: str) -> dict[str, list[dict[str, Any]]]:
    return {found["metadata"]["name"]: found["rules"] for found in render(values) if found["kind"] == "Role"}


@pytest.mark.parametrize("values", VALUE_SETS)
def test_rights_are_those_of_one_namespace(values: str) -> None:
    kinds = {found["kind"] for found in render(values)}
    assert not kinds & {"ClusterRole", "ClusterRoleBinding"}


@pytest.mark.parametrize("values", VALUE_SETS)
def test_no_rule_holds_what_nobody_needs(values: str) -> None:
    for name, rules in _rules(values).items():
        for rule in rules:
            assert not set(rule["verbs"]) & _FORBIDDEN_VERBS, name
            assert not set(rule["resources"]) & _FORBIDDEN_RESOURCES, name
            assert "*" not in rule["apiGroups"], name


def test_a_driver_may_handle_pods_and_nothing_else() -> None:
    (rule,) = _rules("dev")["headrace-driver"]
    assert (rule["apiGroups"], rule["resources"], set(rule["verbs"])) == ([""], ["pods"], _RUN_PODS)


def test_who_starts_runs_may_not_look_at_pods() -> None:
    """Spark's secret stands in the specs of executors: whoever may get pods can read it."""
    rules = _rules("dev")["headrace-run"]
    assert {resource for rule in rules for resource in rule["resources"]} == {"pipelineruns", "pods/log"}
    assert not {"delete", "deletecollection"} & {verb for rule in rules for verb in rule["verbs"]}


def test_every_binding_is_of_an_account_and_a_role_that_are_there() -> None:
    objects = render("dev")
    accounts = {found["metadata"]["name"] for found in objects if found["kind"] == "ServiceAccount"}
    roles = set(_rules("dev"))
    bindings = [found for found in objects if found["kind"] == "RoleBinding"]
    assert {found["roleRef"]["name"] for found in bindings} == roles
    subjects = {subject["name"] for found in bindings for subject in found["subjects"]}
    assert subjects <= accounts
    assert "headrace-executor" not in subjects
    assert {subject["namespace"] for found in bindings for subject in found["subjects"]} == {"data"}
