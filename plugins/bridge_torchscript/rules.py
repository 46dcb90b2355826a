"""Operators that have a rule, and how reading stops at one that its rule does not take."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bridge.report import Blocker
from bridge_torchscript.import_ops import ops
from bridge_torchscript.import_ops.scalar import PYTHON
from bridge_torchscript.import_ops.tensor import INPLACE
from bridge_torchscript.values import Unsupported


class Refused(Exception):
    """Error: reading stops at the operator of `blocker`."""

    def __init__(self, blocker: Blocker) -> None:
        super().__init__(blocker.reason)
        self.blocker = blocker


@contextlib.contextmanager
def refusing(operator: str, where: str) -> Iterator[None]:
    """Refuse the operator called `where` for what its rule does not read."""
    try:
        yield
    except Unsupported as error:
        raise Refused(Blocker(operator, where, "", str(error))) from error
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        reason = f"is used in a way its rule does not read ({type(error).__name__}: {error})"
        raise Refused(Blocker(operator, where, "", reason[:200])) from error


def has_rule(operator: str) -> bool:
    """True if an operator, or the one it writes in place or copies the view of, has a rule."""
    names = (operator, operator.removesuffix("_"), operator.removesuffix("_copy"))
    return operator in INPLACE or any(n in table for n in names for table in (ops, PYTHON))
