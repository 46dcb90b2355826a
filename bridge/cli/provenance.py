"""Options of `convert` and `inspect` on where a file comes from and what it is for; `sign` and
`verify-signature`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from bridge.cli.command import Printed, command
from bridge.cli.usage import Command, option_of, refuse_without

__all__ = ["card_options", "shown_of", "sign", "summary_options", "take_card", "verify_signature"]

option = partial(option_of, "Provenance")
OPTIONS = (
    option("--card", metavar="FILE", help="A model card in YAML that DST carries; else that of SRC."),
    option("--card-results", is_flag=True, help="With --verify, add what it measures to the card."),
    option("--reproducible", is_flag=True, help="Leave out of DST what changes between runs."),
)
SUMMARIES = (
    click.option("--provenance", is_flag=True, help="Print the conversions that led to it."),
    click.option("--card", is_flag=True, help="Print its model card."),
    click.option("--bom", is_flag=True, help="Print its bill of materials: CycloneDX, in JSON."),
)


def card_options(function: Callable) -> Callable:
    for each in reversed(OPTIONS):
        function = each(function)
    return function


def summary_options(function: Callable) -> Callable:
    for each in reversed(SUMMARIES):
        function = each(function)
    return function


def take_card(settings: dict[str, Any]) -> None:
    """Make what `bridge.convert` takes of the options in `settings`. Raises UsageError."""
    if not settings["verify"]:
        refuse_without(click.get_current_context(), ["card_results"], "--verify")
    for name in ("card", "card_results", "reproducible"):
        if not settings[name]:
            del settings[name]


def shown_of(summary: Any, name: str, provenance: bool, card: bool, bom: bool) -> Any:
    """The part of a summary that is asked for. Raises UsageError for several."""
    if provenance + card + bom > 1:
        raise click.UsageError("Ask for one of --provenance, --card and --bom.")
    if provenance:
        return summary.provenance
    if card:
        return summary.card
    if not bom:
        return summary
    import json

    from bridge.provenance.bom import bill_of_materials

    bill = bill_of_materials(summary, name)
    return Printed(json.dumps(bill, indent=2), bill)


def signature_options(key: str) -> Callable:
    """The options of both commands, whose key is `key`."""

    def add(function: Callable) -> Callable:
        function = click.option(
            "--signature", metavar="FILE", help="The file of the signature; MODEL.sig when omitted."
        )(function)
        return click.option("--key", required=True, metavar="FILE", help=key)(function)

    return add


@click.command(cls=Command, example="sign model.onnx --key key.pem")
@click.argument("model")
@signature_options("Your private key: an elliptic curve's, in PEM.")
@click.option("--password-file", type=Path, metavar="FILE", help="A file that holds the password of the key.")
@click.option("--overwrite", is_flag=True, help="Replace a signature that is there.")
@command
def sign(model: str, key: str, signature: str | None, password_file: Path | None, overwrite: bool) -> Any:
    """Sign every file of MODEL with a key, by OpenSSF's model-signing."""
    from bridge.provenance.sign import sign as sign_model

    try:
        password = None if password_file is None else password_file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(
            f"{password_file} is not read: {error}", param_hint="--password-file"
        ) from None
    path = sign_model(model, key, signature, password=password, overwrite=overwrite)
    return 0, Printed(f"{path} written: the signature of {model}.", {"path": str(path)})


@click.command("verify-signature", cls=Command, example="verify-signature model.onnx --key key.pub")
@click.argument("model")
@signature_options("The public key of who signed it, in PEM.")
@command
def verify_signature(model: str, key: str, signature: str | None) -> Any:
    """Check that MODEL is byte for byte what was signed: exit code 3 where it is not."""
    from bridge.provenance.sign import verify_signature as verify

    path = verify(model, key, signature)
    return 0, Printed(f"{model} is what was signed in {path}.", {"ok": True, "signature": str(path)})
