"""An API server of Kubernetes inside the test's process: what an operator sees of a cluster, on a real socket.

It keeps what operators are caught out by: optimistic locking, watches with bookmarks and 410, finalizers, graceful deletion,
owner garbage collection, the status subresource, roles, quotas, and faults at a chosen call. It does not check schemas, run
CEL, schedule or admit; those are tried on a real cluster.

`FakeKubernetes` is the cluster, `tests.support.fake_kubernetes.kubelet` lets its pods live by a script.
"""

from __future__ import annotations

from tests.support.fake_kubernetes.cluster import FakeKubernetes
from tests.support.fake_kubernetes.faults import Fault, FaultPlan
from tests.support.fake_kubernetes.objects import ApiFailure
from tests.support.fake_kubernetes.rbac import Role, Rule

__all__ = ["ApiFailure", "FakeKubernetes", "Fault", "FaultPlan", "Role", "Rule"]
