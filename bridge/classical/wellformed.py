"""Trees and numbers of classical models held against what they are, before anything walks them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.classical.trees import LEAF, MEMBER, MODES, node_keys
from bridge.errors import UnreadableFile
from bridge.hub import attr, integers

__all__ = ["require_wellformed"]

NODES = ("nodes_nodeids", "nodes_modes", "nodes_truenodeids", "nodes_falsenodeids", "nodes_featureids")


def require_wellformed(model: ir.Model) -> None:
    """Raise UnreadableFile for a tree whose nodes are told of incompletely, lead to none, or lead to one
    another in a circle or twice; for coefficients that are not as many for each class."""
    for node in hub.all_nodes(model):
        if node.domain == "ai.onnx.ml" and (problem := _problem(node)):
            raise UnreadableFile(f"{node.op_type} {node.name}: {problem}.", "Is the file complete?")


def _problem(node: ir.Node) -> str:
    """Fault of a classical operator, in words; empty where nothing is."""
    if node.op_type == "TreeEnsemble":
        return _sets_problem(node) or _column_problem(node)
    if node.op_type.startswith("TreeEnsemble"):
        return _nodes_problem(node) or _leaf_problem(node) or _column_problem(node)
    return _linear_problem(node) if node.op_type in ("LinearClassifier", "LinearRegressor") else ""


def _linear_problem(node: ir.Node) -> str:
    """Fault of coefficients, as many for each class or target as there are columns."""
    count, intercepts = len(attr(node, "coefficients") or ()), attr(node, "intercepts")
    labels = attr(node, "classlabels_ints") or attr(node, "classlabels_strings") or ()
    likely = [len(intercepts)] if intercepts else [len(labels) or attr(node, "targets") or 1, 1]
    width = _width(node)
    if count and any(count % scores == 0 and width in (None, count // scores) for scores in likely):
        return ""
    return (
        f"it has {count} coefficients for {likely[0]} scores of {'its' if width is None else width} columns"
    )


def _width(node: ir.Node) -> int | None:
    """Columns of the operand, where they are known."""
    shape = node.inputs[0].shape if node.inputs and node.inputs[0] is not None else None
    width = shape[-1] if shape is not None and len(shape) else None
    return width if isinstance(width, int) else None


def _column_problem(node: ir.Node) -> str:
    """Fault of the columns that nodes read."""
    columns, width = integers(node, "nodes_featureids"), _width(node)
    least, most = columns.min(initial=0), columns.max(initial=0)
    if least < 0 or (width is not None and most >= width):
        return f"it reads column {least if least < 0 else most}, which is not there"
    return ""


def _nodes_problem(node: ir.Node) -> str:
    """Fault of trees whose nodes are numbered tree by tree."""
    trees = np.array(attr(node, "nodes_treeids") or [], np.int64)
    told = {name: attr(node, name) or () for name in NODES}
    counts = {name: len(values) for name, values in told.items()}
    values = attr(node, "nodes_values_as_tensor")
    counts["nodes_values"] = len(attr(node, "nodes_values") or ()) if values is None else values.size
    if not counts["nodes_values"] and {*told["nodes_modes"]} == {LEAF}:
        del counts["nodes_values"]
    if tracks := attr(node, "nodes_missing_value_tracks_true"):
        counts["nodes_missing_value_tracks_true"] = len(tracks)
    short = next((name for name, count in counts.items() if count != len(trees)), "")
    if short or not len(trees):
        return f"{short or 'nodes_treeids'} is not told of every node"
    modes = np.array([str(mode) for mode in told["nodes_modes"]])
    if strange := {*modes.tolist()} - {*MODES[:MEMBER], LEAF}:
        return f"{min(strange)!r} is no mode of a node"
    ids = np.array(told["nodes_nodeids"], np.int64)
    inner = modes != LEAF
    if ids.min() < 0 or ids.max() >= 2**31 or trees.min() < 0 or trees.max() >= 2**31:
        return "the number of a node or tree is out of range"
    keys = node_keys(trees, ids)
    order = np.argsort(keys, kind="stable")
    if (np.diff(keys[order]) == 0).any():
        return "two nodes of a tree have the same number"
    children = []
    for name in NODES[2:4]:
        numbers = np.array(told[name], np.int64)[inner]
        if numbers.size and (numbers.min() < 0 or numbers.max() >= 2**31):
            return "a node leads to one that is not there"
        wanted = node_keys(trees[inner], numbers)
        places = np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)
        children.append(order[places])
        if (keys[children[-1]] != wanted).any():
            return "a node leads to one that is not there"
    _, roots = np.unique(trees, return_index=True)
    return _circle(len(trees), np.concatenate(children), roots)


def _circle(count: int, children: np.ndarray, roots: np.ndarray) -> str:
    """Fault of nodes where one is the child of two, or a root of any."""
    parents = np.bincount(children, minlength=count)
    if parents.max(initial=0) > 1 or parents[roots].any():
        return "its nodes lead to one another in a circle, or twice to the same"
    return ""


def _leaf_problem(node: ir.Node) -> str:
    """Fault of the weights of leaves."""
    stem = "class" if node.op_type == "TreeEnsembleClassifier" else "target"
    counts = {len(attr(node, f"{stem}_{name}") or ()) for name in ("treeids", "nodeids", "ids")}
    weights = attr(node, f"{stem}_weights_as_tensor")
    counts.add(weights.size if weights is not None else len(attr(node, f"{stem}_weights") or ()))
    if len(counts) > 1:
        return "the weights of its leaves are told of incompletely"
    labels = attr(node, "classlabels_int64s") or attr(node, "classlabels_strings") or ()
    targets, known = attr(node, f"{stem}_ids") or (0,), len(labels) or attr(node, "n_targets", 1)
    if min(targets) < 0 or max(targets) >= known:
        return f"a weight is that of a {stem} that is not there"
    trees, ids = (np.array(attr(node, f"{stem}_{name}") or (), np.int64) for name in ("treeids", "nodeids"))
    keys = node_keys(attr(node, "nodes_treeids"), attr(node, "nodes_nodeids"))
    inside = (trees >= 0) & (trees < 2**31) & (ids >= 0) & (ids < 2**31)
    if not inside.all() or not np.isin(node_keys(trees, ids), keys).all():
        return "a weight is that of a leaf that is not there"
    return ""


def _sets_problem(node: ir.Node) -> str:
    """Fault of trees whose nodes and leaves are numbered through."""
    inner, leaves = len(integers(node, "nodes_featureids")), len(integers(node, "leaf_targetids"))
    told = {name: integers(node, name) for name in ("nodes_trueleafs", "nodes_falseleafs", *NODES[2:4])}
    sizes = [len(values) for values in told.values()]
    sizes += [attr(node, name).size for name in ("nodes_splits", "nodes_modes")]
    if set(sizes) != {inner} or attr(node, "leaf_weights").size != leaves:
        return "a node or leaf is told of incompletely"
    nodes, ends = [], []
    for word in ("true", "false"):
        leads, leaf = told[f"nodes_{word}nodeids"], told[f"nodes_{word}leafs"] == 1
        bounds = np.where(leaf, leaves, inner)
        if ((leads < 0) | (leads >= bounds)).any():
            return "a node leads to one that is not there"
        nodes.append(leads[~leaf])
        ends.append(leads[leaf])
    roots = integers(node, "tree_roots")
    if not roots.size or (roots < 0).any() or (roots >= max(inner, 1)).any():
        return "a tree begins at a node that is not there"
    return _circle(inner, np.concatenate(nodes), roots) if inner else ""
