"""Random cuts of `bridge.extract`, held against the values of the whole model.

python benchmarks/extract.py PATH… [--count 200] [--seed 0] [--largest MIB] [--only N]

A PATH is a model, or a folder in which models of any format are looked for. Cut k of a seed is always the
same: of a model drawn at random, what lies between one value and the values some place before it that lead
there, or the model's inputs. The part is written as the format of its source, or as ONNX where that does not
hold it, and run in that format's runtime on the whole model's own values; its outputs are compared with
those. Values are called by the names of their operators where these are known.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx_ir as ir

import bridge
from bridge import hub
from bridge.comparison import compare
from bridge.detect import of_source
from bridge.errors import BridgeError, UnsupportedModel
from bridge.inputs import random_inputs
from bridge.load import reader
from bridge.runtime import Outputs, open_session
from bridge.workbench.bisect_search import inputs_of, nodes_between
from bridge.workbench.bisect_values import values_in

SUFFIX = {"onnx": ".onnx", "tflite": ".tflite", "coreml": ".mlpackage", "torchscript": ".pt", "pmml": ".pmml"}
SHOWN = 4
READ = ("onnx", "tflite", "coreml", "savedmodel", "torchscript", "pmml")


def models(places: list[Path], largest: int) -> Iterator[tuple[Path, str]]:
    """Models in these places, and their formats."""
    for place in places:
        for path in [place] if not place.is_dir() else sorted([place, *place.rglob("*")]):
            try:
                fmt = of_source(path)
            except (BridgeError, OSError):
                continue
            files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
            if fmt.name in READ and sum(p.stat().st_size for p in files) <= largest:
                yield path, fmt.name


def crossing(nodes: list[ir.Node], value: ir.Value, place: int) -> list[ir.Value]:
    """The values given by the first operators, and inputs, that the others read to compute `value`."""
    needed = {*nodes_between(value, [])}
    before = {*nodes[:place]}
    later = [node for node in nodes[place:] if node in needed]
    read = dict.fromkeys(v for node in later for v in inputs_of(node.outputs[0]))
    return [v for v in read if v.producer() is None or v.producer() in before]


def called(value: ir.Value, model: ir.Model) -> str:
    """The name of the operator that gives a value, where no other value has it."""
    node = value.producer()
    origin = hub.origin(node).name if node is not None else ""
    alike = [n for n in model.graph if hub.origin(n).name == origin]
    names = {v.name for n in model.graph for v in n.outputs} | {v.name for v in model.graph.inputs}
    unique = origin and len(alike) == 1 and origin not in names and node.outputs[0] is value
    return origin if unique else value.name or ""


def written(source: Path, fmt: str, ends: tuple[list[str], list[str]], folder: Path) -> tuple[Path, str]:
    asked = {"from_values": ends[0], "to_values": ends[1], "source": fmt, "overwrite": True}
    for to in (fmt, "onnx"):
        path = folder / f"part{SUFFIX.get(to, '.' + to)}"
        try:
            return bridge.extract(source, path, to=to, **asked).path, to
        except UnsupportedModel:
            if to == "onnx":
                raise
    raise AssertionError


def cut(source: Path, fmt: str, rng: random.Random, folder: Path) -> str:
    """What became of one cut."""
    model = reader(source, fmt).read()
    inputs = random_inputs(model, seed=rng.randrange(100))
    values = {v: a[0] for v, a in values_in(model, [inputs]).items()}
    nodes = list(model.graph)
    places = [i for i, node in enumerate(nodes) if node.outputs[0] in values]
    if not places:
        return "nothing   to cut"
    last = rng.choice(places)
    value = nodes[last].outputs[0]
    begins = crossing(nodes, value, rng.randint(0, last)) if rng.random() < 0.8 else []
    if any(v not in values and v.producer() is not None for v in begins):
        begins = []
    ends = ([called(v, model) for v in begins], [called(value, model)])
    more = f" and {len(begins) - SHOWN} more" if len(begins) > SHOWN else ""
    told = f"{', '.join(ends[0][:SHOWN]) or 'inputs'}{more} → {ends[1][0]}"
    path, to = written(source, fmt, ends, folder)
    given: dict[str, Any] = {
        n: inputs[v.name] if v in model.graph.inputs else values[v]
        for n, v in zip(ends[0], begins, strict=True)
    }
    given = given or inputs
    session = open_session(reader(path, to))
    part = reader(path, to).read()
    given = {v.name or "": given[v.name or ""] for v in part.graph.inputs}
    found = session.run(given)
    expected = Outputs({ends[1][0]: values[value]}, "the whole model")
    result = compare(expected, found)
    if result.ok:
        return f"equal     {to:<12} {told}"
    return f"differs   {to:<12} {told}\n{result}"


def outcome(source: Path, fmt: str, rng: random.Random) -> str:
    with tempfile.TemporaryDirectory() as folder:
        try:
            return cut(source, fmt, rng, Path(folder))
        except UnsupportedModel as error:
            return f"refused   {str(error).splitlines()[0]}"
        except BridgeError as error:
            return f"{type(error).__name__}: {str(error).splitlines()[0]}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int)
    parser.add_argument("--largest", type=int, default=64, metavar="MIB")
    asked = parser.parse_args()
    found = list(models(asked.paths, asked.largest << 20))
    kinds = {fmt: [path for path, own in found if own == fmt] for fmt in READ}
    kinds = {fmt: paths for fmt, paths in kinds.items() if paths}
    print({fmt: len(paths) for fmt, paths in kinds.items()}, flush=True)
    outcomes: Counter[str] = Counter()
    done = number = 0
    while done < asked.count:
        rng = random.Random(f"{asked.seed}.{number}")
        fmt = list(kinds)[number % len(kinds)]
        path = kinds[fmt][(number // len(kinds)) % len(kinds[fmt])]
        if asked.only in (None, number):
            told = outcome(path, fmt, rng)
            print(f"{number:>4} {fmt:<12} {path.name:<32} {told}", flush=True)
            outcomes[told.split()[0].rstrip(":")] += 1
            done += told.startswith(("equal", "differs"))
            if asked.only is not None:
                break
        number += 1
        if number > 3 * asked.count:
            break
    print(dict(outcomes))


if __name__ == "__main__":
    main()
