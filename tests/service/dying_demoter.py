"""A process that stops in the middle of a demotion: the record is read, the medium latent is not made yet."""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace
from typing import cast

import redis

from models.bitstream import parse
from service.records.record import unpack
from service.records.store_keys import record_key
from service.render.codec_worker import CodecWorker
from tests.service.demoting import Demoting


async def stop() -> None:
    print("in the middle", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    url, origin = sys.argv[1:]
    with redis.Redis.from_url(url) as store:
        key = record_key("cat", origin=origin)
        value = store.get(key)
        assert isinstance(value, bytes)
        stream_id = parse(unpack(value, key).bitstream).stream_id
        # No codec is needed: this process does not live to use it.
        worker = cast("CodecWorker", SimpleNamespace(names=SimpleNamespace(stream_id=stream_id)))
        Demoting(store, url, origin, worker).work(act=stop)


if __name__ == "__main__":
    main()
