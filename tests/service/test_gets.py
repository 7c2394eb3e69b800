"""GETs over one connection to a real Valkey, also if the connection is lost or the server is silent."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
import redis
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.store.embedded import EmbeddedValkey
from service.store.gets import Address, Gets
from tests.service.paused import paused

Result = TypeVar("Result")


def ask(url: str, question: Callable[[Gets], Awaitable[Result]], *, timeout_s: float = 5.0) -> Result:
    address = Address.of(url)
    assert address is not None

    async def asked() -> Result:
        gets = Gets(address, timeout_s=timeout_s)
        try:
            return await question(gets)
        finally:
            await gets.close()

    return asyncio.run(asked())


@pytest.fixture
def direct(valkey: EmbeddedValkey) -> redis.Redis:
    return redis.Redis.from_url(valkey.url)


def test_each_command_gets_its_own_answer(valkey: EmbeddedValkey, direct: redis.Redis) -> None:
    wanted = [b"p:%d" % number for number in range(50)]
    for key in wanted:
        direct.set(key, key * 1000)

    async def question(gets: Gets) -> list[object]:
        return await asyncio.gather(*(gets.get(key) for key in [*wanted, b"p:none"]))

    assert ask(valkey.url, question) == [*(key * 1000 for key in wanted), None]


def test_a_cancelled_caller_does_not_shift_other_answers(valkey: EmbeddedValkey, direct: redis.Redis) -> None:
    direct.set(b"p:mine", b"mine")
    direct.set(b"p:yours", b"yours")

    async def question(gets: Gets) -> object:
        assert await gets.get(b"p:mine") == b"mine"
        with paused(valkey):
            mine, yours = asyncio.create_task(gets.get(b"p:mine")), asyncio.create_task(gets.get(b"p:yours"))
            await asyncio.sleep(0)  # both have asked
            mine.cancel()
        return await yours

    assert ask(valkey.url, question) == b"yours"


def test_a_lost_connection_is_opened_again(valkey: EmbeddedValkey, direct: redis.Redis) -> None:
    direct.set(b"p:1", b"latent")

    async def question(gets: Gets) -> list[object]:
        first = await gets.get(b"p:1")
        direct.client_kill_filter(_type="normal", skipme=True)
        return [first, *await asyncio.gather(gets.get(b"p:1"), gets.get(b"p:1"))]

    assert ask(valkey.url, question) == [b"latent"] * 3


def test_a_silent_server_times_out_and_is_connected_again(valkey: EmbeddedValkey, direct: redis.Redis) -> None:
    direct.set(b"p:1", b"latent")

    async def question(gets: Gets) -> object:
        await gets.get(b"p:1")
        with paused(valkey):
            late = await asyncio.gather(gets.get(b"p:1"), gets.get(b"p:1"), return_exceptions=True)
        assert [type(one) for one in late] == [RedisTimeoutError, RedisTimeoutError]
        return await gets.get(b"p:1")

    assert ask(valkey.url, question, timeout_s=1.0) == b"latent"


def test_an_error_belongs_to_one_command(valkey: EmbeddedValkey, direct: redis.Redis) -> None:
    direct.hset("p:hash", "field", "value")

    async def question(gets: Gets) -> object:
        with pytest.raises(ResponseError, match=r"^WRONGTYPE"):
            await gets.get(b"p:hash")
        return await gets.get(b"p:none")

    assert ask(valkey.url, question) is None


def test_the_database_of_the_address_is_selected(valkey: EmbeddedValkey) -> None:
    with redis.Redis.from_url(valkey.url, db=3) as third:
        third.set(b"p:1", b"third")
    assert Address.of("redis://cache/3") == Address("", "cache", 6379, (("SELECT", "3"),))
    parts = Address.of(valkey.url)
    assert parts is not None

    async def question() -> object:
        gets = Gets(Address(parts.path, parts.host, parts.port, (("SELECT", "3"),)), timeout_s=60.0)
        try:
            return await gets.get(b"p:1")
        finally:
            await gets.close()

    assert asyncio.run(question()) == b"third"


@pytest.mark.parametrize(
    ("url", "greeting"),
    [
        ("redis://cache", ()),
        ("redis://:secret@cache", (("AUTH", "secret"),)),
        ("redis://edge:s%40cret@cache:7/2", (("AUTH", "edge", "s@cret"), ("SELECT", "2"))),
    ],
)
def test_the_first_commands_of_a_connection(url: str, greeting: tuple[tuple[str, ...], ...]) -> None:
    address = Address.of(url)
    assert address is not None
    assert address.greeting == greeting


@pytest.mark.parametrize("url", ["rediss://cache", "redis://cache?protocol=3"])
def test_other_addresses_are_left_to_redis_py(url: str) -> None:
    assert Address.of(url) is None
