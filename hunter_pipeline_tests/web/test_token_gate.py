"""What a wrong token costs, and that the right one is never locked out."""

import asyncio
import logging
import sys
from collections.abc import Callable

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from hunter_pipeline.web import token_gate
from hunter_pipeline.web.token_gate import PLACES, WAITING, TokenGate, TooManyGuesses
from hunter_pipeline_tests.web.conftest import TOKEN

pytestmark = pytest.mark.xdist_group("web")


class Clock:
    """Time that passes only when everybody waits for it: `token_gate` sleeps on it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self._sleeping: list[tuple[float, asyncio.Future[None]]] = []
        monkeypatch.setattr(token_gate.asyncio, "sleep", self._sleep)

    async def _sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self._sleeping.append((self.now + seconds, future))
        await future

    async def settle(self) -> None:
        """Let everything run until it waits."""
        for _ in range(50):
            await _yield()

    async def pass_to_next(self) -> None:
        """Go to the next moment at which somebody wakes."""
        self.now = min(moment for moment, _ in self._sleeping)
        for moment, future in [each for each in self._sleeping if each[0] <= self.now]:
            self._sleeping.remove((moment, future))
            future.set_result(None)
        await self.settle()


async def _yield() -> None:
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, None)
    await future


def test_a_row_of_guesses_gets_ten_a_second_at_most(monkeypatch: pytest.MonkeyPatch):
    async def guess() -> float:
        clock = Clock(monkeypatch)
        gate = TokenGate([TOKEN])
        guesses = [asyncio.ensure_future(gate.opens(f"guess {number}", "1.2.3.4")) for number in range(100)]
        await clock.settle()
        while not all(each.done() for each in guesses):
            await clock.pass_to_next()
        assert not any(each.result() for each in guesses)
        return clock.now

    assert asyncio.run(guess()) == 100 / PLACES


def test_the_right_token_from_the_same_address_is_next_in_turn(monkeypatch: pytest.MonkeyPatch):
    async def attack() -> None:
        clock = Clock(monkeypatch)
        gate = TokenGate([TOKEN])
        guesses = [asyncio.ensure_future(gate.opens("guess", "10.0.0.1")) for _ in range(400)]
        await clock.settle()
        rightful = asyncio.ensure_future(gate.opens(TOKEN, "10.0.0.1"))
        await clock.settle()
        await clock.pass_to_next()
        assert rightful.done()
        assert rightful.result() is True
        assert clock.now == 1
        for each in guesses:
            each.cancel()
        await clock.settle()
        # Nobody's place was lost with them.
        assert await gate.opens(TOKEN, "10.0.0.1")

    asyncio.run(attack())


def test_without_guesses_the_right_token_waits_for_nothing():
    async def many() -> list[bool]:
        gate = TokenGate([TOKEN], wrong_seconds=sys.maxsize)
        return await asyncio.gather(*(gate.opens(TOKEN, "10.0.0.1") for _ in range(1000)))

    assert all(asyncio.run(many()))


def test_a_flood_is_turned_away_and_takes_no_memory(monkeypatch: pytest.MonkeyPatch):
    async def flood() -> None:
        clock = Clock(monkeypatch)
        gate = TokenGate([TOKEN])
        guesses = [asyncio.ensure_future(gate.opens("guess", "x")) for _ in range(PLACES + WAITING + 7)]
        await clock.settle()
        turned_away = [each for each in guesses if each.done()]
        assert len(turned_away) == 7
        assert all(isinstance(each.exception(), TooManyGuesses) for each in turned_away)
        for each in guesses:
            each.cancel()
        await clock.settle()

    asyncio.run(flood())


@pytest.mark.parametrize("way", ["form", "bearer"])
def test_a_wrong_token_is_logged_without_itself(
    make_test_app: Callable[..., FastAPI], caplog: pytest.LogCaptureFixture, way: str
):
    with (
        caplog.at_level(logging.WARNING),
        TestClient(make_test_app(web_token=TOKEN), client=("192.0.2.7", 1)) as client,
    ):
        if way == "form":
            assert client.post("/sign-in", data={"token": "not-the-token"}).status_code == 401
        else:
            assert client.get("/api/leads", headers={"authorization": "Bearer not-the-token"}).status_code == 401
    assert [record.getMessage() for record in caplog.records if "token" in record.name] == [
        "a wrong token from 192.0.2.7"
    ]
    assert "not-the-token" not in caplog.text
