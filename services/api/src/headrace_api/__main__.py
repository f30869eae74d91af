"""``python -m headrace_api``: run the inspection API."""

from __future__ import annotations

import os
import sys

import uvicorn

from headrace_api.app import with_admin
from headrace_api.context import Context
from headrace_api.settings import ApiSettings
from headrace_core.errors import HeadraceError
from headrace_runtime.admin_http import admin_app, listen, serve
from headrace_runtime.process import Lifecycle, run
from headrace_runtime.settings import load_settings


async def _serve(life: Lifecycle, settings: ApiSettings) -> None:
    context = Context(life, settings)
    app = with_admin(context.app(), admin_app(life.health, life.telemetry))
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", server_header=False)
    async with serve(config, listen(settings.http_host, settings.http_port), grace_s=5.0), context.running():
        await life.stopping.wait()


def main() -> int:
    """Run until SIGTERM; the exit code."""
    try:
        settings = load_settings(ApiSettings, os.environ)
    except HeadraceError as error:
        print(error, file=sys.stderr)  # noqa: T201  (nothing is configured yet, logging neither)
        return error.exit_code
    return run("api", settings, lambda life: _serve(life, settings))


if __name__ == "__main__":
    sys.exit(main())
