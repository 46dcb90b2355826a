"""What a program's file promises beyond names and dtypes, as options ask for it or the source had it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from bridge_coreml.options import PROGRAM
from bridge_coreml.reader import read
from build import hub_from_text, model_from_text

import bridge
from bridge.errors import InvalidOption

pytest.importorskip("coremltools")

from bridge_coreml.coremltools_import import coremltools
from coreml_programs import model_of_apple

IMAGE = "g (float[1,3,2,2] x) => (float[1,3,2,2] y) { y = Identity (x) }"
FLEXIBLE = "g (float[N,3,H,W] x) => (float[N,3,H,W] y) { y = Relu (x) }"
SCORES = "g (float[1,3] x) => (float[1,3] y) { y = Softmax (x) }"


def package_of_text(text: str, folder: Path, metadata: dict[str, str] | None = None, **options: Any) -> Path:
    graph = hub_from_text(text)
    graph.metadata_props.update(metadata or {})
    return bridge.save(graph, folder / "m.mlpackage", to="coreml", overwrite=True, **options).path


def description_of(path: Path) -> Any:
    return read(path).message.description


def test_images_are_scaled_and_shifted(tmp_path: Path) -> None:
    path = package_of_text(IMAGE, tmp_path, image_inputs="x:BGR:0.5:1/2/3")
    assert description_of(path).input[0].type.imageType.colorSpace == 30
    pixels = np.full((1, 3, 2, 2), 10, np.float32)
    found = bridge.run(path, {"x": pixels})["y"]
    np.testing.assert_allclose(found[0, :, 0, 0], [6, 7, 8])


def test_dimensions_have_the_ranges_asked_for(tmp_path: Path) -> None:
    path = package_of_text(FLEXIBLE, tmp_path, ranges="N:1..4,H:32..512", upper_bound=99)
    sizes = description_of(path).input[0].type.multiArrayType.shapeRange.sizeRanges
    assert [(r.lowerBound, r.upperBound) for r in sizes] == [(1, 4), (3, 3), (32, 512), (1, 99)]
    assert bridge.load(path).metadata_props["coreml.range.x_2"] == "32..512"


def test_shapes_are_enumerated_and_come_back(tmp_path: Path) -> None:
    path = package_of_text(FLEXIBLE, tmp_path, shapes="x:1x3x8x8|1x3x16x16")
    array = description_of(path).input[0].type.multiArrayType
    listed = [list(s.shape) for s in array.enumeratedShapes.shapes]
    assert listed == [[1, 3, 8, 8], [1, 3, 16, 16]]
    assert list(array.shape) == listed[0]
    again = bridge.convert(path, tmp_path / "n.mlpackage").path
    array = description_of(again).input[0].type.multiArrayType
    assert [list(s.shape) for s in array.enumeratedShapes.shapes] == listed


def test_classes_make_a_classifier(tmp_path: Path) -> None:
    path = package_of_text(SCORES, tmp_path, class_labels="cat,dog,fish")
    described = description_of(path)
    assert described.predictedFeatureName == "classLabel"
    assert [f.type.WhichOneof("Type") for f in described.output] == ["stringType", "dictionaryType"]
    assert bridge.load(path).metadata_props["coreml.classes"] == '["cat", "dog", "fish"]'
    found = bridge.run(path, {"x": np.array([[0, 2, 1]], np.float32)})
    assert list(found) == ["y"]
    assert found["y"].shape == (1, 3)
    again = bridge.convert(path, tmp_path / "n.mlpackage", verify=True).path
    assert description_of(again).predictedFeatureName == "classLabel"
    numbered = package_of_text(SCORES, tmp_path, {"coreml.classes": "[7, 8, 9]"})
    assert description_of(numbered).output[0].type.WhichOneof("Type") == "int64Type"


SAME = [
    ("image_inputs", "x:RGB:0.5:1/2/3,y:a:GRAYSCALE", {"x": "RGB:0.5:1/2/3", "y:a": "GRAYSCALE"}),
    ("ranges", "N:1..4,a:b:2..2", {"N": (1, 4), "a:b": [2, 2]}),
    ("shapes", "x:1x3x8x8|1x3x16x16", {"x": [[1, 3, 8, 8], (1, 3, 16, 16)]}),
    ("class_labels", "cat, dog", ["cat", "dog"]),
    ("keep_float32", "Softmax,head/logits", ["Softmax", "head/logits"]),
    ("precision", "{'keep_float32': ['Softmax']}", {"keep_float32": ["Softmax"]}),
]


@pytest.mark.parametrize(("name", "text", "given"), SAME, ids=[name for name, *_ in SAME])
def test_text_and_objects_of_python_are_one_value(name: str, text: str, given: Any) -> None:
    (option,) = (o for o in PROGRAM if o.name == name)
    assert option.parse(text) == option.parse(given) != option.value


def test_metadata_and_units_are_kept(tmp_path: Path) -> None:
    path = package_of_text(SCORES, tmp_path, {"coreml.author": "Ada"}, compute_units="CPU_ONLY")
    held = description_of(path).metadata
    assert (held.author, held.userDefined["bridge.compute_units"]) == ("Ada", "CPU_ONLY")


@pytest.mark.parametrize(
    "precision", ["float16", {"keep_float32": ["Softmax"]}, '{"keep_float32": ["Softmax"]}']
)
def test_precision_says_what_stays_float32(precision: Any, tmp_path: Path) -> None:
    text = "g (float[1,3] x) => (float[1,3] y) { a = Exp (x) y = Softmax (a) }"
    block = read(package_of_text(text, tmp_path, precision=precision)).message.mlProgram.functions["main"]
    (body,) = block.block_specializations.values()
    kinds = {o.type: o.outputs[0].type.tensorType.dataType for o in body.operations}
    assert (kinds["exp"], kinds["softmax"]) == (10, 10 if precision == "float16" else 11)


@pytest.mark.parametrize(
    "options",
    [
        {"image_inputs": "x:PURPLE"},
        {"image_inputs": "x:RGB:half"},
        {"image_inputs": "nobody:RGB"},
        {"image_inputs": "x:GRAYSCALE"},
        {"ranges": "N:4..1"},
        {"ranges": "Q:1..4"},
        {"shapes": "x:1x2"},
        {"shapes": "x:1x4x8x8"},
        {"class_labels": "one,two"},
        {"precision": "float8"},
        {"precision": {"keep": []}},
        {"compute_units": "TPU"},
        {"image_inputs": ["x:RGB"]},
        {"image_inputs": {"x": 3}},
        {"ranges": {"N": (4, 1)}},
        {"ranges": {"N": 4}},
        {"ranges": "1..4"},
        {"shapes": {"x": [1, 3, 8, 8]}},
        {"shapes": {"x": "8x"}},
        {"class_labels": ["one", 2]},
        {"keep_float32": 3},
        {"precision": {"keep_float32": 3}},
        {"precision": 16},
        {"minimum_deployment_target": "iOS14"},
        {"upper_bound": 0},
        {"upper_bound": 2**63},
        {"ranges": "N:1..9223372036854775808"},
        {"ranges": "N:²..3"},
        {"shapes": "x:²x3x8x8"},
    ],
)
def test_what_cannot_be_is_an_invalid_option(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InvalidOption):
        package_of_text(FLEXIBLE, tmp_path, **options)
    assert not list(tmp_path.iterdir())


QUANTIZED = """g (float[1,2,4,4] x) => (float[1,3,4,4] y)
<float s = {0.1}, int8 z = {3}, int8[3,2,1,1] w = {1, -2, 3, -4, 5, -6}, float[3] ws = {0.1, 0.2, 0.3}> {
    q = QuantizeLinear (x, s, z)
    d = DequantizeLinear (q, s, z)
    f = DequantizeLinear <axis = 0> (w, ws)
    c = Conv (d, f)
    p = QuantizeLinear (c, s, z)
    y = DequantizeLinear (p, s, z)
}"""
BLOCKS = """g (float[2,4] x) => (float[2,2] y)
<int4[4,2] w = {225, 195, 165, 135}, float[2,2] s = {0.1, 0.2, 0.3, 0.4}> {
    f = DequantizeLinear <axis = 0, block_size = 2> (w, s)
    y = MatMul (x, f)
}"""


@pytest.mark.parametrize(
    ("text", "target", "kept"),
    [
        (QUANTIZED, "iOS17", {"quantize": 2, "dequantize": 2, "constexpr_affine_dequantize": 1}),
        (QUANTIZED, "iOS18", {"quantize": 2, "dequantize": 2, "constexpr_blockwise_shift_scale": 1}),
        (BLOCKS, "iOS17", {}),
        (BLOCKS, "iOS18", {"constexpr_blockwise_shift_scale": 1}),
    ],
)
def test_what_is_quantized_stays_so_where_core_ml_can(
    text: str, target: str, kept: dict, tmp_path: Path
) -> None:
    path = package_of_text(text, tmp_path, minimum_deployment_target=target)
    (body,) = read(path).message.mlProgram.functions["main"].block_specializations.values()
    used = Counter(o.type for o in body.operations if "quantize" in o.type or "constexpr" in o.type)
    assert used == kept
    graph = hub_from_text(text)
    assert bridge.verify(graph, path).ok


def test_what_a_newer_target_would_hold_is_told(tmp_path: Path) -> None:
    graph = hub_from_text(QUANTIZED)
    notes = bridge.save(graph, tmp_path / "m.mlpackage", to="coreml").report.notes
    assert "minimum_deployment_target=iOS17 would hold as they are: DequantizeLinear, QuantizeLinear" in notes
    graph = hub_from_text(QUANTIZED)
    newest = bridge.save(graph, tmp_path / "n.mlpackage", to="coreml", minimum_deployment_target="iOS18")
    assert not any("would hold" in note for note in newest.report.notes)


NATIVE = {
    "layer_norm": ("iOS15", "g (float[2,3,8] x) => (float[2,3,8] y) <float[8] s = {1,2,3,4,5,6,7,8}> { y = "
        "LayerNormalization (x, s) }"),
    "gelu": ("iOS15", "g (float[2,8] x) => (float[2,8] y) { y = Gelu (x) }"),
    "scaled_dot_product_attention": (
        "iOS18", "g (float[1,2,4,8] q, float[1,2,4,8] k, float[1,2,4,8] v) => (float[1,2,4,8] y) { y = "
            "Attention (q, k, v) }",
    ),
    "lstm": ("iOS15", "g (float[4,1,3] x) => (float[4,1,1,2] y) { y, h, c = LSTM <hidden_size = 2> (x, w, r) "
        "}"),
    "gru": ("iOS15", "g (float[4,1,3] x) => (float[4,1,1,2] y) { y, h = GRU <hidden_size = 2> (x, w, r) }"),
    "rnn": ("iOS15", "g (float[4,1,3] x) => (float[4,1,1,2] y) { y, h = RNN <hidden_size = 2> (x, w, r) }"),
}  # fmt: skip
GATES = {"lstm": 4, "gru": 3, "rnn": 1}


@pytest.mark.parametrize("operator", NATIVE)
def test_what_core_ml_has_an_operator_of_is_written_as_one(operator: str, tmp_path: Path) -> None:
    target, text = NATIVE[operator]
    graph = ir.from_proto(model_from_text(text, 23))
    rng = np.random.default_rng(0)
    for node in graph.graph:
        for value in node.inputs:
            if value is not None and value.name in ("w", "r"):
                shape = (1, 2 * GATES[operator], 3 if value.name == "w" else 2)
                value.const_value = ir.tensor(
                    rng.normal(size=shape).astype(np.float32) * np.float32(0.3), name=value.name
                )
                graph.graph.register_initializer(value)
    model = bridge.load(graph)
    path = bridge.save(
        model.clone(), tmp_path / "m.mlpackage", to="coreml", minimum_deployment_target=target
    ).path
    (body,) = read(path).message.mlProgram.functions["main"].block_specializations.values()
    assert [o.type for o in body.operations].count(operator) == 1
    assert bridge.verify(model, path).ok


def package_of_apple(folder: Path, build: Any, *specs: Any, **options: Any) -> Path:
    """A package as Apple's converter writes it."""
    model_of_apple(build, *specs, **options).save(str(folder / "apple.mlpackage"))
    return folder / "apple.mlpackage"


def test_images_of_apples_converter_are_pixels_with_their_arithmetic(tmp_path: Path) -> None:
    ct = coremltools()
    from coremltools.converters.mil.mil import Builder as mb

    path = package_of_apple(
        tmp_path, lambda x: mb.add(x=x, y=1.0, name="y"), (1, 3, 2, 2),
        inputs=[
            ct.ImageType(name="x", shape=(1, 3, 2, 2), scale=0.5, bias=[1, 2, 3], color_layout=ct.colorlayout.BGR)
        ],
    )  # fmt: skip
    model = bridge.load(path)
    assert model.metadata_props["coreml.image.x"] == "BGR 2x2"
    found = bridge.run(model, {"x": np.full((1, 3, 2, 2), 10, np.float32)})["y"]
    np.testing.assert_allclose(found[0, :, 0, 0], [7, 8, 9])


def test_shapes_apples_converter_enumerates_are_dimensions_that_vary(tmp_path: Path) -> None:
    ct = coremltools()
    from coremltools.converters.mil.mil import Builder as mb
    from coremltools.converters.mil.mil import get_new_symbol

    path = package_of_apple(
        tmp_path, lambda x: mb.relu(x=x, name="y"), (get_new_symbol(), 3),
        inputs=[ct.TensorType(name="x", shape=ct.EnumeratedShapes([(2, 3), (4, 3)], default=(2, 3)))],
    )  # fmt: skip
    model = bridge.load(path)
    assert [str(d) for d in model.graph.inputs[0].shape] == ["x_0", "3"]
    assert sorted(json.loads(model.metadata_props["coreml.shapes.x"])) == [[2, 3], [4, 3]]
    again = package_of_hub(model, tmp_path)
    listed = description_of(again).input[0].type.multiArrayType.enumeratedShapes.shapes
    assert sorted(list(s.shape) for s in listed) == [[2, 3], [4, 3]]


def test_sizes_of_images_are_dimensions_that_vary(tmp_path: Path) -> None:
    ct = coremltools()
    from coremltools.converters.mil.mil import Builder as mb
    from coremltools.converters.mil.mil import get_new_symbol

    spec = (1, 3, get_new_symbol(), get_new_symbol())
    ranges = ct.Shape((1, 3, ct.RangeDim(8, 64), ct.RangeDim(8, 32)))
    listed = ct.EnumeratedShapes([(1, 3, 8, 8), (1, 3, 16, 8)], default=(1, 3, 8, 8))
    facts = {}
    for name, shape in (("ranges", ranges), ("listed", listed)):
        folder = tmp_path / name
        folder.mkdir()
        image = ct.ImageType(name="x", shape=shape)
        model = bridge.load(package_of_apple(folder, lambda x: mb.relu(x=x, name="y"), spec, inputs=[image]))
        facts[name] = [str(d) for d in model.graph.inputs[0].shape], model.metadata_props
    assert facts["ranges"][0] == ["1", "3", "x_2", "x_3"]
    assert facts["ranges"][1]["coreml.range.x_2"] == "8..64"
    assert facts["ranges"][1]["coreml.range.x_3"] == "8..32"
    assert sorted(json.loads(facts["listed"][1]["coreml.shapes.x"])) == [[1, 3, 8, 8], [1, 3, 16, 8]]


def package_of_hub(model: ir.Model, folder: Path) -> Path:
    return bridge.save(model, folder / "again.mlpackage", to="coreml").path


def test_a_function_of_several_is_chosen_by_name(tmp_path: Path) -> None:
    ct = coremltools()
    from coremltools.converters.mil.mil import Builder as mb

    def times(factor: float) -> Any:
        return lambda x: mb.mul(x=x, y=factor, name="y")

    several = ct.utils.MultiFunctionDescriptor()
    for name, factor in (("twice", 2.0), ("thrice", 3.0)):
        folder = tmp_path / name
        folder.mkdir()
        path = package_of_apple(folder, times(factor), (3,), target="iOS18")
        several.add_function(str(path), src_function_name="main", target_function_name=name)
    several.default_function_name = "twice"
    ct.utils.save_multifunction(several, str(tmp_path / "both.mlpackage"))
    x = np.float32([1, 2, 3])
    for options, factor in (({}, 2), ({"function": "twice"}, 2), ({"function": "thrice"}, 3)):
        found = bridge.run(bridge.load(tmp_path / "both.mlpackage", **options), {"x": x})
        np.testing.assert_allclose(next(iter(found.values())), x * factor)
    with pytest.raises(InvalidOption, match="It has: thrice, twice"):
        bridge.load(tmp_path / "both.mlpackage", function="main")
