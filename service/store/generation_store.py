"""The table of purge generations: a Redis hash whose numbers only grow. Each change is published to all edges.

The hash has no expiry time, so that volatile-lfu never evicts it. The number of its fields is limited.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from service.errors import RecordError, StoreUnavailable
from service.store.connection import Connection
from service.store.servers import FAILURES, Client

LATEST = "latest"
# The maximum number of fields of the table. Assumed: fewer tags are purged within the lifetime of a picture. The cap is
# needed, because every edge reads all fields after each purge.
FIELDS_CAP = 4096

# The script uses the clock of the server, because the clocks of the edges may differ. If the table has more fields than
# FIELDS_CAP, the older half of the fields of each kind (hard, soft) is removed. The field `<kind>-floor` then holds the
# largest removed generation, which counts for all absent fields of that kind.
# A full store refuses an HSET, but not in a script that has written before. So an HDEL of no field comes first.
_RAISE = """
local time = redis.call('TIME')
redis.call('HDEL', KEYS[1], '')
local latest = tonumber(redis.call('HGET', KEYS[1], 'latest') or '0')
if ARGV[4] == 'begin' and latest > 0 then return string.format('%.0f', latest) end
local generation = math.max(latest + 1, time[1] * 1000 + math.floor(time[2] / 1000))
local text = string.format('%.0f', generation)
redis.call('HSET', KEYS[1], 'latest', text, ARGV[1], text)
if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[2]) then
  local kinds, table_now = {}, redis.call('HGETALL', KEYS[1])
  for i = 1, #table_now, 2 do
    local kind = string.match(table_now[i], '^(%a+):')
    if kind then
      kinds[kind] = kinds[kind] or {}
      table.insert(kinds[kind], {field = table_now[i], generation = tonumber(table_now[i + 1])})
    end
  end
  for kind, fields in pairs(kinds) do
    table.sort(fields, function(one, other) return one.generation < other.generation end)
    local count = math.ceil(#fields / 2)
    for i = 1, count do redis.call('HDEL', KEYS[1], fields[i].field) end
    redis.call('HSET', KEYS[1], kind .. '-floor', string.format('%.0f', fields[count].generation))
  end
end
redis.call('PUBLISH', ARGV[3], text)
return text
"""
_RESTORE = """
redis.call('HDEL', KEYS[1], '')
for i = 1, #ARGV, 2 do
  local now = tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or '0')
  if tonumber(ARGV[i + 1]) > now then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
return 1
"""
# A script with a key runs at the node of a cluster that holds the key, so all edges ask the same clock.
_TIME = "return redis.call('TIME')"


class GenerationStore:
    """The table of purge generations of one origin. Every method raises StoreUnavailable if the store fails."""

    def __init__(self, connection: Connection, key: bytes) -> None:
        self._connection = connection
        self._key = key

    async def latest(self) -> int:
        """Return the latest generation, which grows with every purge; 0 if the store has no table."""
        async with self._client() as redis:
            return _number(await redis.hget(self._key, LATEST) or b"0")

    async def table(self) -> dict[str, int]:
        """Return the whole table: the generation of each field."""
        async with self._client() as redis:
            return {_text(name): _number(number) for name, number in (await redis.hgetall(self._key)).items()}

    async def advance(self, field: str) -> int:
        """Set a field to a new latest generation, and return it.

        It is the store's time in milliseconds, or the previous latest generation plus one if that is larger.
        """
        return _number(await self._run_advance(field, "raise"))

    async def begin(self, field: str) -> int:
        """Do the same as `advance`, but only if the store has no table. Return the latest generation."""
        return _number(await self._run_advance(field, "begin"))

    async def restore(self, table: Mapping[str, int]) -> None:
        """Raise each field to at least the given generation."""
        flat = [part for name, number in table.items() for part in (name, str(number))]
        async with self._client() as redis:
            await redis.eval(_RESTORE, 1, self._key, *flat)

    async def time_s(self) -> float:
        """Return the Unix time in seconds of the server that holds the table."""
        async with self._client() as redis:
            seconds, microseconds = await redis.eval(_TIME, 1, self._key)
        return _number(seconds) + _number(microseconds) / 1e6

    async def changes(self) -> AsyncIterator[bytes]:
        """Yield nothing once after subscribing, and then the news: a new generation, or the key of a purged picture."""
        try:
            async with self._connection.subscription() as channel:
                await channel.subscribe(self._key)
                async for message in channel.listen():
                    news = message["data"]
                    yield news if isinstance(news, bytes) else b""
        except FAILURES as error:
            raise StoreUnavailable(f"the subscription to purges failed: {type(error).__name__}: {error}") from error

    async def _run_advance(self, field: str, how: str) -> object:
        async with self._client() as redis:
            return await redis.eval(_RAISE, 1, self._key, field, FIELDS_CAP, self._key, how)

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[Client]:
        try:
            async with self._connection.client(self._key) as redis:
                yield redis
        except RecordError as error:  # the key of the table holds another type than a hash, so the purges are unknown
            raise self._connection.failure(f"the table of purges cannot be read: {error}") from error


def _text(name: object) -> str:
    assert isinstance(name, bytes), "the store answers with bytes"
    return name.decode()


def _number(text: object) -> int:
    assert isinstance(text, bytes), "the store answers with bytes"
    return int(text)
