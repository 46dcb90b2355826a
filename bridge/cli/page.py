"""The option `--html`: a command's result as a page, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

__all__ = ["html_option", "paged"]

html_option = click.option(
    "--html", type=Path, metavar="FILE", help="Write the result as a page to look at, too; also of a refusal."
)


@contextmanager
def paged(html: Path | None) -> Iterator[Callable[[Any], None]]:
    """A context that gives what writes a result to the page `html`, and writes one of what an error found
    until it was raised. Raises DestinationExists at once where something stands there that is no page of
    bridge, WriteFailed."""
    if html is None:
        yield lambda result: None
        return
    from bridge.errors import BridgeError
    from bridge.output import atomic, require_free
    from bridge.page import page, unless_page

    require_free(html, True, unless_page)

    def write(result: Any) -> None:
        with atomic(html, True, unless_page) as temporary:
            temporary.write_text(page(result), "utf-8")

    try:
        yield write
    except BridgeError as error:
        if error.result is not None:
            write(error.result)
        raise
