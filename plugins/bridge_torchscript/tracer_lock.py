"""Lock on torch's tracer, which is state of the whole process: one thread traces or exports at a time."""

from __future__ import annotations

import threading

TRACER = threading.RLock()
