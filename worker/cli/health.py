"""`health`: looks whether everything is there that the worker needs."""

from worker.aws.clients import open_clients
from worker.cli.terminal import stdout
from worker.logs import configure
from worker.service.checks import as_json as dumped
from worker.service.checks import check_all, healthy
from worker.service.share import own_share
from worker.settings import Settings


async def show_health(settings: Settings, *, as_json: bool) -> int:
    """Run the checks and show them; returns the exit code."""
    configure("warning" if settings.log_level == "info" else settings.log_level, settings.log_format)
    async with open_clients(region=settings.aws_region, endpoint_url=settings.aws_endpoint_url) as clients:

        async def memory_percent() -> float:
            return (await own_share(settings.ecs_container_metadata_uri_v4)).gauge.read().percent

        checks = await check_all(settings, clients, memory_percent)
    if as_json:
        stdout.print(dumped(checks), markup=False)
    else:
        for check in checks:
            mark = "[green]ok    [/]" if check.ok else "[red]failed[/]" if check.required else "[yellow]absent[/]"
            stdout.print(f"{mark}  {check.name:<9} ", end="")
            stdout.print(check.detail, markup=False)
    return 0 if healthy(checks) else 1
