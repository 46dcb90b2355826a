"""Wrong usage: what was meant, and the line to type instead."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

import click

__all__ = ["Command", "Group", "option_of", "refuse_with", "refuse_without"]

OPTIONS = {
    "--batch-size": "--dims NAME=LENGTH gives a dimension of the inputs its length.",
    "--force": "--overwrite replaces a model that is there.",
    "--format": "--from names the format of SRC, and --to the one to write.",
    "--fp16": "--precision float16 stores the weights so, where a format has the choice.",
    "--input": "--inputs FILE (-i) is for arrays to run on. The model is the word without a name.",
    "--input-shape": "--dims NAME=LENGTH gives a dimension of the inputs its length.",
    "--model": "The model is the word without a name.",
    "--outfile": "DST is the word after SRC; `> FILE` keeps what is printed.",
    "--output": "DST is the word after SRC; `> FILE` keeps what is printed.",
    "--int8": "--quantize int8 --calibration DATA quantizes weights and activations.",
    "--shape": "--dims NAME=LENGTH gives a dimension of the inputs its length.",
    "--source": "--from names the format of SRC.",
    "--target": "--to names the format to write.",
    "--tolerance": "--rtol and --atol are the relative and the absolute tolerance.",
    "--yes": "--overwrite replaces a model that is there.",
    "-f": "--from names the format of SRC, and --to the one to write.",
    "-o": "`> FILE` keeps what is printed.",
    "-t": "--to names the format to write.",
}
"""Options that other programs have, and what stands for them here."""
COMMANDS = {
    "check": ("test", "validate", "dry-run"),
    "convert": ("export", "transform", "to"),
    "formats": ("list", "ls", "options"),
    "inspect": ("info", "show", "summary", "view"),
    "run": ("predict", "infer", "exec"),
    "verify": ("compare", "diff"),
    "--help": ("help",),
    "--version": ("version",),
}
"""Words that other programs have for commands, by what is typed here."""


class SectionOption(click.Option):
    """An option that help lists under a title of its own."""

    def __init__(self, *words: Any, section: str, **settings: Any) -> None:
        super().__init__(*words, **settings)
        self.section = section


def option_of(section: str, *words: str, **settings: Any) -> Callable:
    """As click.option, in a section of the help."""
    return click.option(*words, cls=SectionOption, section=section, **settings)


class Command(click.Command):
    """A command whose usage errors say what was meant, and end with the line `example`, as its help does."""

    def __init__(self, name: str | None = None, *, example: str, **settings: Any) -> None:
        super().__init__(name, epilog=f"Example: bridge {example}", **settings)
        self.example = example

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            text = f"No such option {error.option_name!r}. {self._meant(ctx, error.option_name)}"
            raise self._told(text, ctx) from error
        except click.UsageError as error:
            raise self._told(error.format_message(), ctx) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise self._told(error.format_message(), ctx) from error

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record:
                sections.setdefault(getattr(parameter, "section", "Options"), []).append(record)
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)

    def options(self, ctx: click.Context) -> Iterable[str]:
        """Names of the options that may be meant."""
        return [name for parameter in self.get_params(ctx) for name in parameter.opts if name.startswith("-")]

    def _told(self, text: str, ctx: click.Context) -> click.UsageError:
        such = "" if ": bridge " in text else f"\nSuch as: bridge {self.example}"
        return click.UsageError(f"{text.strip()}{such}", ctx)

    def _meant(self, ctx: click.Context, name: str) -> str:
        """A hint for an option that this command does not have."""
        owner = owner_of(name, ctx.find_root().command)
        near = difflib.get_close_matches(name, sorted(set(self.options(ctx))), 3)
        if name in OPTIONS:
            return OPTIONS[name]
        if owner:
            return f"`bridge {owner}` has it."
        return f"Did you mean {' or '.join(near)}?" if near else "`--help` lists the options."


class Group(click.Group):
    """Commands, whose names are suggested for what other programs call them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            owner = owner_of(error.option_name, self)
            if not owner:
                raise
            raise click.UsageError(
                f"Options stand behind the command: bridge {owner} … {error.option_name} …", ctx
            ) from error

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[Any, Any, list[str]]:
        if args[0] not in self.commands and not ctx.resilient_parsing:
            self._refuse(ctx, args)
        return super().resolve_command(ctx, args)

    def _refuse(self, ctx: click.Context, args: list[str]) -> NoReturn:
        """Raise UsageError for a word that is no command."""
        word = args[0]
        near = difflib.get_close_matches(word, list(self.commands), 1)
        meant = next((name for name, words in COMMANDS.items() if word in words), near[0] if near else "")
        if Path(word).exists():
            meant = " ".join(["convert", *args])
        hint = f"Did you mean `bridge {meant}`?" if meant else f"Commands: {', '.join(self.commands)}."
        raise click.UsageError(f"No such command {word!r}. {hint}", ctx)


def owner_of(option: str, group: click.Command) -> str:
    """The first command of a group that has an option; empty where none has."""
    commands = group.commands.items() if isinstance(group, click.Group) else ()
    return next((name for name, one in commands if any(option in p.opts for p in one.params)), "")


def refuse_with(ctx: click.Context, name: str, why: str) -> None:
    """Raise UsageError for a parameter that was typed, though here nothing comes of it."""
    for parameter in ctx.command.params:
        if parameter.name == name and ctx.params[name] is not None:
            raise click.UsageError(f"{parameter.opts[0]} is {why}.", ctx)


def refuse_without(ctx: click.Context, given: Iterable[str], needs: str) -> None:
    """Raise UsageError for one of the parameters `given` that was typed, though nothing of it is used without
    the option that it `needs`."""
    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(parameter.name or "")
        if parameter.name in set(given) and source == click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{parameter.opts[0]} is of use with {needs} alone: add it.", ctx)
