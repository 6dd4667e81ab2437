"""Queues between processes, in shared memory, that tune themselves: in place of ``multiprocessing.Queue``.

>>> from tidegate import Queue
>>> queue = Queue()
>>> queue.put(("a tuple", 1, 2.5))
>>> queue.get()
('a tuple', 1, 2.5)
"""

from queue import Empty, Full

from tidegate._context import patch, unpatch
from tidegate._locks import BoundedSemaphore, Condition, Event, Lock, RLock, Semaphore
from tidegate._pipe import Connection, Pipe
from tidegate._queues import JoinableQueue, Queue, SimpleQueue
from tidegate._serve import serve
from tidegate._tidegate import Endpoint, PeerDied, Recording, TidegateError
from tidegate._training import train

__all__ = [
    "BoundedSemaphore",
    "Condition",
    "Connection",
    "Empty",
    "Endpoint",
    "Event",
    "Full",
    "JoinableQueue",
    "Lock",
    "PeerDied",
    "Pipe",
    "Queue",
    "RLock",
    "Recording",
    "Semaphore",
    "SimpleQueue",
    "TidegateError",
    "patch",
    "serve",
    "train",
    "unpatch",
]
