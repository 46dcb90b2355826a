"""PMML bytes → elements without namespaces; typed access to their attributes, arrays and tables."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from lxml import etree

from bridge.errors import UnreadableFile, UnsupportedModel, first_line
from bridge.facts import CARD, PROVENANCE, STORED
from bridge.report import Blocker

Element = Any
LIMIT = 2**31
CHUNK = 2**20
SPECIAL = {"INF": math.inf, "-INF": -math.inf, "+INF": math.inf}
VERSIONS = ("3.0", "3.1", "3.2", "4.0", "4.1", "4.2", "4.3", "4.4")
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')
INTERFACE = "bridge.interface"
METADATA = (PROVENANCE, CARD)
KEPT = (INTERFACE, *(fact.key for fact in METADATA))
"""Names of the extensions that bridge writes into a header."""
DEFAULT = re.compile(
    rb'<PMML\b[^>]*?(?P<space>\sxmlns="http://www\.dmg\.org/PMML-(?P<version>[0-9_]+)")[^>]*>'
)
VERSION = re.compile(rb"\sversion\s*=")


def read_document(path: Path) -> Element:
    """The root element of a PMML file."""
    return parse_document(drop_default_namespace(read_bytes(path)), path)


def read_bytes(path: Path) -> bytes:
    """The bytes of a file. Raises UnreadableFile for one that is over 2 GB."""
    if path.stat().st_size >= LIMIT:
        raise UnreadableFile(f"{path} is over 2 GB.")
    return path.read_bytes()


def parse_document(content: bytes, path: Path) -> Element:
    """The root element of a document, namespaces dropped and Extension elements removed.

    Raises UnreadableFile.
    """
    parser = secure_parser()
    try:
        for start in range(0, len(content), CHUNK):
            parser.feed(content[start : start + CHUNK])
        root = parser.close()
    except (etree.XMLSyntaxError, ValueError) as error:
        raise UnreadableFile(
            f"{path} is not well-formed XML: {first_line(error) if str(error) else 'it is empty'}",
            "Is the file complete?",
        ) from error
    return strip_namespaces(root, path, has_namespaces(root, content))


def secure_parser() -> etree.XMLParser:
    """A parser that expands no entities, fetches nothing, bounds nesting as libxml2 does (256), and leaves
    comments and processing instructions out."""
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )


def drop_default_namespace(content: bytes) -> bytes:
    """The document without its default namespace, which is as many names less to shorten."""
    match = DEFAULT.search(content[:4096])
    if match is None:
        return content
    start, end = match.span("space")
    version = b"" if VERSION.search(match[0]) else b' version="%s"' % match["version"].replace(b"_", b".")
    return content[:start] + version + content[end:]


def has_namespaces(root: Element, content: bytes) -> bool:
    """False if it is sure that no element of a document has a namespace."""
    prefixes = root.nsmap
    if None in prefixes or content.count(b"xmlns") != len(prefixes):
        return True
    return any(b"<%s:" % prefix.encode() in content for prefix in prefixes)


def strip_namespaces(root: Element, path: Path, named: bool) -> Element:
    """The tree with local names, where `named` says there are others, and without its Extension elements.

    What bridge notes in those of the header becomes attributes of the root; the BayesInput of PMML 4.1 stays
    in its place. Raises UnreadableFile for entities and for another root than PMML.
    """
    entity = next(root.iter(etree.Entity), None)
    if entity is not None:
        raise UnreadableFile(f"{path} uses the entity {entity.text}, which is not expanded.")
    if root.get("version") is None:
        spaces = [s.rpartition("PMML-")[2].replace("_", ".") for s in root.nsmap.values() if "PMML-" in s]
        root.set("version", spaces[0] if spaces else "")
    for node in root.xpath("descendant-or-self::*[namespace-uri()]") if named else ():
        node.tag = etree.QName(node).localname
    for extension in root.iterfind("Header/Extension"):
        if extension.get("name") in KEPT:
            root.set(extension.get("name"), extension.get("value", ""))
    for extension in list(root.iter("Extension")):
        parent = extension.getparent()
        if parent is not None:
            for bayes_input in children(extension, "BayesInput"):
                extension.addprevious(bayes_input)
            parent.remove(extension)
    if root.tag != "PMML":
        raise UnreadableFile(f"{path} is no PMML: its root element is {root.tag}.")
    return root


def interface(text: str | None) -> dict[str, list[dict[str, Any]]]:
    """The hub's inputs and outputs a document was written from: names, dtypes, shapes and the fields that
    hold them.

    Empty for a document of others. Raises UnreadableFile for an interface that is none.
    """
    if not text:
        return {}
    try:
        ports = json.loads(text)
        for entry in (*ports["inputs"], *ports["outputs"]):
            str(entry["name"]), str(entry["dtype"]), list(entry["shape"]), [str(f) for f in entry["fields"]]
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableFile(f"The document's {INTERFACE} extension is damaged: {error}") from error
    return ports


def interface_of(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The interface noted in a document's header, read without the rest."""
    settings = {"resolve_entities": False, "no_network": True, "load_dtd": False, "huge_tree": False}
    try:
        for _, header in etree.iterparse(str(path), events=("end",), tag="{*}Header", **settings):
            values = [e.get("value") for e in header.iterfind("{*}Extension") if e.get("name") == INTERFACE]
            return interface(values[0]) if values else {}
    except etree.XMLSyntaxError:
        return {}
    return {}


def stored_outputs(ports: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    """The metadata of outputs that are held as something else, by an interface."""
    holder = SimpleNamespace(metadata_props={})
    for entry in ports.get("outputs", ()):
        if "stored" in entry:
            STORED.of(str(entry["name"])).set(holder, entry["stored"])
    return holder.metadata_props


def child(node: Element, *names: str) -> Element | None:
    """The first child of one of these names."""
    for element in node:
        if element.tag in names:
            return element
    return None


def need_child(node: Element, *names: str) -> Element:
    """The first child of one of these names. Raises UnreadableFile without one."""
    element = child(node, *names)
    if element is None:
        raise UnreadableFile(f"{describe(node)} has no {' or '.join(names)}.")
    return element


def children(node: Element | None, *names: str) -> list[Element]:
    return [] if node is None else [c for c in node if c.tag in names]


def describe(node: Element) -> str:
    """The element and its place, for messages."""
    named = next((node.get(a) for a in ("name", "id", "modelName", "field") if node.get(a)), "")
    return f"{node.tag}{f' {named!r}' if named else ''} (line {node.sourceline})"


def text(node: Element, name: str) -> str:
    """A required attribute. Raises UnreadableFile."""
    value = node.get(name)
    if value is None:
        raise UnreadableFile(f"{describe(node)} lacks the attribute {name}.")
    return value


def number(node: Element, name: str, default: float | None = None) -> float:
    """An attribute as a double; required without a default. Raises UnreadableFile."""
    value = node.get(name)
    if value is None and default is not None:
        return default
    return to_number(text(node, name), node)


def optional(node: Element, name: str) -> float | None:
    return None if node.get(name) is None else number(node, name)


def to_number(value: str, node: Element) -> float:
    word = value.strip()
    try:
        return SPECIAL[word] if word in SPECIAL else float(word)
    except ValueError:
        raise UnreadableFile(f"{describe(node)}: {value!r} is not a number.") from None


def finite(value: str, node: Element) -> float:
    """A finite double. Raises UnreadableFile."""
    number = to_number(value, node)
    if not math.isfinite(number):
        raise UnreadableFile(f"{describe(node)}: a score is {value}, which is no finite number.")
    return number


def flag(node: Element, name: str, default: bool = False) -> bool:
    value = node.get(name)
    return default if value is None else value.strip().lower() in ("true", "1")


def words(node: Element) -> list[str]:
    """The items of an Array of strings: separated by blanks, or quoted with \\" for a quote."""
    return [
        quoted.replace('\\"', '"').replace("\\\\", "\\") if start == '"' else bare
        for start, quoted, bare in _items(node.text or "")
    ]


def _items(content: str) -> Iterator[tuple[str, str, str]]:
    for match in QUOTED.finditer(content):
        yield match.group(0)[0], match.group(1) or "", match.group(2) or ""


def numbers(node: Element) -> np.ndarray:
    """The doubles of an Array or REAL-SparseArray, or of the first such child of `node`."""
    if node.tag not in ("Array", "REAL-SparseArray", "INT-SparseArray", "Matrix"):
        node = need_child(node, "Array", "REAL-SparseArray", "INT-SparseArray")
    if node.tag.endswith("SparseArray"):
        return _read_sparse_array(node)
    try:
        return np.array((node.text or "").split(), np.float64)
    except ValueError:
        raise UnreadableFile(f"{describe(node)} holds something that is not a number.") from None


def _read_sparse_array(node: Element) -> np.ndarray:
    size = int(number(node, "n"))
    if not 0 <= size <= 2**24:
        raise UnreadableFile(f"{describe(node)}: n={size} is out of range.")
    item_type = node.tag.split("-")[0]
    array = np.full(size, number(node, "defaultValue", 0.0))
    indices, entries = child(node, "Indices"), child(node, f"{item_type}-Entries")
    listed = (indices.text or "").split() if indices is not None else []
    indices_from_zero = [int(i) - 1 if i.isdecimal() else -1 for i in listed]
    values = [to_number(v, node) for v in ((entries.text or "").split() if entries is not None else [])]
    if len(indices_from_zero) != len(values) or any(not 0 <= i < size for i in indices_from_zero):
        raise UnreadableFile(f"{describe(node)}: its indices and entries do not match.")
    array[indices_from_zero] = values
    return array


def read_matrix(node: Element) -> np.ndarray:
    """A Matrix element: rows of Array, or MatCell entries; symmetric and diagonal ones filled up."""
    matrix_kind = node.get("kind", "any")
    rows = [numbers(row) for row in children(node, "Array")]
    cells = [(int(number(c, "row")), int(number(c, "col")), c) for c in children(node, "MatCell")]
    size = max([len(rows), *(len(r) for r in rows), *(max(r, c) for r, c, _ in cells), 0])
    height = int(number(node, "nbRows", float(size)))
    width = int(number(node, "nbCols", float(size)))
    fits = size <= max(height, width) and len(rows) <= height and all(len(r) <= width for r in rows)
    inside = all(0 < r <= height and 0 < c <= width for r, c, _ in cells)
    if not (height > 0 and width > 0 and height * width <= 2**22 and fits and inside):
        raise UnreadableFile(f"{describe(node)}: {height} × {width} is out of range.")
    array = np.full((height, width), number(node, "offDiagDefault", 0.0))
    np.fill_diagonal(array, number(node, "diagDefault", 0.0))
    if matrix_kind == "diagonal" and len(rows) == 1:
        np.fill_diagonal(array, rows[0])
    else:
        for index, row in enumerate(rows):
            array[index, : len(row)] = row
    for y, x, cell in cells:
        array[y - 1, x - 1] = to_number(cell.text or "", cell)
    if matrix_kind == "symmetric":
        lower = np.tril(array)
        array = lower + lower.T - np.diag(np.diag(array))
    return array


def inline_table(node: Element) -> list[dict[str, str]]:
    """The rows of the InlineTable below `node`, cells by the name of their column without its prefix. Raises
    UnreadableFile for external tables, and for two cells of one column."""
    inline = child(node, "InlineTable")
    if inline is None:
        raise UnreadableFile(f"{describe(node)} has no InlineTable; tables elsewhere are not fetched.")
    rows = []
    for row in children(inline, "row"):
        cells = {cell.tag: cell.text or "" for cell in row}
        if len(cells) != len(row):
            raise UnreadableFile(f"{describe(row)} has two cells of one column.")
        rows.append(cells)
    return rows


def column(node: Element, name: str, default: str | None = None) -> str:
    """The column of an inline table that an attribute names, without its prefix; required without a
    default."""
    return (text(node, name) if default is None else node.get(name, default)).rpartition(":")[2]


def refuse_expression(node: Element, why: str) -> UnsupportedModel:
    return UnsupportedModel("An expression cannot be read:", [Blocker(node.tag, describe(node), "", why)])
