"""How this process reaches the Kubernetes API: the pod's own account, or a KUBECONFIG, read by kubernetes-asyncio.

The library knows every way to log in (certificates, tokens that are renewed, exec plugins). Its generated client is not
used: objects stay plain JSON on sessions of aiohttp, which the operator's framework shares.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
from pydantic import Field

from headrace_core.errors import ConfigurationError
from headrace_runtime.settings import ProcessSettings

if TYPE_CHECKING:
    from kubernetes_asyncio.client import Configuration

__all__ = ["CONNECT_S", "KubernetesConnection", "KubernetesSettings", "OnAnswer"]

CONNECT_S = 5.0
"""Longest wait for a connection."""

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_READ_BUFFER_BYTES = 2 << 20
"""A line of a watch is one object: up to 1.5 MiB."""

OnAnswer = Callable[[str, aiohttp.ClientRequest, int], None]
"""Hears of every answer: method, request, status."""


class KubernetesSettings(ProcessSettings):
    """The cluster. In a pod nothing needs to be set."""

    kubeconfig: Path | None = Field(
        None,
        description="File that says how to reach the cluster; without it a pod's own account, else KUBECONFIG.",
    )
    kube_context: str | None = Field(None, description="Context of that file; its current one without it.")
    namespace: str | None = Field(
        None, description="Namespace of the runs; the pod's own or the context's without it."
    )


class KubernetesConnection:
    """Server address, credentials and namespace; makes sessions that carry them."""

    def __init__(
        self, configuration: Configuration, namespace: str, reload: Callable[[], Awaitable[None]]
    ) -> None:
        self._configuration = configuration
        self._reload = reload
        self.namespace = namespace
        self.server = str(configuration.host).rstrip("/")

    @classmethod
    async def open(cls, settings: KubernetesSettings) -> KubernetesConnection:
        """Read the credentials. ConfigurationError where there are none. Nothing is sent yet."""
        from kubernetes_asyncio.client import Configuration
        from kubernetes_asyncio.config import ConfigException

        configuration = Configuration()
        in_pod = settings.kubeconfig is None and _has_account()
        try:
            if in_pod:
                namespace = _load_account(configuration)
            else:
                namespace = await _load_file(configuration, settings)
        except (ConfigException, OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                "There is no usable way to a Kubernetes cluster.",
                why=str(error),
                fix="Set HEADRACE_KUBECONFIG or KUBECONFIG to a file that kubectl understands, or run in a pod.",
                code="kubernetes_credentials",
            ) from error

        async def reload() -> None:
            if not in_pod:
                await _load_file(configuration, settings)

        return cls(configuration, settings.namespace or namespace or "default", reload)

    def session(self, *, pool: int = 100, on_answer: OnAnswer | None = None) -> aiohttp.ClientSession:
        """A new session of at most ``pool`` connections, which the caller closes."""

        async def authorised(
            request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
        ) -> aiohttp.ClientResponse:
            await self._authorise(request)
            answer = await handler(request)
            if answer.status == 401:  # the token was renewed elsewhere
                answer.release()
                await self._reload()
                await self._authorise(request)
                answer = await handler(request)
            if on_answer is not None:
                on_answer(request.method, request, answer.status)
            return answer

        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=pool, ssl=self._tls(), keepalive_timeout=30.0),
            middlewares=(authorised,),
            proxy=self._configuration.proxy,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            read_bufsize=_READ_BUFFER_BYTES,
        )

    async def _authorise(self, request: aiohttp.ClientRequest) -> None:
        token = await self._configuration.get_api_key_with_prefix("BearerToken")
        if token:
            request.headers["Authorization"] = token

    def _tls(self) -> ssl.SSLContext | bool:
        if not self.server.startswith("https:"):
            return True
        configuration = self._configuration
        context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        if configuration.cert_file:
            context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
        if not configuration.verify_ssl:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        # Certificates of private authorities often lack the key identifiers that Python 3.13 asks for.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context


def _has_account() -> bool:
    return "KUBERNETES_SERVICE_HOST" in os.environ and _ACCOUNT.is_dir()


def _load_account(configuration: Configuration) -> str:
    """The pod's own account; its namespace. The token is read anew every minute."""
    from kubernetes_asyncio.config import load_incluster_config

    load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    return (_ACCOUNT / "namespace").read_text(encoding="utf-8").strip()


async def _load_file(configuration: Configuration, settings: KubernetesSettings) -> str:
    """A KUBECONFIG; the namespace of its context."""
    from kubernetes_asyncio.config import load_kube_config

    loader = await load_kube_config(
        config_file=None if settings.kubeconfig is None else str(settings.kubeconfig),
        context=settings.kube_context,
        client_configuration=configuration,
        persist_config=False,
    )
    context = loader.current_context or {}
    return str(context.get("context", {}).get("namespace") or "")
