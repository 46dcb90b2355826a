"""Lock of torch's tracer, which is global: one thread traces or exports at a time."""

from __future__ import annotations

import threading

TRACER = threading.RLock()
