"""The decoder's end of the message bus: pass the workers' requests to the codec, and its answers to the workers.

One thread owns the ROUTER socket. It never waits for the codec: if the queue is full, it answers with QueueFull. A
damaged message is logged and dropped. If its header can be parsed, the worker gets a CodecFailed.
"""

from __future__ import annotations

import logging
import math
import threading
import weakref

import zmq

from service.bus.answer_messages import Failure, Fault, Names, build_answer
from service.bus.arrays import Buffer
from service.bus.end_signal import end_this_process
from service.bus.fields import Header
from service.bus.outbox import Outbox, Outgoing
from service.bus.request_messages import Cancel, Decode, Demote, Encode, Hello, Refine, Request, parse_request
from service.bus.waiters import MessageWaiter
from service.errors import DamagedMessage, QueueFull
from service.render.codec_queue import AnyJob
from service.render.codec_worker import CodecWorker
from service.render.jobs import DecodeJob, DemoteJob, EncodeJob, RefineJob
from service.render.picture_codec import CodecNames

MESSAGE_BYTES = 2**20
"""The largest frame that is accepted (assumed). A picture's pixels and its symbols take less than 0.4 MB each."""
_LAST_ANSWERS_MS = 1000
"""The milliseconds in which the last answers must be sent when the decoder stops (assumed)."""
_AT_ONCE = 64
"""The maximum number of requests that are read before answers are sent again (assumed)."""


class Router:
    """The decoder's socket for all workers. Close the codec before the router, so that the last answers are sent."""

    def __init__(self, address: str, worker: CodecWorker, *, waiting: int) -> None:
        """Bind the socket. At most `waiting` messages from or to each worker may wait."""
        self._address = address
        self._worker = worker
        self._waiting = waiting
        self._outbox = Outbox()
        self._known: set[bytes] = set()
        self._waiters: weakref.WeakValueDictionary[tuple[bytes, int], MessageWaiter] = weakref.WeakValueDictionary()
        self._closing = threading.Event()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._bind()
        self._thread = threading.Thread(target=self._run, name="bus", daemon=True)

    def start(self) -> None:
        """Start the thread that takes requests."""
        self._thread.start()

    def close(self) -> None:
        """Stop taking requests, and send the answers that are still queued."""
        self._closing.set()
        self._outbox.wake()
        self._thread.join()
        self._socket.close(linger=_LAST_ANSWERS_MS)
        self._context.term()
        self._outbox.close()

    def announce(self, names: CodecNames) -> None:
        """Send the names of the new codec to every worker, from any thread."""
        for worker in tuple(self._known):
            self._outbox.put(Outgoing(worker, 0, Names(names)))

    def _bind(self) -> zmq.Socket[bytes]:
        bound = self._context.socket(zmq.ROUTER)
        bound.setsockopt(zmq.ROUTER_MANDATORY, 1)  # sending to a dead worker raises an error
        bound.setsockopt(zmq.SNDHWM, self._waiting)
        bound.setsockopt(zmq.RCVHWM, self._waiting)
        bound.setsockopt(zmq.MAXMSGSIZE, MESSAGE_BYTES)
        bound.bind(self._address)
        return bound

    # All methods below run on the thread that owns the socket.

    def _run(self) -> None:
        try:
            self._serve()
        except Exception:
            logging.getLogger(__name__).exception("the bus failed, so the decoder stops")
            end_this_process()  # else the supervising process would not notice that the decoder takes no requests

    def _serve(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._outbox.fileno(), zmq.POLLIN)
        while not self._closing.is_set():
            poller.poll()
            self._receive()
            self._send()
        self._send()

    def _receive(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                worker, *frames = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            self._take(worker.bytes, [frame.buffer for frame in frames])

    def _take(self, worker: bytes, frames: list[Buffer]) -> None:
        number = 0
        try:
            header = Header.parse(bytes(frames[0]) if frames else b"")
            number = header.number
            self._ask(worker, number, parse_request(header, frames[1:]))
        except QueueFull as error:
            self._outbox.put(Outgoing(worker, number, Failure.of(error)))
        except DamagedMessage as error:
            logging.getLogger(__name__).warning("a message is damaged: %s", error)
            if number:
                self._outbox.put(Outgoing(worker, number, Failure(Fault.CODEC_FAILED, str(error))))

    def _ask(self, worker: bytes, number: int, request: Request) -> None:
        match request:
            case Hello():
                self._known.add(worker)
                self._outbox.put(Outgoing(worker, number, Names(self._worker.names)))
            case Cancel():
                self._cancel(worker, number)
            case _:
                self._worker.submit(self._job(worker, number, request))

    def _job(self, worker: bytes, number: int, request: Decode | Encode | Refine | Demote) -> AnyJob:
        deadline_s = math.inf if isinstance(request, Refine | Demote) else request.deadline_s
        waiter = MessageWaiter(worker=worker, number=number, outbox=self._outbox, deadline_s=deadline_s)
        self._waiters[worker, number] = waiter
        match request:
            case Decode():
                stream_id = request.stream_id
                return DecodeJob(waiter=waiter, latent=request.symbols, stream_id=stream_id, size_px=request.size_px)
            case Encode():
                return EncodeJob(waiter=waiter, pixels=request.pixels, quality=request.quality, patient=request.patient)
            case Demote():
                return DemoteJob(waiter=waiter, bitstream=request.bitstream, quality=request.quality)
            case Refine():
                return RefineJob(waiter=waiter, pixels=request.pixels, search=request.search)

    def _cancel(self, worker: bytes, number: int) -> None:
        waiter = self._waiters.pop((worker, number), None)
        if waiter is not None:
            waiter.cancelled = True

    def _send(self) -> None:
        for outgoing in self._outbox.take():
            frames = build_answer(outgoing.number, outgoing.answer)
            try:
                self._socket.send_multipart([outgoing.worker, *frames], zmq.NOBLOCK, copy=False)
            except zmq.Again:
                logging.getLogger(__name__).warning("an answer was dropped, because a worker does not read its answers")
            except zmq.ZMQError as error:
                if error.errno != zmq.EHOSTUNREACH:
                    raise
                self._forget(outgoing.worker)

    def _forget(self, worker: bytes) -> None:
        """Cancel all requests of a worker that has died."""
        self._known.discard(worker)
        for key in [key for key in list(self._waiters.keys()) if key[0] == worker]:
            self._cancel(*key)
