"""One reconciliation: look at what is known of a run, plan, carry the plan out, until there is nothing left to do now."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import suppress

from headrace_core.clock import Clock
from headrace_operator.actions import Action, Facts, Plan, RemoveDriverFinalizer
from headrace_operator.carrying_out import ActionCarrier
from headrace_operator.cleaning import plan_orphans
from headrace_operator.cluster_view import ClusterView
from headrace_operator.names import pods_selector, selector_text
from headrace_operator.observed import ObservedPod, ObservedRun
from headrace_runtime.errors_kubernetes import KubernetesUnavailable, ObjectAbsent, StaleObject
from headrace_runtime.ports_kubernetes import PIPELINE_RUNS, PODS, KubernetesApi

__all__ = ["Planner", "Reconciler"]

_MOST_ROUNDS = 12
"""A run takes a handful of plans from one wait to the next; more mean that two of them undo each other."""


Planner = Callable[[ObservedRun, Sequence[ObservedPod], Sequence[str], int, Facts], Plan]
"""`headrace_operator.planning.plan` with the installation's sizes: run, pods, holders of its key, now in ms, facts."""


class Reconciler:
    """Brings one run after the other forward. Two calls for the same run never overlap: the queue sees to that."""

    def __init__(
        self,
        api: KubernetesApi,
        view: ClusterView,
        clock: Clock,
        *,
        namespace: str,
        planner: Planner,
        carrier: ActionCarrier,
        notify: Callable[[str], None],
        on_round: Callable[[ObservedRun, ObservedRun | None], None] = lambda _before, _after: None,
    ) -> None:
        self._api = api
        self._view = view
        self._clock = clock
        self._namespace = namespace
        self._planner = planner
        self._carrier = carrier
        self._notify = notify
        self._on_round = on_round

    async def reconcile(self, name: str) -> int | None:
        """Work on a run; when to do so again, in milliseconds since 1970 UTC. Raises what only time mends."""
        facts = Facts()
        done: tuple[Action, ...] = ()
        for _ in range(_MOST_ROUNDS):
            run = self._view.run(name)
            if run is None:
                await self._release_orphans(name)
                return None
            plan = self._plan(run, facts)
            if plan.read_live:
                await self._list_pods(name)
                facts = dataclasses.replace(facts, pods_live=True)
                continue
            if not plan.actions or plan.actions == done:  # what was asked for takes its time
                return plan.requeue_at_ms
            facts = await self._carry_out(run, plan, facts)
            done = plan.actions
            self._on_round(run, self._view.run(name))
        raise KubernetesUnavailable(
            f"The run {name} does not come to rest.",
            why=f"{_MOST_ROUNDS} plans in a row had something to do.",
            fix="If it stays so, report it with the run's status and the log.",
            code="run_restless",
        )

    async def _release_orphans(self, name: str) -> None:
        """The run is gone and its pods go with it: nobody will ask how they ended. Only a live read says that it is gone."""
        if not plan_orphans(self._view.pods(name)).actions:
            return
        with suppress(ObjectAbsent):
            self._view.saw_run(await self._api.get(PIPELINE_RUNS, self._namespace, name))
            self._notify(name)
            return
        await self._list_pods(name)
        for action in plan_orphans(self._view.pods(name)).actions:
            if isinstance(action, RemoveDriverFinalizer):
                await self._carrier.release(name, action)

    def _plan(self, run: ObservedRun, facts: Facts) -> Plan:
        pods = self._view.pods(run.name)
        return self._planner(run, pods, self._view.holders(run), self._clock.now_ms(), facts)

    async def _carry_out(self, run: ObservedRun, plan: Plan, facts: Facts) -> Facts:
        """Carry a plan out; what is known for the next one."""
        try:
            learned = await self._carrier.carry_out(run, plan.actions)
        except (StaleObject, ObjectAbsent):
            await self._read(run)
            await self._list_pods(run.name)
            return Facts(pods_live=True)
        if learned is None:
            return dataclasses.replace(facts, pods_live=False)
        return learned

    async def _read(self, run: ObservedRun) -> None:
        """The run as it is now."""
        try:
            touched = self._view.saw_run(await self._api.get(PIPELINE_RUNS, self._namespace, run.name))
        except ObjectAbsent:
            touched = self._view.lost_run(run.name, run.uid)
        for name in touched - {run.name}:
            self._notify(name)

    async def _list_pods(self, name: str) -> None:
        found = await self._api.list(PODS, self._namespace, labels=selector_text(pods_selector(name)))
        self._view.saw_all_pods(name, found.items)
