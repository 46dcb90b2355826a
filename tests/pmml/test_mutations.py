"""Whatever is done to a document, it is read, or refused by a typed error, soon."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from documents import BASKET_FIELDS, MODELS, association_model, document
from lxml import etree

import bridge
from bridge.errors import BridgeError

SHARED = Path(os.environ.get("BRIDGE_PMML", Path(__file__).parents[3] / "shared" / "models" / "pmml"))
COUNT = int(os.environ.get("BRIDGE_MUTATIONS", "25"))
SECONDS = 20.0
VALUES = (
    "",
    "0",
    "-1",
    "1e999",
    "-1e999",
    "NaN",
    "2147483648",
    "99999999999999999999",
    "true",
    "no_such",
    "\u00e9",
    "1 2",
    "1.5",
)
WORDS = (
    "x",
    "y",
    "sum",
    "none",
    "softmax",
    "equal",
    "isIn",
    "closedOpen",
    "categorical",
    "string",
    "continuous",
    "double",
    "boolean",
)

DOCUMENTS = {
    **{name: document(text) for name, text in MODELS.items()},
    "association": document(association_model('<OutputField name="r" feature="rule"/>'), BASKET_FIELDS),
}
FILES = [p for p in sorted(SHARED.rglob("*.*ml")) if p.stat().st_size < 40_000] if SHARED.is_dir() else []


def mutate(content: bytes, rng: Any) -> bytes:
    """One to three changes: an element left out, doubled, moved, renamed or emptied; an attribute left out or
    changed; bytes flipped or cut."""
    try:
        root = etree.fromstring(content)
    except etree.XMLSyntaxError:
        return content
    for _ in range(int(rng.integers(1, 4))):
        nodes = [n for n in root.iter(etree.Element) if n is not root]
        if nodes:
            change_element(nodes[int(rng.integers(len(nodes)))], nodes, rng)
    raw = bytearray(etree.tostring(root))
    if rng.random() < 0.1:
        at = int(rng.integers(len(raw)))
        raw[at] ^= 1 << int(rng.integers(8))
    if rng.random() < 0.05:
        del raw[int(rng.integers(len(raw))) :]
    return bytes(raw)


def change_element(node: Any, nodes: list, rng: Any) -> None:
    kind, parent = int(rng.integers(8)), node.getparent()
    other = nodes[int(rng.integers(len(nodes)))]
    names = list(node.attrib)
    name = names[int(rng.integers(len(names)))] if names else ""
    if kind == 0 and parent is not None:
        parent.remove(node)
    elif kind == 1 and parent is not None:
        parent.insert(
            int(rng.integers(len(parent) + 1)), etree.fromstring(etree.tostring(node, with_tail=False))
        )
    elif kind == 2 and other not in [node, *node.iterancestors(), *node.iter()]:
        other.append(node)
    elif kind == 3:
        node.tag = other.tag
    elif kind == 4:
        node.text = str(rng.choice([*VALUES, *WORDS]))
    elif name and kind == 5:
        del node.attrib[name]
    elif name:
        node.set(
            name, str(rng.choice([*VALUES, *WORDS, *(v for n in nodes[:50] for v in n.attrib.values())]))
        )


def assert_survives(content: bytes, seed: int, path: Path, named: bool = True) -> None:
    """Nothing but BridgeErrors come out; with `named`, those that say what is wrong in the document's own
    words."""
    for number in range(COUNT):
        path.write_bytes(mutate(content, np.random.default_rng((seed, number))))
        start = time.process_time()
        try:
            bridge.load(path, source="pmml")
        except BridgeError as error:
            message = str(error)
            assert not named or "is not a valid PMML document: " not in message, (
                f"mutation {number}: {message}"
            )
        assert time.process_time() - start < SECONDS, f"mutation {number} took too long"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_mutated_documents_are_read_or_refused_by_name(name, tmp_path):
    assert_survives(DOCUMENTS[name].encode(), 1, tmp_path / "model.pmml")


@pytest.mark.skipif(not FILES or COUNT < 100, reason="long; asked for with BRIDGE_MUTATIONS=200")
@pytest.mark.parametrize("file", FILES, ids=lambda p: p.name)
def test_mutated_files_are_read_or_refused(file, tmp_path):
    assert_survives(file.read_bytes(), 2, tmp_path / "model.pmml", named=False)
