"""What to do next about a run: one pure function of what is known of it. Pure: no clock, no calls.

What becomes of a run is `headrace_core.run_policy`, the same as on a laptop. Here its steps become actions on Kubernetes,
and what is seen of pods becomes attempts. Whatever is written to the status comes first among the actions: it is the intent
that the next life of the operator goes on from.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace_core import run_policy
from headrace_core.errors import BadData
from headrace_core.instants import instant_text, read_instant
from headrace_core.pipeline_run import RunSpec
from headrace_core.run_policy import Evict, Finish, Run, Start, Step, Stop, Wait
from headrace_core.run_status import AttemptStatus
from headrace_operator.actions import Action, CancelRun, Facts, Plan, Refusal
from headrace_operator.classification import Ending, cut
from headrace_operator.cleaning import clean, expire, release
from headrace_operator.conditions import Verdict, count_executors
from headrace_operator.driver_objects import DRIVER_GRACE_S, AttemptObjects, attempt_objects
from headrace_operator.folding import Pods, end_attempt, fold, pods_of, record_of, result_of
from headrace_operator.observed import ObservedPod, ObservedRun
from headrace_operator.sizes import Installation, resources_of
from headrace_operator.stalling import no_place, stalled_by
from headrace_operator.writing import Draft, create_attempt, write

__all__ = ["plan"]

_SETTLE_MS = 2_000
"""When to look again at pods that are on their way out."""

_REFUSED_MS, _QUOTA_MS = 60_000, 10_000
"""When to try again what the API server has refused."""

_GONE_WITHIN_MS = 90_000
"""Executors of a stopped run are waited for so long after its driver: their grace period, and what a node takes."""


def plan(
    run: ObservedRun,
    pods: Sequence[ObservedPod],
    holders: Sequence[str],
    now_ms: int,
    *,
    installation: Installation,
    facts: Facts,
) -> Plan:
    """What to do about the run now, and when to ask again.

    ``pods`` are all with the run's name on their label, ``holders`` the runs that `observed.holders_of` names. The same
    arguments give the same plan; once its actions have been carried out and seen, the next one has none.
    """
    sorted_pods = pods_of(run, pods)
    leaving = release(sorted_pods.foreign)
    if run.status.finished or run.deletion_ms is not None or facts.namespace_ending:
        return _nothing_to_decide(run, sorted_pods, leaving, now_ms, facts)
    return _Planning(
        run=run,
        pods=sorted_pods,
        holders=holders,
        now_ms=now_ms,
        installation=installation,
        facts=facts,
        leaving=leaving,
    ).next()


def _nothing_to_decide(
    run: ObservedRun, pods: Pods, leaving: tuple[Action, ...], now_ms: int, facts: Facts
) -> Plan:
    """A run that is over, or goes with all its children: what is left is taken away."""
    if facts.refusal is not None:
        return Plan((), now_ms + _REFUSED_MS)
    if run.deletion_ms is not None or facts.namespace_ending:
        return Plan(leaving + release(pods.drivers.values()))
    cleaning = clean(run.uid, run.status.attempts, pods)
    if cleaning or leaving:
        return Plan(leaving + cleaning, now_ms + _SETTLE_MS)
    return expire(run, now_ms)


class _Planning:
    """One plan for an active run. Lives for one call of `plan` alone."""

    def __init__(
        self,
        *,
        run: ObservedRun,
        pods: Pods,
        holders: Sequence[str],
        now_ms: int,
        installation: Installation,
        facts: Facts,
        leaving: tuple[Action, ...],
    ) -> None:
        self._run = run
        self._pods = pods
        self._holders = holders
        self._now_ms = now_ms
        self._installation = installation
        self._facts = facts
        self._leaving = leaving
        self._attempts = run.status.attempts
        self._ending: Ending | None = None

    def next(self) -> Plan:
        """The plan."""
        self._fold()
        if self._driver_is_missing() and not self._facts.pods_live:
            return Plan(read_live=True)
        if self._run.spec is None:
            return self._misunderstood()
        self._refused()
        return self._carry(self._run.spec, self._step(self._run.spec))

    def _carry(self, spec: RunSpec, step: Step) -> Plan:
        match step:
            case Stop(reason):
                return self._stop(reason)
            case Start(number):
                return self._start(spec, number)
            case Finish():
                return self._finish(step)
            case Evict(names):
                return self._evict(spec, names)
            case Wait():
                return self._wait(spec, step)

    # What is seen

    @property
    def _last(self) -> AttemptStatus | None:
        return self._attempts[-1] if self._attempts else None

    @property
    def _running(self) -> AttemptStatus | None:
        last = self._last
        return last if last is not None and last.end_time is None else None

    def _replace_last(self, attempt: AttemptStatus, ending: Ending | None) -> None:
        self._attempts = (*self._attempts[:-1], attempt)
        self._ending = ending or self._ending

    def _fold(self) -> None:
        running = self._running
        if running is not None:
            driver = self._pods.drivers.get(running.number)
            self._replace_last(*fold(running, driver, self._facts, self._now_ms))

    def _driver_is_missing(self) -> bool:
        """Whether a driver that was there, or was not to come any more, is not seen."""
        running = self._running
        if running is None or running.number in self._pods.drivers:
            return False
        return bool(running.driver_uid) or running.stopped is not None

    def _refused(self) -> None:
        """End an attempt whose driver can never be created."""
        running, conflict, refusal = self._running, self._facts.conflict, self._facts.refusal
        if running is None or running.number in self._pods.drivers or running.driver_uid:
            return
        if conflict is not None and not conflict.terminating:
            message = (
                f"The {conflict.kind} {conflict.name} is there already and belongs to another owner. "
                "Fix: delete it, or name the run otherwise."
            )
            self._end(running, "infrastructure", "ForeignObject", message)
        elif refusal is not None and refusal.kind in ("admission", "invalid") and _creates(refusal.what):
            whose = "executors" if refusal.what == "executor" else "driver"
            message = f"The API server refuses the run's {whose}: {refusal.message}"
            self._end(running, "configuration", "PodRefused", message)

    def _end(
        self, attempt: AttemptStatus, failure: run_policy.FailureClass, reason: str, message: str
    ) -> None:
        ending = Ending(
            exit_code=None, failure=failure, reason=reason, message=message, ended_ms=self._now_ms
        )
        self._replace_last(*end_attempt(attempt, ending))

    def _step(self, spec: RunSpec) -> Step:
        records = tuple(
            record_of(each, self._pods.drivers.get(each.number), self._pods.of(each.number))
            for each in self._attempts
        )
        run = Run(name=self._run.name, spec=spec, created_ms=self._run.created_ms, attempts=records)
        return run_policy.plan(run, self._now_ms, holders=self._holders)

    # What is done

    def _misunderstood(self) -> Plan:
        """A spec that this version does not understand: what runs of it is stopped, then the run is over."""
        if self._running is not None:
            return self._stop("Cancelled")
        return self._finish(Finish("Failed", "InvalidSpec", self._run.invalid))

    def _stop(self, reason: run_policy.StopReason) -> Plan:
        """Ask the running attempt to end; its end is seen like any other."""
        running = self._running
        assert running is not None
        driver = self._pods.drivers.get(running.number)
        if running.stopped is None:
            stopped = msgspec.structs.replace(running, stopped=reason)
            if driver is not None and reason == "SchedulingDeadlineExceeded":
                # Its pods will not say any more what they lacked once they are deleted.
                stall = stalled_by(driver, self._pods.of(running.number), self._now_ms)
                stopped = no_place(stopped, stall)
            self._replace_last(stopped, None)
        if driver is None:
            return self._stop_before_it_ran(reason)
        verdict = Verdict(
            succeeded="Unknown", reason="Stopping", message=reason, **stalled_by(driver, (), self._now_ms)
        )
        draft = self._draft(verdict)
        looks_ms = (driver.deletion_ms or self._now_ms) + DRIVER_GRACE_S * 1000
        cleaning = clean(self._run.uid, draft.status.attempts, self._pods)
        return self._planned(draft, cleaning, until_ms=max(looks_ms, self._now_ms + _SETTLE_MS))

    def _stop_before_it_ran(self, reason: run_policy.StopReason) -> Plan:
        """An attempt that is stopped and has no driver ends at once, where a live list says so too."""
        if not self._facts.pods_live:
            return Plan(read_live=True)
        self._fold()
        last, stalled = self._last, self._run.status.condition("Stalled")
        if last is not None and stalled is not None and stalled.status == "True":
            message = cut(f"{reason}: {stalled.message}")
            self._replace_last(msgspec.structs.replace(last, message=message), None)
        if self._run.spec is None:
            return self._misunderstood()
        return self._carry(self._run.spec, self._step(self._run.spec))

    def _start(self, spec: RunSpec, number: int) -> Plan:
        try:
            objects = self._objects(spec, number)
        except BadData as error:
            return self._finish(Finish("Failed", "InvalidSpec", str(error)))
        if number > 1 and (plan := self._make_room(number)) is not None:
            return plan
        begun = AttemptStatus(number=number, start_time=instant_text(self._now_ms))
        self._attempts = (*self._attempts, begun)
        draft = self._draft(
            Verdict(succeeded="Unknown", reason="Pending", message=f"Attempt {number} begins.")
        )
        return self._planned(draft, create_attempt(objects, first=number == 1))

    def _make_room(self, number: int) -> Plan | None:
        """Nothing of the attempts before may be there any more, and only a live list says so."""
        left = [pod for pod in self._pods.executors if pod.attempt < number]
        drivers = [pod for pod in self._pods.drivers.values() if not pod.over]
        if left or drivers:
            draft = self._draft(self._backoff(), retry_after=self._run.status.retry_after)
            cleaning = clean(self._run.uid, self._attempts, self._pods)
            return self._planned(draft, cleaning, until_ms=self._now_ms + _SETTLE_MS)
        return None if self._facts.pods_live else Plan(read_live=True)

    def _objects(self, spec: RunSpec, number: int) -> AttemptObjects:
        return attempt_objects(
            name=self._run.name,
            namespace=self._run.namespace,
            uid=self._run.uid,
            attempt=number,
            spec=spec,
            resources=resources_of(spec, self._installation),
            installation=self._installation,
        )

    def _finish(self, step: Finish) -> Plan:
        if step.state != "Succeeded" and self._executors_are_leaving():
            draft = self._draft(Verdict(succeeded="Unknown", reason="Stopping", message=step.message))
            cleaning = clean(self._run.uid, draft.status.attempts, self._pods)
            return self._planned(draft, cleaning, until_ms=self._now_ms + _SETTLE_MS)
        verdict = Verdict(
            succeeded="True" if step.state == "Succeeded" else "False",
            reason=step.reason,
            message=step.message,
        )
        draft = self._draft(verdict, completion_time=instant_text(self._now_ms))
        return self._planned(draft, clean(self._run.uid, draft.status.attempts, self._pods))

    def _executors_are_leaving(self) -> bool:
        """Whether executors of the last attempt are still there, and not for so long that their node must be lost."""
        last = self._last
        ended_ms = None if last is None else read_instant(last.end_time)
        if last is None or ended_ms is None or self._now_ms >= ended_ms + _GONE_WITHIN_MS:
            return False
        return bool(self._pods.of(last.number))

    def _evict(self, spec: RunSpec, names: Sequence[str]) -> Plan:
        """Cancel the runs that hold the key. The status says so last: before that they are cancelled again."""
        draft = self._draft(
            Verdict(succeeded="Unknown", reason="WaitingForKey", message=f"It replaces {', '.join(names)}.")
        )
        refusal = self._facts.refusal
        if refusal is not None:
            return self._forbidden(draft, refusal)
        cancels = tuple(CancelRun(name) for name in names) if draft.differs else ()
        deadline_ms = self._run.created_ms + spec.scheduling_deadline_seconds * 1000
        return Plan(self._leaving + cancels + write(draft), max(deadline_ms, self._now_ms + _SETTLE_MS))

    def _wait(self, spec: RunSpec, step: Wait) -> Plan:
        running = self._running
        if running is not None:
            return self._while_running(spec, running, step)
        if step.reason == "Backoff":
            assert step.until_ms is not None
            draft = self._draft(self._backoff(), retry_after=instant_text(step.until_ms))
        else:
            message = (
                f"{', '.join(self._holders)} works on {self._run.key}."
                if step.reason == "WaitingForKey"
                else ""
            )
            draft = self._draft(
                Verdict(succeeded="Unknown", reason=step.reason or "Pending", message=message)
            )
        cleaning = clean(self._run.uid, draft.status.attempts, self._pods)
        return self._planned(draft, cleaning, until_ms=step.until_ms)

    def _while_running(self, spec: RunSpec, running: AttemptStatus, step: Wait) -> Plan:
        driver = self._pods.drivers.get(running.number)
        if driver is None:
            return self._create(spec, running, step)
        executors = self._pods.of(running.number)
        requested = self._requested(spec, len(executors))
        counts, count_ms = count_executors(self._run.status.executors, executors, requested, self._now_ms)
        stalled = stalled_by(driver, executors, self._now_ms)
        if driver.running_ms is None:
            verdict = Verdict(
                succeeded="Unknown",
                reason="Pending",
                message=f"Attempt {running.number} waits to run.",
                **stalled,
            )
            draft = self._draft(verdict)
        else:
            verdict = Verdict(
                succeeded="Unknown", reason="Running", message=f"Attempt {running.number} runs.", **stalled
            )
            draft = self._draft(verdict, executors=counts)
        times = [each for each in (step.until_ms, count_ms) if each is not None and each > self._now_ms]
        cleaning = clean(self._run.uid, draft.status.attempts, self._pods)
        return self._planned(draft, cleaning, until_ms=min(times, default=None))

    def _create(self, spec: RunSpec, running: AttemptStatus, step: Wait) -> Plan:
        """The intent stands, its driver does not: create it, or say what stands in the way."""
        try:
            objects = self._objects(spec, running.number)
        except BadData as error:
            self._end(running, "configuration", "InvalidSpec", str(error))
            return self._finish(Finish("Failed", "InvalidSpec", str(error)))
        if self._facts.refusal is not None or self._facts.conflict is not None:
            return self._held_up(running, step)
        draft = self._draft(self._begins(running, *self._stalled_before()))
        return self._planned(
            draft, create_attempt(objects, first=running.number == 1), until_ms=step.until_ms
        )

    def _stalled_before(self) -> tuple[str, str]:
        """What the status says the run is stalled by: kept until a try shows that it is not any more."""
        before = self._run.status.condition("Stalled")
        return (before.reason, before.message) if before is not None and before.status == "True" else ("", "")

    @staticmethod
    def _begins(running: AttemptStatus, stalled: str, message: str) -> Verdict:
        return Verdict(
            succeeded="Unknown",
            reason="Pending",
            message=f"Attempt {running.number} begins.",
            stalled=stalled,
            stalled_message=message,
        )

    def _held_up(self, running: AttemptStatus, step: Wait) -> Plan:
        """The driver cannot be created now; time or people will mend that."""
        refusal, pause_ms, stalled, message = self._facts.refusal, _SETTLE_MS, "", ""
        if refusal is not None:
            stalled, pause_ms = (
                ("QuotaExceeded", _QUOTA_MS) if refusal.kind == "quota" else ("ApiRefused", _REFUSED_MS)
            )
            message = f"The API server refuses to {refusal.what}: {refusal.message}"
        again_ms = self._now_ms + pause_ms
        draft = self._draft(self._begins(running, stalled, message))
        return self._planned(draft, until_ms=min(step.until_ms or again_ms, again_ms))

    def _requested(self, spec: RunSpec, observed: int) -> int:
        try:
            return resources_of(spec, self._installation).executors
        except BadData:
            return observed

    # What is said

    def _backoff(self) -> Verdict:
        last = self._last
        message = "" if last is None else f"Attempt {last.number}: {last.reason}."
        return Verdict(succeeded="Unknown", reason="Backoff", message=message)

    def _draft(self, verdict: Verdict, **changes: object) -> Draft:
        fields = {"retry_after": None, "executors": None, **changes}
        first = self._attempts[0].start_time if self._attempts else None
        status = msgspec.structs.replace(
            self._run.status,
            attempts=self._attempts,
            start_time=first,
            result=result_of(self._ending) or self._run.status.result,
            **fields,
        )
        return Draft.of(self._run, status, verdict, self._now_ms)

    def _planned(
        self, draft: Draft, actions: tuple[Action, ...] = (), *, until_ms: int | None = None
    ) -> Plan:
        """The status first, then what it is the intent for. Without a time, what was begun is looked at again soon."""
        refusal = self._facts.refusal
        if refusal is not None and not _creates(refusal.what):
            return self._forbidden(draft, refusal)
        if actions and self._stalled_before()[0] == "ApiRefused" and not draft.status.finished:
            draft = draft.stalled(*self._stalled_before(), self._now_ms)
        if actions and until_ms is None:
            until_ms = self._now_ms + _SETTLE_MS
        return Plan(self._leaving + write(draft) + actions, until_ms)

    def _forbidden(self, draft: Draft, refusal: Refusal) -> Plan:
        """A right is missing: say so where that is possible, and try again in a while. What runs is left alone."""
        again_ms = self._now_ms + _REFUSED_MS
        if "status" in refusal.what:
            return Plan((), again_ms)
        if draft.status.finished:
            return Plan(write(draft), again_ms)
        message = f"The API server refuses to {refusal.what}: {refusal.message}"
        return Plan(write(draft.stalled("ApiRefused", message, self._now_ms)), again_ms)


def _creates(what: str) -> bool:
    return what in ("executor", "create pods", "create configmaps")
