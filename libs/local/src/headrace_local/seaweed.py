"""SeaweedFS as the S3 server (`weed mini`): one process on loopback, telemetry off, memory bounded."""

import json
import shutil
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from headrace_local.endpoints import S3_REGION
from headrace_local.errors import LocalStackError
from headrace_local.ports import LOOPBACK
from headrace_local.processes import ServiceProcess
from headrace_local.s3_probe import S3Access, s3_accepts_objects
from headrace_local.server import Server

__all__ = ["GO_MEMORY_LIMIT", "PORT_FLAGS", "SeaweedServer", "identities", "mini_command"]

PORT_FLAGS = (
    "s3.port",
    "s3.port.grpc",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "admin.port",
    "admin.port.grpc",
)
"""Every port the server opens, named as its flags are."""

GO_MEMORY_LIMIT = "384MiB"
"""The server grows to 900 MB under load if its garbage collector is not told to bound it (GOMEMLIMIT)."""

_ACTIONS = ["Admin", "Read", "Write", "List", "Tagging"]


class SeaweedServer(Server):
    """The S3 server of a stack; `ports` are those of `PORT_FLAGS`."""

    def __init__(
        self, folder: Path, ports: Mapping[str, int], *, bucket: str, access_key: str, secret_key: str
    ) -> None:
        super().__init__("s3", folder, ports)
        self.access = S3Access(self.endpoint, bucket, access_key, secret_key, S3_REGION)

    @property
    def endpoint(self) -> str:
        """Base address for path-style requests."""
        return f"http://{LOOPBACK}:{self.ports['s3.port']}"

    async def answers(self) -> bool:
        """Whether the bucket takes an object with the stack's own credentials."""
        return await s3_accepts_objects(self.access)

    async def _prepare(self) -> ServiceProcess:
        data, keys = self.folder / "data", self.folder / "identities.json"
        data.mkdir(exist_ok=True)
        keys.touch(mode=0o600)
        keys.write_text(identities(self.access.access_key, self.access.secret_key))
        return ServiceProcess(
            self.name,
            mini_command(data, keys, self.ports, self.access.bucket, bind=LOOPBACK),
            {"GOMEMLIMIT": GO_MEMORY_LIMIT},
            self.log_path,
            cwd=self.folder,
            ready=self.answers,
            # It takes 1 s, and now and then its filer hangs; an acknowledged object is safe from SIGKILL.
            grace_s=3.0,
        )

    def _gone(self) -> None:
        super()._gone()
        # The server puts sockets there under fixed names, and leaves them when it is killed.
        for port in self.ports.values():
            for socket in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108
                socket.unlink(missing_ok=True)


def identities(access_key: str, secret_key: str) -> str:
    """The file of `-s3.config`: one user who may do everything."""
    keys = {"accessKey": access_key, "secretKey": secret_key}
    return json.dumps({"identities": [{"name": "headrace", "credentials": [keys], "actions": _ACTIONS}]})


def mini_command(
    data: Path, keys: Path, ports: Mapping[str, int], bucket: str, *, bind: str
) -> list[str | Path]:
    """The server's command line; `ports` are those of `PORT_FLAGS`, `keys` is the file of `identities`."""
    return [
        _weed(),
        "-logtostderr",
        "mini",
        f"-dir={data}",
        f"-ip={LOOPBACK}",
        f"-ip.bind={bind}",
        *(f"-{flag}={ports[flag]}" for flag in PORT_FLAGS),
        f"-bucket={bucket}",
        "-master.telemetry=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-admin.ui=false",
        "-webdav=false",
        "-volume.preStopSeconds=0",
        f"-s3.config={keys}",
    ]


def _weed() -> Path:
    beside_python = Path(sysconfig.get_path("scripts")) / "weed"
    if beside_python.exists():
        return beside_python
    on_path = shutil.which("weed")
    if on_path is None:
        raise LocalStackError(
            "The S3 server `weed` is missing.",
            why="the wheel that brings it is not installed in this environment.",
            fix="repair the environment: uv sync.",
            code="local.s3_missing",
        )
    return Path(on_path)
