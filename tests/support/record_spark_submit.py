"""Records what a real `spark-submit` in cluster mode creates: ``python -m tests.support.record_spark_submit``.

A fake API server on the loopback address takes the requests of the installed pyspark; the driver pod and the properties end
up in tests/data/spark_submit. Run it anew when pyspark is upgraded, and look at the difference: the operator follows it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata, resources
from pathlib import Path
from typing import Any, ClassVar

from headrace_local.spark_java import java_home_for_spark

__all__ = ["CONF", "RECORDING", "main"]

RECORDING = Path(__file__).parents[1] / "data" / "spark_submit" / "recording.json"
CONF = {
    "spark.app.name": "daily-2026-11-28",
    "spark.kubernetes.namespace": "runs",
    "spark.kubernetes.container.image": "registry.example/headrace-spark:1",
    "spark.kubernetes.driver.pod.name": "daily-2026-11-28-1-driver",
    "spark.kubernetes.executor.podNamePrefix": "daily-2026-11-28-1",
    "spark.kubernetes.authenticate.driver.serviceAccountName": "headrace-driver",
    "spark.kubernetes.submission.waitAppCompletion": "false",
    "spark.kubernetes.driver.request.cores": "500m",
    "spark.driver.memory": "1024m",
    "spark.executor.instances": "2",
    "spark.executor.cores": "1",
    "spark.executor.memory": "2048m",
    "spark.kubernetes.executor.request.cores": "500m",
    "spark.kubernetes.executor.limit.cores": "1",
}
_ARGUMENTS = [
    "local:///opt/headrace/run_job.py",
    "daily",
    "--run",
    "daily-2026-11-28",
    "--attempt",
    "1",
    "--parameters",
    "/opt/spark/conf/spec.json",
]
_WITHIN_S = 180.0


class _Recorder(BaseHTTPRequestHandler):
    """Answers every creation with what it was given, and keeps it."""

    protocol_version = "HTTP/1.1"
    objects: ClassVar[list[dict[str, Any]]] = []

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server has
        """Say nothing."""

    def do_GET(self) -> None:
        """Nothing is there yet."""
        self._answer(404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404})

    def do_POST(self) -> None:
        """Creations: the pod by POST, the others by server-side apply."""
        body = json.loads(self._body())
        body["metadata"].setdefault("uid", "00000000-0000-0000-0000-000000000001")
        self.objects.append(body)
        self._answer(201, body)

    do_PATCH = do_POST  # noqa: N815 - the name that http.server looks for

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers["content-length"]))
        chunks = []
        while length := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(length))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _answer(self, code: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _submit(port: int) -> None:
    home = resources.files("pyspark")
    confs = [word for item in CONF.items() for word in ("--conf", "=".join(item))]
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(
            [str(home / "bin" / "spark-submit"), "--master", f"k8s://http://127.0.0.1:{port}",
             "--deploy-mode", "cluster", *confs, *_ARGUMENTS],
            env={
                **os.environ,
                "JAVA_HOME": str(java_home_for_spark(os.environ, Path.home())),
                "KUBECONFIG": f"{scratch}/none",
                "HADOOP_USER_NAME": "app",
                "PYSPARK_PYTHON": "/opt/headrace/venv/bin/python",
            },
            check=True,
            timeout=_WITHIN_S,
        )  # fmt: skip


def _properties(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {key: value.replace("\\:", ":") for key, _, value in (line.partition("=") for line in lines)}


def _without_chance(text: str, port: int) -> str:
    """The recording without what is another each time: ids, times, the port of the fake."""
    text = text.replace(f"127.0.0.1:{port}", "127.0.0.1:PORT")
    text = re.sub(r"/var/data/spark-[0-9a-f-]{36}", "/var/data/SCRATCH", text)
    text = re.sub(r"spark-[0-9a-f]{32}", "APP", text)
    text = re.sub(r"-[0-9a-f]{16}-(driver-svc|conf-map)", r"-ID-\1", text)
    return re.sub(r'(submitTime": )"\d+"', r'\1"TIME"', text)


def main() -> None:
    """Record, and write the recording."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Recorder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        _submit(server.server_address[1])
    finally:
        server.shutdown()
    [pod] = [each for each in _Recorder.objects if each["kind"] == "Pod"]
    maps = [each["data"] for each in _Recorder.objects if each["kind"] == "ConfigMap"]
    [properties] = [data["spark.properties"] for data in maps if "spark.properties" in data]
    recording: dict[str, Any] = {
        "pyspark": metadata.version("pyspark"),
        "kinds": sorted(each["kind"] for each in _Recorder.objects),
        "pod": pod,
        "properties": dict(sorted(_properties(properties).items())),
    }
    text = _without_chance(json.dumps(recording, indent=1, sort_keys=True), server.server_address[1])
    RECORDING.parent.mkdir(parents=True, exist_ok=True)
    RECORDING.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
