"""torch's tracer: state of the whole process, so that one thread at a time records what operators are made of."""

from __future__ import annotations

import threading

TRACER = threading.RLock()
