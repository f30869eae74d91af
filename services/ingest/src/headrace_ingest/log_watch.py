"""Whether Kafka answers: a probe every second decides readiness, and ends the wait of senders in a long outage."""

from __future__ import annotations

import logging

from headrace_core.errors import ConfigurationError, Unavailable
from headrace_core.topics import EVENTS_QUARANTINE, EVENTS_RAW
from headrace_runtime.ports_log import LogAdmin
from headrace_runtime.process import Lifecycle

__all__ = ["LogWatch", "check_topics"]

_log = logging.getLogger(__name__)
_COMPONENT = "kafka"
_PROBE_EVERY_S = 1.0
_PROBE_DEADLINE_S = 2.0


async def check_topics(admin: LogAdmin, partitions: int, *, deadline_s: float) -> None:
    """Raises ConfigurationError where a topic is missing or has another partition count, Unavailable where Kafka is."""
    names = (EVENTS_RAW.name, EVENTS_QUARANTINE.name)
    found = await admin.describe(names, deadline_s=deadline_s)
    for name in names:
        if name not in found:
            raise _wrong_topic(f"The topic {name} does not exist.", "Nobody has created it.")
        if found[name].partitions != partitions:
            raise _wrong_topic(
                f"The topic {name} has {found[name].partitions} partitions instead of {partitions}.",
                "Partitions follow from event ids, so the count is fixed when Headrace is installed.",
            )


def _wrong_topic(what: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        what,
        why=why,
        fix="Create the topics with `headrace topics create`, or set HEADRACE_PARTITIONS to their count.",
        code="topic_partitions",
    )


class LogWatch:
    """Knows since when Kafka does not answer. ``grace_s`` is how long senders wait in hope all the same."""

    def __init__(self, life: Lifecycle, admin: LogAdmin, *, grace_s: float) -> None:
        self._life, self._admin, self._grace_s = life, admin, grace_s
        self._down_since: float | None = None

    @property
    def hopeless(self) -> bool:
        """Whether Kafka has been down for so long that a request is better refused at once."""
        return (
            self._down_since is not None and self._life.clock.monotonic_s() - self._down_since > self._grace_s
        )

    async def follow(self) -> None:
        """Probe until the process stops."""
        while await self._life.sleep(_PROBE_EVERY_S):
            await self._probe()

    async def _probe(self) -> None:
        try:
            await self._admin.cluster_id(deadline_s=_PROBE_DEADLINE_S)
        except Unavailable as error:
            self._set_down(error)
        else:
            self._set_up()

    def _set_down(self, error: Unavailable) -> None:
        if self._down_since is None:
            self._down_since = self._life.clock.monotonic_s()
            _log.warning("Kafka does not answer.", extra={"why": error.why})
        self._life.health.down(_COMPONENT, f"{error.what} {error.why}")
        self._life.telemetry.count("headrace_dependency_errors_total", dependency=_COMPONENT)

    def _set_up(self) -> None:
        if self._down_since is not None:
            seconds = round(self._life.clock.monotonic_s() - self._down_since, 1)
            _log.info("Kafka answers again.", extra={"after_s": seconds})
        self._down_since = None
        self._life.health.up(_COMPONENT)
