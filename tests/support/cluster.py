"""A real cluster for end-to-end tests: the one that KUBECONFIG names, or a local one started by HEADRACE_LOCALKUBE.

HEADRACE_LOCALKUBE is a folder with the programs `up` (prints the shell's exports), `base-image` and `load IMAGE…`. For another cluster
HEADRACE_E2E_LOAD is the command that brings images of buildah's store into its nodes; without it they are there already.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

__all__ = ["IMAGES", "RELEASE", "Cluster", "open_cluster"]

ROOT = Path(__file__).parents[2]
RELEASE = "headrace"
IMAGES = ("ingest", "dedup", "loader", "api", "operator", "cli", "spark", "local")

_CALL_WITHIN_S = 600.0
_BUILD_WITHIN_S = 3_600.0
_LOCAL_BASES = {
    "BASE_IMAGE": "localhost/python-base:3.11",
    "JRE_BASE_IMAGE": "localhost/python-jre-base:3.11",
}
_EXPORT = re.compile(r"^export (\w+)=(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster and one namespace of it. ``environment`` is what kubectl and helm need."""

    namespace: str
    environment: Mapping[str, str]
    load_command: Sequence[str] = field(default_factory=tuple)

    def run(
        self,
        *command: str | Path,
        within_s: float = _CALL_WITHIN_S,
        stdin: str | None = None,
        fails: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """What a program prints, errors too where it ``fails``; AssertionError with all of it where it ends otherwise."""
        done = subprocess.run(
            [str(part) for part in command],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
            env={**os.environ, **self.environment, **(environment or {})},
            cwd=ROOT,
        )
        assert (done.returncode != 0) is fails, f"{command}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
        return done.stdout + (done.stderr if fails else "")

    def kubectl(self, *arguments: str, stdin: str | None = None, fails: bool = False) -> str:
        """Run kubectl in the namespace."""
        return self.run("kubectl", "--namespace", self.namespace, *arguments, stdin=stdin, fails=fails)

    def helm(self, *arguments: str | Path) -> str:
        """Run helm in the namespace."""
        return self.run("helm", "--namespace", self.namespace, *arguments)

    def objects(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        """Objects of a kind."""
        chosen = ["--selector", selector] if selector else []
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, *chosen, "--output=json"))["items"]
        return found

    def provide_images(self) -> None:
        """Build the images and bring them into the cluster's nodes."""
        if self.load_command:
            self.run(ROOT / ".ci" / "images", *IMAGES, within_s=_BUILD_WITHIN_S)
            names = [f"localhost/headrace-{name}:dev" for name in IMAGES]
            self.run(*self.load_command, *names, within_s=_BUILD_WITHIN_S)

    @contextlib.contextmanager
    def forward(self, service: str) -> Iterator[str]:
        """The address of a service on this machine, for the time of the context."""
        port = _free_port()
        command = [
            "kubectl",
            "--namespace",
            self.namespace,
            "port-forward",
            f"service/{service}",
            f"{port}:80",
        ]
        environment = {**os.environ, **self.environment}
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as forwarding:
            try:
                _wait_for(f"http://127.0.0.1:{port}/livez")
                yield f"http://127.0.0.1:{port}"
            finally:
                forwarding.terminate()


def open_cluster(namespace: str) -> Cluster:
    """The cluster that the environment names; the test is skipped where it names none."""
    local = os.environ.get("HEADRACE_LOCALKUBE")
    if local:
        up = subprocess.run(
            [Path(local) / "up"], capture_output=True, text=True, timeout=_CALL_WITHIN_S, check=True
        )
        exports = {name: shlex.split(value)[0] for name, value in _EXPORT.findall(up.stdout)}
        exports["PATH"] = exports.get("PATH", "$PATH").replace("$PATH", os.environ["PATH"])
        subprocess.run([Path(local) / "base-image", "--jre"], timeout=_BUILD_WITHIN_S, check=True)
        return Cluster(namespace, {**_LOCAL_BASES, **exports}, (str(Path(local) / "load"),))
    if "KUBECONFIG" in os.environ:
        return Cluster(namespace, {}, tuple(shlex.split(os.environ.get("HEADRACE_E2E_LOAD", ""))))
    pytest.skip("no cluster: set KUBECONFIG, or HEADRACE_LOCALKUBE")


def _free_port() -> int:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port: int = chosen.getsockname()[1]
        return port


def _wait_for(url: str, within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while True:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, timeout=2.0).status_code < 500:
                return
        assert time.monotonic() < deadline, f"{url} does not answer"
        time.sleep(0.2)
