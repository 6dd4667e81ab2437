"""Models of one's own traffic."""

import json
import os
from typing import Any

from tidegate import _tidegate


def train(
    traces: "str | os.PathLike[str]",
    output: "str | os.PathLike[str]" = "models",
    *,
    horizon: int = 32,
    tau: float = 0.99,
) -> dict[str, Any]:
    """Fits a model that forecasts overflow to the traces in a directory, and writes ``overflow.json`` into the directory ``output``.

    Traces are what :meth:`Queue.record` writes, or ``NAME.csv.gz`` with the columns ``t_ns,bytes``. Those of one origin are a family,
    and share what stands in their names before the first ``_``; two families are needed, so that each is judged by a model that was not
    fitted to it. ``horizon`` is how many ticks of a millisecond ahead is forecast, ``tau`` the quantile.

    Returns the model's path (``model``), whether it did better than each rule of thumb (``standing``: ``proven`` or ``candidate``), and
    the scores on what it was not fitted to (``overall``: pinball loss in ticks of service, coverage, and their 95 % intervals).

    Takes a minute for a dozen traces; Ctrl-C ends it, and writes nothing. Raises :class:`ValueError` where there is too little
    to fit to, and :class:`OSError` where files cannot be read or written.
    """
    told: dict[str, Any] = json.loads(_tidegate.train(os.fspath(traces), os.fspath(output), horizon, tau))
    return told
