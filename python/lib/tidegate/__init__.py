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
from tidegate._queues import JoinableQueue, Queue, SimpleQueue
from tidegate._serve import serve
from tidegate._tidegate import Endpoint, PeerDied, TidegateError

__all__ = [
    "BoundedSemaphore",
    "Condition",
    "Empty",
    "Endpoint",
    "Event",
    "Full",
    "JoinableQueue",
    "Lock",
    "PeerDied",
    "Queue",
    "RLock",
    "Semaphore",
    "SimpleQueue",
    "TidegateError",
    "patch",
    "serve",
    "unpatch",
]
