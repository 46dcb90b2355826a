"""Files made to do harm, and how each ends: one row a file. None runs anything, fills the memory or hangs.

Every file is converted in a worker process, as one of many is.
"""

from __future__ import annotations

import gzip
import io
import json
import pickle
import re
import struct
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from build import hub_from_text, model_from_text
from onnx import TensorProto, helper

import bridge
from bridge import workers
from bridge.batch import convert_one

HERE = Path(__file__).parent
MNIST = (HERE / "models" / "mnist.onnx").read_bytes()
SECONDS = 60
MEMORY = 3_000_000
"""Kilobytes a worker may have taken at most, TensorFlow and torch included."""
HUGE = 2**40

Made = bytes | onnx.ModelProto | dict[str, bytes]
"""A file, or the files of a folder by their names."""


# ONNX


def text(graph: str, **constants: np.ndarray) -> onnx.ModelProto:
    return model_from_text(graph, ml=3, **constants)


def edited(change: Callable[[onnx.ModelProto], object]) -> onnx.ModelProto:
    """The digits model, changed."""
    model = onnx.load_from_string(MNIST)
    change(model)
    return model


def outside(location: str, length: int = 4) -> onnx.ModelProto:
    """A model whose weight lies in another file."""
    model = text("(float[1] x) => (float[1] y) { y = Add (x, w) }", w=np.ones(1, np.float32))
    (weight,) = model.graph.initializer
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "length": str(length)}.items():
        weight.external_data.add(key=key, value=value)
    return model


def calling(*calls: str) -> onnx.ModelProto:
    """A model of a function F that calls these."""
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("d", 1)]
    nodes = [helper.make_node(op, ["x"], [f"v{i}"], domain="d") for i, op in enumerate(calls)]
    model = text("(float[1] x) => (float[1] y) { y = Identity (x) }")
    model.graph.node[0].op_type, model.graph.node[0].domain = "F", "d"
    model.opset_import.append(opsets[1])
    model.functions.append(helper.make_function("d", "F", ["x"], ["v0"], nodes, opsets))
    return model


def tree(**attributes: object) -> onnx.ModelProto:
    """A model of one tree of three nodes, changed."""
    plain = {
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [0, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_values": [0.5, 0.0, 0.0],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        "target_treeids": [0, 0],
        "target_nodeids": [1, 2],
        "target_ids": [0, 0],
        "target_weights": [1.0, 2.0],
        "n_targets": 1,
    }
    model = text("(float[n,2] x) => (float[n,1] y) { y = Identity (x) }")
    node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **plain | attributes)
    del model.graph.node[:]
    model.graph.node.append(node)
    return model


def branch(node: onnx.NodeProto, result: str) -> onnx.GraphProto:
    return helper.make_graph([node], "b", [], [helper.make_tensor_value_info(result, TensorProto.FLOAT, [1])])


def nested_branches(depth: int) -> onnx.ModelProto:
    """If in If in If."""
    inner = branch(helper.make_node("Identity", ["x"], ["v"]), "v")
    for level in range(depth):
        other = branch(helper.make_node("Neg", ["x"], [f"n{level}"]), f"n{level}")
        node = helper.make_node("If", ["c"], [f"v{level}"], then_branch=inner, else_branch=other)
        inner = branch(node, f"v{level}")
    model = text("(float[1] x, bool c) => (float[1] y) { y = Identity (x) }")
    model.graph.node.insert(0, inner.node[0])
    return model


def add_bytes_as_name(model: onnx.ModelProto) -> onnx.ModelProto:
    raw = model.SerializeToString().replace(b"Plus214_Output_0", b"Plus214\xff\xfeutput_0")
    return onnx.ModelProto.FromString(raw)


def weights_of(model: onnx.ModelProto) -> TensorProto:
    return max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))


def grow(op: str, *operands: str, **constants: np.ndarray) -> onnx.ModelProto:
    listed = ", ".join(operands)
    return text(
        f"(float[1] x) => (float y) {{ b = {op} ({listed}) y = ReduceMax <keepdims=0> (b) }}", **constants
    )


LOOP = """
(float[1] x) => (float[1] y) {
  y = Loop (n, t, x) <body = b (int64 i, bool go, float[1] s) => (bool on, float[1] r) {
    on = Identity (go) r = Add (s, s) }>
}
"""
THREE_OPERANDS = helper.make_node("Resize", ["Plus214_Output_0"] * 3, ["nowhere"], mode="nearest")
ONNX: dict[str, Callable[[], Made]] = {
    "nothing": lambda: b"",
    "noise": lambda: np.random.default_rng(0).bytes(5000),
    "cut short": lambda: MNIST[: len(MNIST) // 2],
    "a length of 2^63": lambda: b"\x08\x08\x3a" + b"\xff" * 9 + b"\x01" + MNIST[:100],
    "Expand to 2^40": lambda: grow("Expand", "x", "s", s=np.array([HUGE])),
    "ConstantOfShape of 2^40": lambda: grow("ConstantOfShape", "s", s=np.array([HUGE])),
    "Tile by 2^40": lambda: grow("Tile", "x", "s", s=np.array([HUGE])),
    "Pad by 2^40": lambda: grow("Pad", "x", "s", s=np.array([HUGE, HUGE])),
    "Range of 10^13": lambda: grow(
        "Range", "a", "b0", "c", a=np.float32(0), b0=np.float32(1e13), c=np.float32(1)
    ),
    "OneHot of 2^40": lambda: grow(
        "OneHot", "i", "d", "v", i=np.array([0]), d=np.array(HUGE), v=np.array([0, 1], np.float32)
    ),
    "Loop of 2^62": lambda: text(LOOP, n=np.array(2**62), t=np.array(True)),
    "a function that calls itself": lambda: calling("F"),
    "a function nobody defined": lambda: calling("G"),
    "branches in branches": lambda: nested_branches(28),
    "weights outside the folder": lambda: outside("../../../../etc/passwd"),
    "weights at a path": lambda: outside("/etc/passwd"),
    "weights of a device": lambda: outside("/dev/zero", 2**40),
    "weights that are not there": lambda: outside("none.data"),
    "more weights declared than held": lambda: edited(lambda m: weights_of(m).dims.append(HUGE)),
    "a negative length of a weight": lambda: edited(lambda m: weights_of(m).dims.append(-1)),
    "a weight of no dtype": lambda: edited(lambda m: setattr(weights_of(m), "data_type", 99)),
    "a weight in the wrong field": lambda: edited(
        lambda m: (weights_of(m).ClearField("raw_data"), weights_of(m).int64_data.append(1))
    ),
    "nodes in a circle": lambda: text(
        "(float[1] x) => (float[1] y) { a = Add (x, b) b = Neg (a) y = Neg (b) }"
    ),
    "two values of a name": lambda: text("(float[1] x) => (float[1] y) { y = Neg (x) y = Abs (x) }"),
    "an operator before its opset": lambda: edited(
        lambda m: (setattr(m.opset_import[0], "version", 1), m.graph.node[1].CopyFrom(THREE_OPERANDS))
    ),
    "two inputs of a name": lambda: text("(float[1] x, float[1] x) => (float[1] y) { y = Neg (x) }"),
    "an output that nothing makes": lambda: edited(lambda m: setattr(m.graph.output[0], "name", "nowhere")),
    "an output without a name": lambda: edited(lambda m: setattr(m.graph.output[0], "name", "")),
    "an input without a name": lambda: edited(lambda m: setattr(m.graph.input[0], "name", "")),
    "a value that nothing makes": lambda: edited(lambda m: m.graph.node[1].input.__setitem__(0, "nowhere")),
    "a name that is no text": lambda: add_bytes_as_name(onnx.load_from_string(MNIST)),
    "an opset of 2^60": lambda: edited(lambda m: setattr(m.opset_import[0], "version", 2**60)),
    "an operator without operands": lambda: edited(lambda m: m.graph.node[0].ClearField("input")),
    "an attribute of another type": lambda: edited(
        lambda m: m.graph.node[1].attribute[0].CopyFrom(helper.make_attribute("kernel_shape", "big"))
    ),
    "a window of no size": lambda: text(
        "(float[1,1,4,4] x) => (float[1,1,n,m] y) { y = MaxPool <kernel_shape=[0,0]> (x) }"
    ),
    "a step of nothing": lambda: grow(
        "Slice",
        *("x", "a", "b0", "c", "d"),
        **{n: np.array([v]) for n, v in {"a": 0, "b0": 1, "c": 0, "d": 0}.items()},
    ),
    "Resize by 10^13": lambda: grow("Resize", "x", "", "s", s=np.array([1e13], np.float32)),
    "Einsum of two for one": lambda: text(
        '(float[2,2] x) => (float[2,2] y) { y = Einsum <equation="ij,jk->ik"> (x) }'
    ),
    "a tree that runs in a circle": lambda: tree(nodes_truenodeids=[0, 0, 0]),
    "a tree of one threshold": lambda: tree(nodes_values=[0.5]),
    "a tree whose branches meet": lambda: tree(nodes_falsenodeids=[1, 0, 0]),
    "a tree that leads nowhere": lambda: tree(nodes_truenodeids=[7, 0, 0]),
    "a tree told of in part": lambda: tree(nodes_modes=["BRANCH_LEQ", "LEAF"]),
    "a tree that reads column 2^31": lambda: tree(nodes_featureids=[2**31 - 1, 0, 0]),
    "a weight of no leaf": lambda: tree(target_nodeids=[1, 9]),
}


# Other formats


def written(suffix: str, to: str) -> bytes | dict[str, bytes]:
    """A small model in a format."""
    import tempfile

    graph = "(float[1,4] x) => (float[1,4] y) { a = Relu (x) y = MatMul (a, w) }"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"m{suffix}"
        bridge.save(hub_from_text(graph, w=np.ones((4, 4), np.float32)), path, to=to)
        if path.is_file():
            return path.read_bytes()
        return {f.relative_to(path).as_posix(): f.read_bytes() for f in path.rglob("*") if f.is_file()}


def flatbuffer(change: Callable[[bytearray], object]) -> bytes:
    raw = bytearray(written(".tflite", "tflite"))  # type: ignore[arg-type]
    change(raw)
    return bytes(raw)


def point_far(raw: bytearray) -> None:
    raw[0:4] = struct.pack("<I", 0x7FFFFFF0)


def every_length_huge(raw: bytearray) -> None:
    for at in range(8, len(raw) - 4, 4):
        if struct.unpack_from("<I", raw, at)[0] == 4:
            struct.pack_into("<I", raw, at, 0x7FFFFFFF)


def archive(change: Callable[[dict[str, bytes]], object], packing: int = zipfile.ZIP_STORED) -> bytes:
    """A TorchScript archive, its records changed."""
    with zipfile.ZipFile(io.BytesIO(written(".pt", "torchscript"))) as whole:  # type: ignore[arg-type]
        records = {name: whole.read(name) for name in whole.namelist()}
    change(records)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packing) as changed:
        for name, content in records.items():
            changed.writestr(name, content)
    return file.getvalue()


def named(records: dict[str, bytes], end: str) -> str:
    return next(name for name in records if name.endswith(end))


class Evil:
    """Unpickled, it makes a file."""

    def __reduce__(self) -> tuple:
        return (open, ("/tmp/bridge-was-here", "w"))


def replace(end: str, content: Callable[[bytes], bytes]) -> Callable[[dict[str, bytes]], None]:
    def change(records: dict[str, bytes]) -> None:
        records[named(records, end)] = content(records[named(records, end)])

    return change


def drop(end: str) -> Callable[[dict[str, bytes]], None]:
    return lambda records: records.__delitem__(named(records, end))  # type: ignore[return-value]


def graph_of(op: str) -> Callable[[], Made]:
    """A SavedModel whose answer an operator of TensorFlow makes."""

    def make() -> Made:
        from tensorflow.core.protobuf import saved_model_pb2

        files = written("", "savedmodel")
        assert isinstance(files, dict)
        model = saved_model_pb2.SavedModel.FromString(files["saved_model.pb"])
        for function in model.meta_graphs[0].graph_def.library.function:
            for node in function.node_def:
                node.op = op if node.op in ("Relu", "MatMul") else node.op
        return files | {"saved_model.pb": model.SerializeToString()}

    return make


def pmml(body: str, head: str = "") -> bytes:
    fields = '<DataDictionary><DataField name="x" optype="continuous" dataType="double"/></DataDictionary>'
    return f'{head}<PMML version="4.4" xmlns="http://www.dmg.org/PMML-4_4">{fields}{body}</PMML>'.encode()


LAUGHS = (
    "<!DOCTYPE p ["
    + "".join(f'<!ENTITY a{i + 1} "{f"&a{i};" * 10}">' if i else '<!ENTITY a1 "ha">' for i in range(12))
    + "]>"
)
OUTSIDE = '<!DOCTYPE p [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
MODEL = (
    '<TreeModel functionName="regression"><MiningSchema><MiningField name="x"/></MiningSchema>{}</TreeModel>'
)
CALLS_ITSELF = (
    '<TransformationDictionary><DefineFunction name="f" optype="continuous"><ParameterField name="a"/>'
    '<Apply function="f"><FieldRef field="a"/></Apply></DefineFunction>'
    '<DerivedField name="z" optype="continuous" dataType="double"><Apply function="f"><FieldRef field="x"/></Apply>'
    "</DerivedField></TransformationDictionary>"
)
SPLIT = (
    '<Node><True/><Node score="1"><SimplePredicate field="z" operator="lessThan" value="1"/></Node>'
    '<Node score="2"><True/></Node></Node>'
)


def booster(**tree: object) -> bytes:
    """An XGBoost model of one tree of three nodes, changed."""
    plain = {
        "base_weights": [0.0, 1.0, 2.0],
        "categories": [],
        "categories_nodes": [],
        "categories_segments": [],
        "categories_sizes": [],
        "default_left": [0, 0, 0],
        "id": 0,
        "left_children": [1, -1, -1],
        "right_children": [2, -1, -1],
        "parents": [2147483647, 0, 0],
        "split_conditions": [0.5, 1.0, 2.0],
        "split_indices": [0, 0, 0],
        "split_type": [0, 0, 0],
        "sum_hessian": [2.0, 1.0, 1.0],
        "loss_changes": [1.0, 0.0, 0.0],
        "tree_param": {"num_nodes": "3", "num_feature": "2", "size_leaf_vector": "1", "num_deleted": "0"},
    }
    model = {
        "gbtree_model_param": {"num_trees": "1", "num_parallel_tree": "1"},
        "tree_info": [0],
        "trees": [plain | tree],
    }
    learner = {
        "attributes": {},
        "feature_names": [],
        "feature_types": [],
        "gradient_booster": {"name": "gbtree", "model": model},
        "learner_model_param": {
            "base_score": "5E-1",
            "num_class": "0",
            "num_feature": "2",
            "num_target": "1",
            "boost_from_average": "1",
        },
        "objective": {"name": "reg:squarederror", "reg_loss_param": {"scale_pos_weight": "1"}},
    }
    return json.dumps({"learner": learner, "version": [3, 0, 0]}).encode()


def zipped(names: list[str], content: bytes = MNIST) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as whole:
        for name in names:
            whole.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


def core_ml(change: Callable[[dict[str, bytes]], object]) -> Made:
    files = written(".mlpackage", "coreml")
    assert isinstance(files, dict)
    change(files)
    return files


TFLITE: dict[str, Callable[[], Made]] = {
    "cut short": lambda: flatbuffer(lambda raw: raw.__delitem__(slice(len(raw) // 2, None))),
    "a root far away": lambda: flatbuffer(point_far),
    "lengths of 2^31": lambda: flatbuffer(every_length_huge),
}
TORCHSCRIPT: dict[str, Callable[[], Made]] = {
    "cut short": lambda: written(".pt", "torchscript")[:400],  # type: ignore[index]
    "a pickle that acts": lambda: archive(replace("data.pkl", lambda _: pickle.dumps(Evil(), 2))),
    "no pickle": lambda: archive(drop("data.pkl")),
    "no code": lambda: archive(drop("__torch__.py")),
    "code that imports": lambda: archive(replace("__torch__.py", lambda code: b"import os\n" + code)),
    "code of 10^5 brackets": lambda: archive(
        replace("__torch__.py", lambda code: code.replace(b"return ", b"return " + b"(" * 10**5))
    ),
    "code that unpacks to 100 MB": lambda: archive(
        replace("__torch__.py", lambda code: code + b" " * 10**8), zipfile.ZIP_DEFLATED
    ),
    "a weight cut short": lambda: archive(replace("data/0", lambda raw: raw[:4])),
}
SAVEDMODEL: dict[str, Callable[[], Made]] = {
    "PyFunc": graph_of("PyFunc"),
    "ReadFile": graph_of("ReadFile"),
    "WriteFile": graph_of("WriteFile"),
    "an operator nobody knows": graph_of("NoSuchOperator"),
    "noise": lambda: {"saved_model.pb": b"\x08\x01" + np.random.default_rng(0).bytes(500)},
}
PMML: dict[str, Callable[[], Made]] = {
    "an entity of a file": lambda: pmml(MODEL.format("&a;"), OUTSIDE),
    "a billion laughs": lambda: pmml(MODEL.format("&a12;"), LAUGHS),
    "a function that calls itself": lambda: pmml(CALLS_ITSELF + MODEL.format(SPLIT)),
    "nodes 10^5 deep": lambda: pmml(MODEL.format("<Node>" * 10**5 + "</Node>" * 10**5)),
    "a tree without a root": lambda: pmml(MODEL.format("")),
}
COREML: dict[str, Callable[[], Made]] = {
    "a manifest of another file": lambda: core_ml(
        replace("Manifest.json", lambda raw: re.sub(rb'"path": "[^"]*"', b'"path": "../../etc/passwd"', raw))
    ),
    "no weights": lambda: core_ml(drop("weight.bin")),
    "weights cut short": lambda: core_ml(replace("weight.bin", lambda raw: raw[:70])),
    "noise": lambda: core_ml(replace("model.mlmodel", lambda raw: raw[:50] + bytes(50) + raw[60:])),
}
XGBOOST: dict[str, Callable[[], Made]] = {
    "a tree that runs in a circle": lambda: booster(left_children=[0, -1, -1]),
    "a tree that leads nowhere": lambda: booster(left_children=[9, -1, -1]),
    "a tree told of in part": lambda: booster(split_conditions=[0.5]),
    "a column of 2^31": lambda: booster(split_indices=[2**31, 0, 0]),
    "a column of 0.16": lambda: booster(split_indices=[0.16, 0, 0]),
    "a column that is true": lambda: booster(split_indices=[True, 0, 0]),
    "a node of 1.5": lambda: booster(left_children=[1.5, -1, -1]),
    "a category that is a word": lambda: booster(
        split_type=[1, 0, 0],
        categories=["no_such"],
        categories_nodes=[0],
        categories_segments=[0],
        categories_sizes=[1],
    ),
    "brackets 10^5 deep": lambda: b'{"learner":' + b"[" * 10**5,
}
ARCHIVES: dict[str, Callable[[], Made]] = {
    "a member outside": lambda: zipped(["../../out.onnx"]),
    "a member at a path": lambda: zipped(["/tmp/out.onnx"]),
    "no model": lambda: zipped(["readme.txt"], b"hello"),
    "an archive in an archive": lambda: gzip.compress(gzip.compress(MNIST)),
    "cut short": lambda: gzip.compress(MNIST)[:-500],
}
PICKLES: dict[str, Callable[[], Made]] = {"a pickle that acts": lambda: pickle.dumps(Evil())}

FILES: dict[str, dict[str, Callable[[], Made]]] = {
    ".onnx": ONNX,
    ".tflite": TFLITE,
    ".pt": TORCHSCRIPT,
    "": SAVEDMODEL,
    ".pmml": PMML,
    ".mlpackage": COREML,
    ".json": XGBOOST,
    ".zip": ARCHIVES,
    ".pkl": PICKLES,
}
OTHERWISE = {
    **{
        (".onnx", name): "TooLarge"
        for name in ONNX
        if name.endswith(("2^40", "10^13", "2^62")) and not name.startswith("a")
    },
    (".onnx", "a function nobody defined"): "UnsupportedModel",
    (".onnx", "branches in branches"): "converted",
    (".pt", "code that imports"): "converted",
    (".pt", "no code"): "UnsupportedModel",
    **{("", name): "UnsupportedModel" for name in SAVEDMODEL if name != "noise"},
    (".zip", "an archive in an archive"): "UnknownFormat",
}
"""How files end that are not simply unreadable."""
ROWS = [(suffix, name) for suffix, files in FILES.items() for name in files]


@pytest.fixture(scope="module", autouse=True)
def workers_of_this_module() -> Iterator[None]:
    yield
    for worker in workers._idle:
        status = Path(f"/proc/{worker.process.pid}/status")
        if status.exists():
            peak = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())
            assert peak is not None
            assert int(peak[1]) < MEMORY


def place(made: Made, path: Path) -> Path:
    if isinstance(made, dict):
        for name, content in made.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    else:
        path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    return path


@pytest.mark.parametrize(("suffix", "name"), ROWS, ids=[f"{s or 'savedmodel'}: {n}" for s, n in ROWS])
def test_a_file_made_to_do_harm(suffix: str, name: str, tmp_path: Path) -> None:
    path = place(FILES[suffix][name](), tmp_path / f"m{suffix}")
    target = "tflite" if suffix != ".tflite" else "onnx"
    start = time.monotonic()
    done = convert_one(str(path), str(tmp_path / f"out.{target}"), {"to": target, "verify": True})
    assert done.outcome == OTHERWISE.get((suffix, name), "UnreadableFile"), done.message
    assert time.monotonic() - start < SECONDS
    assert not Path("/tmp/bridge-was-here").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        {path.name, *([f"out.{target}"] if done.ok else [])}
    )


def test_there_are_sixty_of_them() -> None:
    assert len(ROWS) >= 60
