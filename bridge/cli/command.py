"""The frame of every command: how its result and its errors are shown, and what it says meanwhile."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from bridge.cli.page import paged

__all__ = ["Printed", "command", "progress_bar"]

LOGGER = logging.getLogger("bridge")
TICK = 0.2
"""Seconds between two looks at how far a step is."""
LINE = "%(asctime)s %(levelname)s %(message)s"
CODES = {"VerificationFailed": 3, "InvalidSignature": 3, "UnsupportedModel": 4}
SILENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "GLOG_minloglevel": "3"}


@dataclass(frozen=True)
class Printed:
    """A result that prints as `text` or as the JSON of `data`, and whose page is that of `result`."""

    text: str
    data: Any
    result: Any = None

    def content(self) -> Any:
        return self.result.content()

    def to_dict(self) -> Any:
        return self.data

    def __str__(self) -> str:
        return self.text


def command(function: Callable) -> Callable:
    """A command that returns its exit code and its result, which prints as text or JSON, or None where it
    printed itself. BridgeErrors are printed, not raised."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @click.option("-v", "--verbose", is_flag=True, help="Say each step, and let runtimes say theirs.")
    @click.option("-q", "--quiet", is_flag=True, help="Print errors alone.")
    @click.option("--log-file", type=Path, metavar="FILE", help="Append each step to a file.")
    @click.option("--debug", is_flag=True, help="Print the traceback of an error.")
    @wraps(function)
    def print_result(
        as_json: bool,
        verbose: bool,
        quiet: bool,
        log_file: Path | None,
        debug: bool,
        html: Path | None = None,
        **arguments: Any,
    ) -> None:
        shows_progress = not (quiet or verbose or arguments.get("folder") or arguments.get("manifest"))
        with ExitStack() as contexts:
            contexts.enter_context(ended_by_signals())
            contexts.enter_context(logged(verbose, log_file))
            if not verbose:
                contexts.enter_context(silent_runtimes())
            code, text, failed = _outcome(function, arguments, html, as_json, shows_progress, debug)
        if text and not (quiet and code == 0):
            click.echo(text, err=failed and not as_json)
        sys.exit(code)

    return print_result


def _outcome(
    function: Callable,
    arguments: dict[str, Any],
    html: Path | None,
    as_json: bool,
    shows_progress: bool,
    debug: bool,
) -> tuple[int, str, bool]:
    """Exit code of a command, what it says, and whether that is an error."""
    from bridge.errors import BridgeError, stage

    try:
        name = function.__name__
        with (
            spinner(name, shows_progress),
            stage(f"bridge {name}", click.ClickException),
            paged(html) as page,
        ):
            code, result = function(**arguments)
            page(result)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT, "Interrupted.", True
    except (BridgeError, OSError) as error:
        if debug:
            traceback.print_exc()
        name = type(error).__name__
        text = json.dumps({"error": name, "message": str(error)}) if as_json else f"{name}: {error}"
        return CODES.get(name, 1), text, True
    if result is None:
        return code, "", False
    return code, json.dumps(_as_data(result), default=str, indent=2) if as_json else str(result), False


def _as_data(result: Any) -> Any:
    return result.to_dict() if hasattr(result, "to_dict") else result


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """A context that SIGTERM leaves as an exception does, so that temporary files go."""

    def terminate(number: int, frame: Any) -> None:
        signal.signal(number, signal.SIG_IGN)
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def logged(verbose: bool, file: Path | None) -> Iterator[None]:
    """A context in which the steps that the library logs are shown, appended to a file, or both."""
    handlers: list[logging.Handler] = [logging.StreamHandler()] if verbose else []
    try:
        handlers += [logging.FileHandler(file)] if file is not None else []
    except OSError as error:
        raise click.BadParameter(f"{file}: {error.strerror}", param_hint="--log-file") from error
    before = LOGGER.level, LOGGER.propagate
    LOGGER.setLevel(logging.DEBUG)
    LOGGER.propagate = False
    for handler in handlers:
        handler.setFormatter(logging.Formatter(LINE))
        LOGGER.addHandler(handler)
    try:
        yield
    finally:
        LOGGER.setLevel(before[0])
        LOGGER.propagate = before[1]
        for handler in handlers:
            LOGGER.removeHandler(handler)
            handler.close()


@contextmanager
def silent_runtimes() -> Iterator[None]:
    """A context in which what libraries write to the process's own standard error is dropped; what Python
    writes to `sys.stderr` is not."""
    for name, value in SILENT.items():
        os.environ.setdefault(name, value)
    before = sys.stderr
    if sys.__stderr__ is None or before is not sys.__stderr__:
        yield
        return
    before.flush()
    own = os.fdopen(os.dup(2), "w", buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    sys.stderr = own
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        own.flush()
        os.dup2(own.fileno(), 2)
        sys.stderr = before
        os.close(nowhere)


class Steps(logging.Handler):
    """The step the library logged last, and of a file that is written the share that is on the disk."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._text, self._folder, self._size = name, None, 0

    def emit(self, record: logging.LogRecord) -> None:
        self._text = record.getMessage()
        self._folder, self._size = getattr(record, "written", (None, 0))

    def __str__(self) -> str:
        if self._folder is None or not self._size:
            return self._text
        with suppress(OSError):
            there = sum(p.stat().st_size for p in Path(self._folder).rglob("*") if p.is_file())
            return f"{self._text}, {min(99, 100 * there // self._size)} % written"
        return self._text


def is_terminal() -> bool:
    return sys.stderr.isatty()


@contextmanager
def spinner(name: str, shows: bool, after: float = 1.0) -> Iterator[None]:
    """A spinner with the step, its share and the time on stderr, if that is a terminal, for what takes longer
    than a second."""
    if not shows or not is_terminal():
        yield
        return
    done, steps = threading.Event(), Steps(name)
    LOGGER.addHandler(steps)

    def spin() -> None:
        if done.wait(after):
            return
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(str(steps))
            while not done.wait(TICK):
                bar.update(task, description=str(steps))

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        LOGGER.removeHandler(steps)


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr, moved by calling it with (done, total); nothing with -q, or where that is no
    terminal."""
    if click.get_current_context().params.get("quiet") or not is_terminal():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what)
        yield lambda done, total: bar.update(task, completed=done, total=total)
