"""Every error a user can meet. All derive from BridgeError and name the way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = [
    "BridgeError",
    "DestinationExists",
    "ExecutionFailed",
    "InternalError",
    "InvalidCard",
    "InvalidHub",
    "InvalidInput",
    "InvalidOption",
    "InvalidSignature",
    "MissingDependency",
    "PluginError",
    "SeveralModels",
    "TooLarge",
    "UnknownFormat",
    "UnreadableFile",
    "UnsupportedModel",
    "VerificationFailed",
    "WriteFailed",
]


class BridgeError(Exception):
    """Root of every error bridge raises on purpose. `hint` says what to do next; `result` is what was found
    before it was raised, such as the Report of a refusal, where there is something."""

    result: Any = None

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message}\n{hint}" if hint else message)
        self.hint = hint


class UnreadableFile(BridgeError):
    """The bytes handed in are not a valid file of the format."""


class SeveralModels(UnreadableFile):
    """A file holds several models, and none was named: the importer's `option` takes one of `choices`."""

    def __init__(self, message: str, option: str, choices: Sequence[str]) -> None:
        self.option, self.choices = option, tuple(choices)
        super().__init__(
            f"{message}: {', '.join(choices)}.", f"Name one with {option}=… (--{option} on the command line)."
        )


class UnknownFormat(BridgeError):
    """No plugin reads or writes the format asked for, or none recognises the source."""


class InvalidSignature(BridgeError):
    """A model is not the one that was signed, or not with that key."""


class MissingDependency(BridgeError):
    """An optional package is needed; the hint is the pip command."""


class DestinationExists(BridgeError):
    """The destination is there already and `overwrite` was not given."""


class InvalidOption(BridgeError):
    """An option is unknown to the format, or has a value it does not take."""


class InvalidInput(BridgeError):
    """Arrays handed to a model do not match its inputs."""


class InvalidCard(BridgeError):
    """A model card has fields that no card has, or values that its fields do not take."""


class InvalidHub(BridgeError):
    """A model breaks a rule of the hub; a defect of an importer or a pass."""


class ExecutionFailed(BridgeError):
    """A runtime refused the model or failed while running it."""


class WriteFailed(BridgeError):
    """The destination could not be written; nothing was left behind."""


class VerificationFailed(BridgeError):
    """The converted model disagrees with the source."""


class PluginError(BridgeError):
    """A plugin is broken, misdeclared, or clashes with another."""


class TooLarge(BridgeError):
    """A model would take more memory, or more nodes, than is allowed (`bridge.limits`)."""


class InternalError(BridgeError):
    """A defect of bridge or of a plugin, not of the model: what failed is its cause."""

    def __init__(self, stage: str, error: BaseException) -> None:
        said = first_line(str(error)) or "no reason given"
        super().__init__(
            f"{stage} failed{noted(error)}: {type(error).__name__}: {said}",
            "This is a defect of bridge, or of a plugin. Please report it with the model, or the part of it "
            "around that operator, and the traceback (--debug on the command line).",
        )


def first_line(said: BaseException | str) -> str:
    """First line of what a library says, at most 300 characters; the name of an error that says nothing."""
    lines = str(said).strip().splitlines() or [type(said).__name__ if isinstance(said, BaseException) else ""]
    return lines[0][:300]


def noted(error: BaseException) -> str:
    """The place an error was raised at, as `naming` noted it; empty where nobody did."""
    return "".join(f" {note}" for note in getattr(error, "__notes__", [])[:1])


@contextmanager
def stage(name: str, *passed: type[Exception]) -> Iterator[None]:
    """A context in which all that is raised is a BridgeError, an OSError, an import that failed or one of
    `passed`: what is more than the machine or a format holds is TooLarge, the rest an InternalError of the
    stage `name`, in words that "failed" follows."""
    known: tuple[type[Exception], ...] = (BridgeError, OSError, ModuleNotFoundError, *passed)
    try:
        yield
    except known:
        raise
    except MemoryError as error:
        raise TooLarge(
            f"{name} took more memory than there is.", "Close other programs, or use a larger machine."
        ) from error
    except RecursionError as error:
        raise TooLarge(f"{name} failed: the model is nested too deeply.") from error
    except OverflowError as error:
        raise TooLarge(f"{name} failed{noted(error)}: {error}.") from error
    except Exception as error:
        raise InternalError(name, error) from error


@contextmanager
def naming(what: str) -> Iterator[None]:
    """A context that says of what is raised which operator it was about."""
    try:
        yield
    except BridgeError:
        raise
    except Exception as error:
        if not hasattr(error, "__notes__"):
            error.add_note(f"at {what}")
        raise


def near_miss(name: str, names: Iterable[str]) -> str:
    """A question for the name that may have been meant; empty where none is near."""
    lower = {known.lower(): known for known in names}
    near = difflib.get_close_matches(name.lower(), lower, 1)
    return f"Did you mean {lower[near[0]]!r}? " if near else ""


@dataclass(frozen=True)
class Blocker:
    """One operator of the source that cannot cross, and the reason; `part` is the operator of the hub that
    the reason is about, where that is but a part of it."""

    op: str
    name: str
    part: str
    reason: str


def blocker_table(blockers: Sequence[Blocker]) -> str:
    """Blockers as aligned rows, like reasons on like operators folded to one row."""
    groups: dict[tuple[str, str], list[Blocker]] = {}
    for blocker in blockers:
        reason = f"in part: {blocker.reason}" if blocker.part else blocker.reason
        groups.setdefault((blocker.op, reason), []).append(blocker)
    rows = []
    for (op, reason), members in groups.items():
        names = {member.name for member in members}
        others = len(members if "" in names else names) - 1
        more = f" and {others} more" if others else ""
        rows.append((op, members[0].name + more, reason))
    widths = [max((len(r[i]) for r in rows), default=0) for i in (0, 1)]
    return "\n".join(f"  {op:<{widths[0]}}  {where:<{widths[1]}}  {why}" for op, where, why in rows)


class UnsupportedModel(BridgeError):
    """Operators of a model cannot cross. `blockers` lists them all."""

    def __init__(self, headline: str, blockers: Sequence[Blocker], hint: str = "") -> None:
        self.blockers = tuple(blockers)
        super().__init__(f"{headline}\n{blocker_table(self.blockers)}" if blockers else headline, hint)
