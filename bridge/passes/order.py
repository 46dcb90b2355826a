"""Order of passes: what a pass declares of those before and after it, and the check of a list.

A pass may have these attributes, tuples of class names:

- `precedes`: those it comes before, where they are in the list at all;
- `follows`: those it comes after, where they are;
- `followed_by`: those one of which must come after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx_ir as ir

from bridge.errors import PluginError

__all__ = ["require_order"]


def require_order(passes: Sequence[ir.passes.PassBase]) -> None:
    """Raise PluginError, naming every pair, unless each pass stands where it and the others say."""
    problems = list(_problems([(type(p).__name__, p) for p in passes]))
    if problems:
        raise PluginError("The passes of a target are out of order: " + "; ".join(problems))


def _problems(passes: list[tuple[str, ir.passes.PassBase]]) -> Iterator[str]:
    names = [name for name, _ in passes]
    for name, one in dict(passes).items():
        first, last = names.index(name), len(names) - 1 - names[::-1].index(name)
        for other in getattr(one, "precedes", ()):
            if other in names[:first]:
                yield f"{other} comes before {name}"
        for other in getattr(one, "follows", ()):
            if other in names[first:]:
                yield f"{other} comes after {name}"
        followers = getattr(one, "followed_by", ())
        if followers and not set(followers) & set(names[last:]):
            yield f"{name} is not followed by {' or '.join(followers)}"
