"""Tracing and exporting by torch: one thread at a time, as its tracer is global, and without a word."""

from __future__ import annotations

import contextlib
import io
import logging
import threading
import warnings
from collections.abc import Iterator

TRACER = threading.RLock()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing that torch prints, logs or warns of while it traces."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        said = io.StringIO()
        with warnings.catch_warnings(), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
