"""The ordinary way to start Spark on Kubernetes: a spark-submit in cluster mode for each run, which is a JVM for each run."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from headrace_local.java import find_java

__all__ = ["Submission", "spark_submit"]

_SUBMIT_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Submission:
    """What one submission cost: seconds from its start to its end, CPU seconds, peak resident MiB."""

    seconds: float
    cpu_seconds: float
    peak_mib: float


async def spark_submit(server: str, namespace: str, name: str, core: int) -> Submission:
    """Submit a driver to an API server, from one core, without waiting for its end."""
    found = find_spec("pyspark")
    assert found is not None
    assert found.origin is not None
    home = Path(found.origin).parent
    conf = {
        "spark.kubernetes.namespace": namespace,
        "spark.kubernetes.container.image": "localhost/headrace-spark:bench",
        "spark.kubernetes.submission.waitAppCompletion": "false",
        "spark.kubernetes.driver.pod.name": f"{name}-driver",
        "spark.executor.instances": "2",
    }
    arguments = [argument for key, value in conf.items() for argument in ("--conf", f"{key}={value}")]
    java = find_java(os.environ).executable.resolve().parents[1]
    with tempfile.TemporaryDirectory() as scratch:
        environment = {
            "PATH": os.environ["PATH"],
            "JAVA_HOME": str(java),
            "SPARK_HOME": str(home),
            "HOME": scratch,
            "KUBECONFIG": "/dev/null",
        }
        command = [
            str(home / "bin" / "spark-submit"),
            "--master",
            f"k8s://{server}",
            "--deploy-mode",
            "cluster",
        ]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _PINNED,
            str(core),
            *command,
            *arguments,
            "local:///opt/headrace/run_job.py",
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(_SUBMIT_WITHIN_S):
            output, _ = await process.communicate()
        seconds = time.monotonic() - began
    if process.returncode != 0:
        raise RuntimeError(output.decode()[-2_000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Submission(seconds, cpu_seconds, _peak_mib(output))


def _peak_mib(output: bytes) -> float:
    """The peak that the wrapper printed last."""
    return int(output.rpartition(b"peak-kib=")[2].split()[0]) / 1024


_PINNED = """
import os, resource, subprocess, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
code = subprocess.run(sys.argv[2:]).returncode
print(f"peak-kib={resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss}", flush=True)
sys.exit(code)
"""
"""Runs a command on one core and says how much memory its largest process had."""
