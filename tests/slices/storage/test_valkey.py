"""What may be lost and must not harm: commands, lists, channels over one connection."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import redis.asyncio as redis

from podium.storage import channels
from podium.storage.valkey import Valkey
from servers import ValkeyProcess

SECONDS = 10.0


@pytest.fixture
async def other(valkey_process: ValkeyProcess) -> AsyncIterator[redis.Redis]:
    """A client that shares nothing with the one under test."""
    client = redis.Redis.from_url(valkey_process.url)
    yield client
    await client.aclose()


async def connections(other: redis.Redis) -> int:
    """How many there are besides the one that asks."""
    found: Any = await other.client_list()
    return len(found) - 1


async def until(true: Any) -> None:
    async with asyncio.timeout(SECONDS):
        while not await true():
            await asyncio.sleep(0.02)


async def test_a_listener_is_told_that_it_listens_and_then_of_messages(
    valkey: Valkey, other: redis.Redis
) -> None:
    async with valkey.listen("a") as listener:
        assert await listener.message(SECONDS) == ("", b"")
        await other.publish("b", "x")
        await other.publish("a", "y")
        assert await listener.message(SECONDS) == ("a", b"y")
        assert await listener.message(0.05) is None


async def test_a_listener_that_is_cancelled_while_it_subscribes_hears_all_the_same(
    valkey: Valkey, other: redis.Redis
) -> None:
    async with valkey.listen("a") as listener:
        for turns in range(20):
            waiting = asyncio.create_task(listener.message(SECONDS))
            for _ in range(turns):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

        async def heard() -> bool:
            await other.publish("a", "x")
            return await listener.message(0.2) == ("a", b"x")

        await until(heard)


async def test_waiting_for_nothing_takes_as_long_as_it_is_to(valkey: Valkey) -> None:
    """Whoever waits in a loop would otherwise spin."""
    async with valkey.listen("a") as listener:
        first = asyncio.create_task(listener.message(SECONDS))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0.5)
        while await listener.message(0.1) is not None:
            pass
        began = time.monotonic()
        assert await listener.message(0.3) is None
        assert time.monotonic() - began >= 0.29


async def test_many_listeners_share_one_connection(valkey: Valkey, other: redis.Redis) -> None:
    async with AsyncExitStack() as stack:
        listeners = [
            await stack.enter_async_context(valkey.listen(f"c{number // 2}"))
            for number in range(300)
        ]
        for listener in listeners:
            assert await listener.message(SECONDS) == ("", b"")
        assert await connections(other) == 1
        await other.publish("c7", "x")
        assert await listeners[14].message(SECONDS) == ("c7", b"x")
        assert await listeners[15].message(SECONDS) == ("c7", b"x")
        assert await listeners[16].message(0.05) is None
        assert await valkey.send([("PING",)]) == [True]
        assert valkey.available


async def test_a_channel_that_nobody_listens_to_any_more_is_left(
    valkey: Valkey, other: redis.Redis
) -> None:
    async def names() -> list[Any]:
        return sorted(await other.pubsub_channels())

    async with valkey.listen("a") as first:
        assert await first.message(SECONDS) == ("", b"")
        async with valkey.listen("a", "b") as second:
            assert await second.message(SECONDS) == ("", b"")

            async def both() -> bool:
                return await names() == [b"a", b"b", b"podium:process"]

            await until(both)

        async def one() -> bool:
            return await names() == [b"a", b"podium:process"]

        await until(one)
        await other.publish("a", "x")
        assert await first.message(SECONDS) == ("a", b"x")

    async def none() -> bool:
        return await names() == [b"podium:process"]

    await until(none)
    async with valkey.listen("a") as again:
        assert await again.message(SECONDS) == ("", b"")


async def test_listeners_come_back_after_an_outage(
    valkey: Valkey, valkey_process: ValkeyProcess
) -> None:
    async with valkey.listen("a") as one, valkey.listen("b") as two:
        assert await one.message(SECONDS) == ("", b"")
        assert await two.message(SECONDS) == ("", b"")
        await valkey_process.kill()
        assert await one.message(0.3) is None
        assert not valkey.available
        assert await valkey.send([("PING",)]) == []
        await valkey_process.start()
        assert await one.message(SECONDS) == ("", b"")
        assert await two.message(SECONDS) == ("", b"")
        async with asyncio.timeout(SECONDS):
            while not valkey.available:
                await asyncio.sleep(0.02)
        await valkey.send([("PUBLISH", "b", "x")])
        assert await two.message(SECONDS) == ("b", b"x")


async def test_a_listener_that_takes_nothing_keeps_no_more_than_it_may(
    valkey: Valkey, other: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "_MOST_WAITING", 3)
    async with valkey.listen("a") as slow, valkey.listen("a") as quick:
        assert await quick.message(SECONDS) == ("", b"")
        for number in range(10):
            await other.publish("a", str(number))
            assert await quick.message(SECONDS) == ("a", str(number).encode())
        taken = [await slow.message(0.05) for _ in range(4)]
    assert taken == [("", b""), ("a", b"0"), ("a", b"1"), None]


async def test_a_busy_process_does_not_take_the_server_for_lost(
    valkey_process: ValkeyProcess,
) -> None:
    valkey = Valkey(f"{valkey_process.url}?max_connections=2")
    async with valkey.listen("a") as listener:
        assert await listener.message(SECONDS) == ("", b"")
        popping = asyncio.create_task(valkey.pop(["list"], 1))
        await asyncio.sleep(0.1)
        assert await valkey.send([("PING",)]) == []
        began = time.monotonic()
        assert not await valkey.pop(["list"], 0.3)
        assert time.monotonic() - began >= 0.29
        assert valkey.available
        assert not await popping
        assert await valkey.send([("PUBLISH", "a", "x")]) == [1]
        assert await listener.message(SECONDS) == ("a", b"x")
    await valkey.close()


async def test_an_element_is_popped_once(valkey: Valkey) -> None:
    waiting = [asyncio.create_task(valkey.pop(["one", "two"], 1)) for _ in range(2)]
    await asyncio.sleep(0.05)
    await valkey.send([("LPUSH", "two", 1)])
    assert sorted([await each for each in waiting]) == [False, True]


async def test_a_connection_that_is_cut_while_listeners_come_and_go_is_made_anew(
    valkey: Valkey, other: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "RETRY_SECONDS", 0.01)
    dice = random.Random(3)
    ends = time.monotonic() + 4

    async def come_and_go(number: int) -> None:
        while time.monotonic() < ends:
            async with valkey.listen(f"c{number}") as listener:
                await listener.message(dice.uniform(0, 0.01))
            await asyncio.sleep(dice.uniform(0, 0.01))

    async def cut() -> None:
        while time.monotonic() < ends:
            await other.client_kill_filter(_type="pubsub")
            await asyncio.sleep(dice.uniform(0, 0.1))

    await asyncio.gather(cut(), *(come_and_go(number) for number in range(20)))
    async with valkey.listen("a") as listener:

        async def heard() -> bool:
            await other.publish("a", "x")
            return await listener.message(0.2) == ("a", b"x")

        await until(heard)


async def test_a_server_that_says_nothing_any_more_is_noticed(
    valkey: Valkey, valkey_process: ValkeyProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither does a machine that went away close its connections."""
    monkeypatch.setattr(channels, "_QUIET_SECONDS", 0.05)
    monkeypatch.setattr(channels, "_SILENT_SECONDS", 0.5)
    async with valkey.listen("a") as listener:
        assert await listener.message(SECONDS) == ("", b"")
        assert await listener.message(1) is None, "what is quiet was taken for dead"
        assert valkey.available
        valkey_process.stand_still()
        async with asyncio.timeout(SECONDS):
            while valkey.available:
                await asyncio.sleep(0.02)
        valkey_process.go_on()
        assert await listener.message(SECONDS) == ("", b"")


async def test_listening_outlives_a_fault_that_nobody_foresaw(
    valkey: Valkey, other: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "RETRY_SECONDS", 0.05)
    give = channels.Listener.give

    def stumble(self: channels.Listener, channel: str, data: bytes) -> None:
        if data == b"bad":
            raise ValueError(data)
        give(self, channel, data)

    monkeypatch.setattr(channels.Listener, "give", stumble)
    async with valkey.listen("a") as listener:
        assert await listener.message(SECONDS) == ("", b"")
        await other.publish("a", "bad")
        assert await listener.message(SECONDS) == ("", b"")
        await other.publish("a", "x")
        assert await listener.message(SECONDS) == ("a", b"x")
