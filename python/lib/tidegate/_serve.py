"""The page and the metrics of this process's queues."""

from tidegate import _process
from tidegate._tidegate import Endpoint


def serve(address: str = "127.0.0.1:9464") -> Endpoint:
    """Serves the page, ``/metrics`` and the rest on ``ADDRESS:PORT`` of this machine or ``unix:PATH``, until it is closed.

    Shows the queues that this process made and has already.
    """
    endpoint = Endpoint(address)
    for queue in _process.live():
        if not queue.closed:
            endpoint.show(queue)
    return endpoint
