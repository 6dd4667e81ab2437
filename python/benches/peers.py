"""The queues that are compared, each behind the same two calls. What is not installed is left out."""

import importlib.util
import os
import pickle
import time
from collections.abc import Iterable
from typing import Any

import tidegate

# What iceoryx2 may have on its way: it drops what goes beyond, so that it is told how far its reader is.
_BUFFER = 64


class Peer:
    """A queue, made in the parent and used by each process that it is given to."""

    module: str | None = None
    takes_arrays = True

    def __init__(self, ctx: Any, profile: str) -> None:
        pass

    def put(self, obj: Any) -> None:
        raise NotImplementedError

    def get(self) -> Any:
        raise NotImplementedError

    def put_many(self, objects: list[Any]) -> None:
        for obj in objects:
            self.put(obj)

    def get_many(self, most: int) -> Iterable[Any]:
        return (self.get(),)

    def close(self) -> None:
        pass

    @classmethod
    def is_installed(cls) -> bool:
        return cls.module is None or importlib.util.find_spec(cls.module) is not None


class Tidegate(Peer):
    def __init__(self, ctx: Any, profile: str) -> None:
        self.queue: Any = tidegate.Queue(ctx=ctx, profile=profile)  # type: ignore[arg-type]
        self.put, self.get = self.queue.put, self.queue.get
        self.get_many = self.queue.get_many

    def put_many(self, objects: list[Any]) -> None:
        self.queue.put_many(objects)

    def __reduce__(self) -> Any:
        return _again, (type(self), {"queue": self.queue})

    def again(self) -> None:
        self.put, self.get, self.get_many = self.queue.put, self.queue.get, self.queue.get_many

    def close(self) -> None:
        self.queue.close()


def _again(cls: Any, attributes: dict[str, Any]) -> Any:
    peer = cls.__new__(cls)
    peer.__dict__.update(attributes)
    peer.again()
    return peer


class Multiprocessing(Peer):
    def __init__(self, ctx: Any, profile: str) -> None:
        self.queue = ctx.Queue()

    def put(self, obj: Any) -> None:
        self.queue.put(obj)

    def get(self) -> Any:
        return self.queue.get()

    def close(self) -> None:
        self.queue.close()
        self.queue.join_thread()


class FasterFifo(Peer):
    module = "faster_fifo"

    def __init__(self, ctx: Any, profile: str) -> None:
        import faster_fifo

        self.queue = faster_fifo.Queue(max_size_bytes=1 << 26)

    def put(self, obj: Any) -> None:
        self.queue.put(obj, timeout=60)

    def get(self) -> Any:
        return self.queue.get(timeout=60)

    def put_many(self, objects: list[Any]) -> None:
        self.queue.put_many(objects, timeout=60)

    def get_many(self, most: int) -> Iterable[Any]:
        return self.queue.get_many(max_messages_to_get=most, timeout=60)  # type: ignore[no-any-return]


class _Named(Peer):
    """One that processes find by name, each when it first needs it."""

    def __init__(self, ctx: Any, profile: str) -> None:
        self.name = f"tidegate-bench-{os.getpid()}-{time.monotonic_ns()}"
        self._sender: Any = None
        self._receiver: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_sender": None, "_receiver": None}


class PyZmq(_Named):
    module = "zmq"

    def _socket(self, kind: str) -> Any:
        import zmq

        socket = zmq.Context.instance().socket(getattr(zmq, kind))
        address = f"ipc:///tmp/{self.name}"
        if kind == "PULL":
            socket.bind(address)
        else:
            socket.connect(address)
        return socket

    def put(self, obj: Any) -> None:
        self._sender = self._sender or self._socket("PUSH")
        if type(obj) is bytes:
            self._sender.send(b"b" + obj)
        else:
            self._sender.send(b"p" + pickle.dumps(obj, 5))

    def get(self) -> Any:
        self._receiver = self._receiver or self._socket("PULL")
        message = self._receiver.recv()
        return message[1:] if message[:1] == b"b" else pickle.loads(message[1:])

    def close(self) -> None:
        for socket in (self._sender, self._receiver):
            if socket is not None:
                socket.close()


class Cloudtoid(_Named):
    module = "cloudtoid_interprocess"

    def _sending(self) -> Any:
        import cloudtoid_interprocess

        if self._sender is None:
            self._sender = cloudtoid_interprocess.Publisher(self.name, 1 << 26)
        return self._sender

    def put(self, obj: Any) -> None:
        message = b"b" + obj if type(obj) is bytes else b"p" + pickle.dumps(obj, 5)
        sender = self._sending()
        while not sender.try_send(message):
            time.sleep(0)

    def put_many(self, objects: list[Any]) -> None:
        messages = [b"b" + obj if type(obj) is bytes else b"p" + pickle.dumps(obj, 5) for obj in objects]
        sender = self._sending()
        while messages:
            messages = messages[sender.try_send_batch(messages) :]

    def get(self) -> Any:
        import cloudtoid_interprocess

        if self._receiver is None:
            self._receiver = cloudtoid_interprocess.Subscriber(self.name, 1 << 26)
        message = self._receiver.receive(60)
        return message[1:] if message[:1] == b"b" else pickle.loads(message[1:])


class Iceoryx2(_Named):
    """Polls, as it has no blocking receive without a second service. Its payloads are bytes."""

    module = "iceoryx2"
    takes_arrays = False
    bytes_max = 1 << 21

    def __init__(self, ctx: Any, profile: str) -> None:
        super().__init__(ctx, profile)
        self.sent, self.got = ctx.RawValue("Q", 0), ctx.RawValue("Q", 0)

    def _service(self) -> Any:
        import ctypes

        import iceoryx2

        iceoryx2.set_log_level(iceoryx2.LogLevel.Error)
        self._node = iceoryx2.NodeBuilder.new().create(iceoryx2.ServiceType.Ipc)
        name = iceoryx2.ServiceName.new(self.name)
        payload = iceoryx2.Slice[ctypes.c_uint8]
        builder = self._node.service_builder(name).publish_subscribe(payload)
        return builder.subscriber_max_buffer_size(_BUFFER).enable_safe_overflow(False).open_or_create()

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state.pop("_node", None)
        return state

    def _sending(self) -> Any:
        if self._sender is None:
            self._sender = self._service().publisher_builder().initial_max_slice_len(self.bytes_max).create()
            self._count = 0
        return self._sender

    def loan(self, size: int) -> Any:
        """Something to fill, and its memory."""
        publisher = self._sending()
        while self._count - self.got.value >= _BUFFER:
            time.sleep(0)
        sample = publisher.loan_slice_uninit(size)
        return sample, sample.payload().as_memory_view().cast("B")

    def send(self, sample: Any) -> None:
        sample.assume_init().send()
        self._count += 1

    def put(self, obj: Any) -> None:
        sample, memory = self.loan(len(obj))
        memory[:] = obj
        self.send(sample)

    def receive(self) -> Any:
        """A sample, which is to be deleted."""
        if self._receiver is None:
            self._receiver = self._service().subscriber_builder().buffer_size(_BUFFER).create()
        while (sample := self._receiver.receive()) is None:
            pass
        return sample

    def get(self) -> Any:
        sample = self.receive()
        data = bytes(sample.payload().as_memory_view().cast("B"))
        self.done(sample)
        return data

    def done(self, sample: Any) -> None:
        sample.delete()
        self.got.value += 1


PEERS: dict[str, type[Peer]] = {
    "tidegate": Tidegate,
    "multiprocessing": Multiprocessing,
    "faster-fifo": FasterFifo,
    "pyzmq": PyZmq,
    "cloudtoid": Cloudtoid,
    "iceoryx2": Iceoryx2,
}
