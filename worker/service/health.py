"""`/healthz`: whether the process is alive and working, for the container's health check. Not whether AWS is."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiohttp import web

log = structlog.get_logger(__name__)


@asynccontextmanager
async def health_endpoint(port: int, look: Callable[[], tuple[bool, dict[str, Any]]]) -> AsyncIterator[None]:
    """Serve `/healthz` while the body runs: 200 where `look` says all is well, else 503. Port 0: not served."""
    if not port:
        yield
        return

    async def healthz(_request: web.Request) -> web.Response:
        well, told = look()
        return web.json_response(told, status=200 if well else 503)

    site = web.Application()
    site.router.add_get("/healthz", healthz)
    runner = web.AppRunner(site, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, port=port).start()
        except OSError as error:  # for example a second worker on a laptop: it works without
            log.warning("health.port_taken", port=port, error=str(error))
        yield
    finally:
        await runner.cleanup()
