"""Sessions of runtimes that may take their process along: they run in a worker process."""

from __future__ import annotations

import importlib
import itertools
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from bridge import errors, workers
from bridge.detect import by_name
from bridge.errors import BridgeError, ExecutionFailed
from bridge.formats import Format
from bridge.limits import runtime_memory, seconds, too_big, too_slow
from bridge.ports import Port
from bridge.session import Outputs, Session

__all__ = ["RemoteSession", "here", "in_this_process"]

KEPT = 4
"""Sessions a worker keeps open."""

here: ContextVar[bool] = ContextVar("here", default=False)
_numbers = itertools.count()
_open: OrderedDict[str, list[Session]] = OrderedDict()


@contextmanager
def in_this_process() -> Iterator[None]:
    """Runtimes run in this process: it is a worker that may be lost."""
    token = here.set(True)
    try:
        yield
    finally:
        here.reset(token)


class RemoteSession(Session):
    """A file in its format's runtime, in a worker process without a network. Raises ExecutionFailed when that
    process ends, with the signal's name, TooLarge when it takes more time than an answer may, and what the
    runtime raises."""

    def __init__(
        self, fmt: Format, path: Path, options: dict[str, Any], variant: int = 0, key: str = ""
    ) -> None:
        self.format, self.variant = fmt, variant
        self._key = key or f"{os.getpid()}.{next(_numbers)}"
        self._path, self._options = path.absolute(), options
        place = {"format": fmt.name, "path": str(self._path), "options": options, "key": self._key}
        self._place: dict[str, Any] = place
        told = self._ask("opened", {})
        self.engine, self._variants = told["engine"], told["variants"]
        self.inputs, self.outputs = (
            tuple(Port(name, dtype, None if shape is None else tuple(shape)) for name, dtype, shape in ports)
            for ports in (told["inputs"], told["outputs"])
        )

    def run(self, inputs: dict[str, Any]) -> Outputs:
        told = self._ask("computed", {"inputs": inputs})
        self.engine = told["engine"]
        return Outputs(told["outputs"], told["engine"], told["refusal"])

    def within(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return self._ask("shown", {"inputs": inputs})["values"]

    def variants(self) -> Iterator[Session]:
        for number in range(1, 1 + (0 if self.variant else self._variants)):
            yield RemoteSession(self.format, self._path, self._options, number, self._key)

    def _ask(self, what: str, arguments: dict[str, Any]) -> Any:
        arguments = {**self._place, "variant": self.variant, **arguments}
        return answer_of(
            self.format.title,
            lambda: workers.isolated(
                f"bridge.remote:{what}", arguments, seconds(), offline=True, memory=runtime_memory()
            ),
        )


def answer_of(title: str, ask: Callable[[], Iterator[Any]]) -> Any:
    """The only value that a worker yields, of the runtime of the format called `title`. Raises the error it
    met there, TooLarge, and ExecutionFailed where the process ended."""
    runtime = f"The runtime of {title}"
    try:
        (told,) = ask()
    except workers.WorkerLost as lost:
        if lost.outcome == "timeout":
            raise too_slow(runtime) from lost
        if lost.outcome == "memory":
            raise too_big(runtime) from lost
        ended = str(lost).removeprefix("worker ")
        raise ExecutionFailed(f"{runtime} did not survive the file: its process {ended}.") from lost
    except RuntimeError as error:
        raise ExecutionFailed(f"{runtime}: {error}") from error
    if "error" in told:
        raise _error(told)
    return told


def warm(fmt: Format) -> None:
    """Have a worker import the modules of a format's runtime, if that is foreign, while this process goes
    on."""
    part = fmt.part("runtime")
    if (
        part is not None
        and part.requires
        and not part.missing()
        and not here.get()
        and fmt.resolve("runtime").foreign
    ):
        workers.prepare("bridge.remote:imported", {"modules": list(part.requires)}, offline=True)


def imported(modules: list[str]) -> Iterator[None]:
    """Import modules, in the worker."""
    for name in modules:
        importlib.import_module(name)
        yield None


def _error(told: dict[str, Any]) -> BridgeError:
    """The error a worker met."""
    kind = getattr(errors, told["error"], ExecutionFailed)
    error = kind.__new__(kind)
    Exception.__init__(error, told["message"])
    error.hint = told["hint"]
    if isinstance(error, errors.UnsupportedModel):
        error.blockers = ()
    return error


def opened(variant: int, **place: Any) -> Iterator[dict[str, Any]]:
    """Yield the description of a session, in the worker."""
    yield answer(lambda: _described(_session(variant, place)))


def computed(variant: int, inputs: dict[str, Any], **place: Any) -> Iterator[dict[str, Any]]:
    """Yield the outputs of a session, in the worker."""

    def run() -> dict[str, Any]:
        outputs = _session(variant, place).run(inputs)
        return {"engine": outputs.engine, "refusal": outputs.refusal, "outputs": dict(outputs)}

    yield answer(run)


def answer(compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a computation in the worker gives, or the error of bridge's that it raised."""
    try:
        return compute()
    except BridgeError as error:
        message = str(error)
        return {"error": type(error).__name__, "message": message, "hint": error.hint}


def shown(variant: int, inputs: dict[str, Any], **place: Any) -> Iterator[dict[str, Any]]:
    """Yield the values within a session, in the worker."""
    yield answer(lambda: {"values": _session(variant, place).within(inputs)})


def _session(variant: int, place: dict[str, Any]) -> Session:
    key = place["key"]
    if key not in _open:
        fmt = by_name(place["format"])
        with in_this_process():
            try:
                session = fmt.resolve("runtime").open(Path(place["path"]), **place["options"])
            except ModuleNotFoundError as error:
                raise fmt.missing(error) from error
        _open[key] = [session]
        while len(_open) > KEPT:
            _open.popitem(last=False)
    _open.move_to_end(key)
    sessions = _open[key]
    if variant and len(sessions) == 1:
        sessions += sessions[0].variants()
    return sessions[variant]


def _described(session: Session) -> dict[str, Any]:
    ports = [[[p.name, p.dtype, p.shape] for p in side] for side in (session.inputs, session.outputs)]
    return {
        "engine": session.engine,
        "variants": session.variant_count,
        "inputs": ports[0],
        "outputs": ports[1],
    }
