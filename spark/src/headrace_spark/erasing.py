"""What an erasure covers, and what it has to wait for (rules E1, E3 and E5). Pure.

A run stores its plan before it reads the suppression list. So of a run whose plan is not among those that the erasure
finds after it committed the suppression, it is known that it read the suppression. The days of the others are swapped by
the erasure itself, so that a generation which they still make finds another pointer than its plan saw.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from headrace_core.identity import Resolution
from headrace_core.lake import Generation
from headrace_spark.ports import PlannedAttempt, Suppressions

__all__ = [
    "days_to_swap",
    "expand",
    "since_erasure",
    "still_running",
]


def expand(asked: Suppressions, resolution: Resolution) -> Suppressions:
    """The subjects asked for, with every customer that their ids lead to and every id that leads to these customers."""
    named = [*(("user", each) for each in asked.users), *(("anonymous", each) for each in asked.anonymous)]
    customers = set(asked.customers)
    for kind, alias in named:
        customer = resolution.customer_of("user" if kind == "user" else "anonymous", alias)
        if customer is not None:
            customers.add(customer)
    users, anonymous = set(asked.users) | customers, set(asked.anonymous)
    for row in resolution.aliases:
        if row.customer_id in customers:
            (users if row.kind == "user" else anonymous).add(row.alias)
    return Suppressions(frozenset(users), frozenset(anonymous), frozenset(customers))


def days_to_swap(
    attempts: Iterable[PlannedAttempt], pointer_days: Collection[str], *, own_run: str, now_ms: int
) -> list[str]:
    """The days that an erasure swaps, oldest first: those with a pointer, and those that a run has planned which may still
    swap. ``attempts`` must have been read before ``pointer_days``: a run that ended in between has its pointer by then."""
    planned = (each for each in attempts if each.run != own_run and each.may_swap(now_ms))
    return sorted(set(pointer_days).union(*(attempt.days for attempt in planned)))


def still_running(
    attempts: Iterable[PlannedAttempt],
    planned_before: Collection[tuple[str, int]],
    *,
    own_run: str,
    now_ms: int,
) -> list[PlannedAttempt]:
    """Of the attempts that had planned before an erasure's last swap, those that it waits for before it closes, the longest
    last. Earlier attempts of ``own_run`` are over: an attempt starts when nothing of the one before it runs."""
    waiting = (
        each
        for each in attempts
        if each.run != own_run and (each.run, each.attempt) in planned_before and each.may_swap(now_ms)
    )
    return sorted(waiting, key=lambda each: (each.may_swap_until_ms, each.run, each.attempt))


def since_erasure(history: Iterable[Generation], run: str) -> list[Generation]:
    """Of a day's generations, the current one first, those without a row of the subjects: back to the last one that the
    erasing ``run`` made. All of them where it made none: then the day had no pointer when it swapped.

    Their files stay, also those of replaced ones: an undo may be on its way back to one of these, never past them.
    """
    clean: list[Generation] = []
    for generation in history:
        clean.append(generation)
        if generation.id.run == run:
            break
    return clean
