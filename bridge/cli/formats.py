"""The commands about formats and plugins, and the shells' completion."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.command import Printed, command
from bridge.cli.usage import Command

if TYPE_CHECKING:
    from bridge.formats import Format


@dataclass(frozen=True)
class Declarations:
    """The declarations of formats; a line each as text, which resolves no importer and no exporter."""

    formats: tuple[Format, ...]

    def to_dict(self) -> list[dict[str, Any]]:
        return [_declaration(fmt) for fmt in self.formats]

    def __str__(self) -> str:
        return "\n".join(
            f"{f.name:<12} {' '.join(_ability(f, part) for part in ABILITIES)} {f.versions}{_more(f)}"
            for f in self.formats
        )


ABILITIES = {"importer": "read", "exporter": "write", "runtime": "run"}


def _ability(fmt: Format, name: str) -> str:
    """The word for what a part does, blank where the format has none or its packages are not installed."""
    part = fmt.part(name)
    word = ABILITIES[name]
    return word if part is not None and not part.missing() else " " * len(word)


def _more(fmt: Format) -> str:
    """The abilities that the format's extra adds to those of now."""
    words = [w for n, w in ABILITIES.items() if (part := fmt.part(n)) is not None and part.missing()]
    return f"; to {', '.join(words)}: pip install '{fmt.distribution}[{fmt.extra}]'" if words else ""


@click.command(cls=Command, example="formats tflite")
@click.argument("name", required=False)
@command
def formats(name: str | None) -> Any:
    """List the formats, or the options and versions of one."""
    import bridge
    from bridge.detect import by_name

    if name:
        fmt = by_name(name)
        return 0, Printed(_described(fmt), _declaration(fmt))
    return 0, Declarations(bridge.formats())


@click.command(cls=Command, example="plugins")
@command
def plugins() -> Any:
    """List the plugins, what each brings, and those that failed or clash."""
    from bridge.plugins import registry

    known = registry()
    contents = known.contents()
    lines = [str(one) for one in contents]
    lines += [f"{b.name:<14} {b.distribution:<20} FAILED: {b.reason}" for b in known.broken]
    lines += [f"CLASH: {error}" for error in known.clashes.values()]
    data = {
        "plugins": [asdict(one) for one in contents],
        "broken": [asdict(one) for one in known.broken],
        "clashes": {name: str(error) for name, error in known.clashes.items()},
    }
    return (1 if known.broken or known.clashes else 0), Printed("\n".join(lines), data)


@click.command("new-plugin", cls=Command, example="new-plugin my_format --import")
@click.argument("name")
@click.option("--import", "reads", is_flag=True, help="A format that is read.")
@click.option("--export", "writes", is_flag=True, help="A format that is written; both when neither is said.")
@command
def new_plugin(name: str, reads: bool, writes: bool) -> Any:
    """Write the package of a new format, bridge-NAME, to begin with: it installs and passes the kit as it
    stands."""
    from bridge.scaffold import create

    both = not (reads or writes)
    written = create(name, Path(), reads=reads or both, writes=writes or both)
    text = "\n".join([*map(str, written), f"Next: cd bridge-{name} and read README.md."])
    return 0, Printed(text, [str(path) for path in written])


def _declaration(fmt: Any) -> dict[str, Any]:
    """Declaration of a format, as `formats --json` prints it."""
    from bridge.errors import BridgeError

    options: dict[str, Any] = {}
    for part in ("importer", "exporter"):
        with suppress(BridgeError):
            options[part] = [
                {"name": o.name, "help": o.help, "default": o.default, "choices": list(o.choices)}
                for o in fmt.resolve(part).options
            ]
    return {
        "name": fmt.name,
        "title": fmt.title,
        "suffixes": list(fmt.suffixes),
        "reads": fmt.importer is not None,
        "writes": fmt.exporter is not None,
        "runs": fmt.runtime is not None,
        "versions": fmt.versions,
        "packages": fmt.installed(),
        "options": options,
    }


def _described(fmt: Any) -> str:
    from bridge.errors import MissingDependency

    lines = [f"{fmt.title}: {fmt.versions}"]
    lines += [f"  {package} {version or 'is not installed'}" for package, version in fmt.installed().items()]
    if not all(fmt.installed().values()) and fmt.extra:
        lines.append(f"  install: pip install '{fmt.distribution}[{fmt.extra}]'")
    for part in ("importer", "exporter"):
        if getattr(fmt, part) is None:
            continue
        try:
            options = fmt.resolve(part).options
        except MissingDependency:
            continue
        lines += [f"  {part} option {o.name}: {o.help} (default {o.default})" for o in options]
    return "\n".join(lines)


SHELLS = {
    "bash": ".local/share/bash-completion/completions/bridge",
    "zsh": ".zfunc/_bridge",
    "fish": ".config/fish/completions/bridge.fish",
}
"""Where each shell finds the completion of a command, below the home folder."""


@click.command(cls=Command, example="completion bash")
@click.argument("shell", type=click.Choice(list(SHELLS), case_sensitive=False), metavar="bash|zsh|fish")
@click.option("--print", "prints", is_flag=True, help="Print the script, and install nothing.")
@command
def completion(shell: str, prints: bool) -> Any:
    """Have SHELL complete commands, formats, options and their choices."""
    from click.shell_completion import get_completion_class

    from bridge.output import atomic

    root = click.get_current_context().find_root()
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(root.command, {}, "bridge", "_BRIDGE_COMPLETE").source()
    if prints:
        return 0, Printed(script, {"script": script})
    path = Path.home() / SHELLS[shell]
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path, overwrite=True) as temporary:
        temporary.write_text(script)
    zsh = "\nIn ~/.zshrc, before compinit: fpath+=~/.zfunc" if shell == "zsh" else ""
    return 0, Printed(f"{path} written; it is read by the next shell.{zsh}", {"path": str(path)})
