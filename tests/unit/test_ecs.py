"""Scale-in protection: what the agent is asked, and what its answers, failures and silences mean."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from worker.aws import ecs as module
from worker.aws.ecs import EcsAgent, Protection

PATH = "/api/token/task-protection/v1/state"
SET = {"protection": {"ProtectionEnabled": True, "ExpirationDate": "2025-01-19T13:00:00Z", "TaskArn": "arn:aws:ecs:t"}}
LIFTED = {"protection": {"ProtectionEnabled": False, "TaskArn": "arn:aws:ecs:t"}}
BLOCKED = {
    "failure": {"Arn": "arn:aws:ecs:t", "Detail": "", "Reason": "DEPLOYMENT_BLOCKED"},
}
THROTTLED = {
    "requestID": "r",
    "error": {"Arn": "arn:aws:ecs:t", "Code": "ThrottlingException", "Message": "Rate exceeded"},
}
FORBIDDEN = {"requestID": "r", "error": {"Code": "AccessDeniedException", "Message": "not authorized"}}


class FakeAgent:
    """An agent that answers what it is told to; `asked` are the bodies it got."""

    def __init__(self, answer: object = SET, *, status: int = 200, stall: bool = False) -> None:
        self.answer = answer
        self.status = status
        self.stall = stall
        self.asked: list[dict[str, Any]] = []

    async def put(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        if self.stall:
            await asyncio.Event().wait()
        text = self.answer if isinstance(self.answer, str) else json.dumps(self.answer)
        return web.Response(text=text, status=self.status, content_type="text/plain")


@asynccontextmanager
async def served(fake: FakeAgent) -> AsyncIterator[EcsAgent]:
    application = web.Application()
    application.router.add_put(PATH, fake.put)
    async with TestServer(application, handler_cancellation=True, shutdown_timeout=0.1) as server:
        yield EcsAgent(f"http://127.0.0.1:{server.port}/api/token/")


async def test_it_asks_for_a_protection_that_ends_by_itself() -> None:
    fake = FakeAgent()
    async with served(fake) as agent:
        assert await agent.protect(enabled=True) is Protection.SET
    assert fake.asked == [{"ProtectionEnabled": True, "ExpiresInMinutes": module.EXPIRES_MINUTES}]
    assert 1 <= module.EXPIRES_MINUTES <= 2_880, "what ECS allows"


async def test_it_lifts_the_protection() -> None:
    fake = FakeAgent(LIFTED)
    async with served(fake) as agent:
        assert await agent.protect(enabled=False) is Protection.SET
    assert fake.asked == [{"ProtectionEnabled": False}]


@pytest.mark.parametrize(
    ("answer", "status", "meaning"),
    [
        (BLOCKED, 200, Protection.BLOCKED),
        (BLOCKED, 400, Protection.BLOCKED),
        (THROTTLED, 400, Protection.UNKNOWN),
        (FORBIDDEN, 400, Protection.UNKNOWN),
        ({"failure": {"Reason": "TASK_NOT_VALID"}}, 200, Protection.UNKNOWN),
        ({"failure": "DEPLOYMENT_BLOCKED"}, 200, Protection.BLOCKED),
        ({"error": None}, 500, Protection.UNKNOWN),
        ({"protection": None}, 200, Protection.UNKNOWN),
        (LIFTED, 200, Protection.UNKNOWN),
        ({"protection": {}}, 200, Protection.UNKNOWN),
        ({}, 200, Protection.UNKNOWN),
        ([], 200, Protection.UNKNOWN),
        ("<html>Bad Gateway</html>", 502, Protection.UNKNOWN),
        ("", 200, Protection.UNKNOWN),
    ],
)
async def test_an_answer_is_understood_or_is_no_error(answer: object, status: int, meaning: Protection) -> None:
    async with served(FakeAgent(answer, status=status)) as agent:
        assert await agent.protect(enabled=True) is meaning


async def test_a_lift_is_confirmed_only_by_an_answer_that_says_it_is_off() -> None:
    async with served(FakeAgent(SET)) as agent:
        assert await agent.protect(enabled=False) is Protection.UNKNOWN


async def test_a_refusal_is_told_with_its_reason() -> None:
    async with served(FakeAgent(FORBIDDEN, status=400)) as agent:
        with capture_logs() as lines:
            await agent.protect(enabled=True)
    assert [(line["event"], line["reason"]) for line in lines] == [("protection.refused", "AccessDeniedException")]


async def test_an_agent_that_stalls_is_given_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEADLINE", 0.1)
    async with served(FakeAgent(stall=True)) as agent:
        began = time.monotonic()
        with capture_logs() as lines:
            assert await agent.protect(enabled=True) is Protection.UNKNOWN
        assert time.monotonic() - began < 20
    assert [line["event"] for line in lines] == ["protection.call_failed"]


def test_its_deadline_is_that_of_a_call_on_the_same_machine() -> None:
    assert module.DEADLINE <= 2


async def test_an_agent_that_is_not_there_is_no_error() -> None:
    async with served(FakeAgent()) as agent:
        pass
    assert await agent.protect(enabled=True) is Protection.UNKNOWN


async def test_a_connection_that_breaks_is_no_error() -> None:
    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        agent = EcsAgent(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert await agent.protect(enabled=True) is Protection.UNKNOWN
