"""The command line: each command is the library call of its name.

Commands import the library when they run, so that `--help` answers without it.
"""

from __future__ import annotations

import click

from bridge.cli.bench import bench
from bridge.cli.bisect import bisect
from bridge.cli.convert import check, convert
from bridge.cli.formats import completion, formats, new_plugin, plugins
from bridge.cli.matrix import matrix
from bridge.cli.package import package
from bridge.cli.profiles import profiles
from bridge.cli.provenance import sign, verify_signature
from bridge.cli.run import inspect, run, verify
from bridge.cli.usage import Group
from bridge.cli.workbench import diff, extract, optimize

__all__ = ["main"]

EXIT = """
Exit codes: 0 done; 1 refused, with the reason; 2 wrong usage; 3 verification failed, and convert wrote
nothing unless --keep; 4 operators cannot cross; 130 interrupted, 143 terminated: nothing was written.
"""


@click.group(cls=Group, epilog=EXIT, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="formatbridge")
def main() -> None:
    """Convert machine-learning models between formats, and check the numbers."""


for one in (
    convert,
    check,
    verify,
    bisect,
    run,
    inspect,
    extract,
    optimize,
    diff,
    bench,
    sign,
    verify_signature,
    package,
    formats,
    profiles,
    plugins,
    new_plugin,
    matrix,
    completion,
):
    main.add_command(one)
