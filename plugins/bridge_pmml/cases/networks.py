"""NeuralNetwork and SupportVectorMachineModel: activations, normalizations, kernels, ways to decide."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bridge_pmml.cases.common import case, class_outputs, function_of, reads

ACTIVATIONS: dict[str, Callable[[float], float]] = {
    "logistic": lambda v: 1 / (1 + math.exp(-v)),
    "tanh": math.tanh,
    "identity": lambda v: v,
    "exponential": math.exp,
    "reciprocal": lambda v: 1 / v,
    "square": lambda v: v * v,
    "Gauss": lambda v: math.exp(-v * v),
    "sine": math.sin,
    "cosine": math.cos,
    "Elliott": lambda v: v / (1 + abs(v)),
    "arctan": lambda v: 2 * math.atan(v) / math.pi,
    "rectifier": lambda v: max(0.0, v),
    "threshold": lambda v: float(v > 0.5),
}


def derived_field(content: str, optype: str = "continuous", data_type: str = "double") -> str:
    return f'<DerivedField optype="{optype}" dataType="{data_type}">{content}</DerivedField>'


def field_ref(name: str) -> str:
    return derived_field(f'<FieldRef field="{name}"/>')


def inputs(*expressions: str) -> str:
    elements = "".join(f'<NeuralInput id="i{n}">{e}</NeuralInput>' for n, e in enumerate(expressions))
    return f"<NeuralInputs>{elements}</NeuralInputs>"


def layer(neurons: dict[str, tuple[float, dict[str, float]]], attributes: str = "") -> str:
    """Neurons by id: bias and weights."""
    elements = "".join(
        f'<Neuron id="{name}" bias="{bias}">'
        + "".join(f'<Con from="{source}" weight="{w}"/>' for source, w in weights.items())
        + "</Neuron>"
        for name, (bias, weights) in neurons.items()
    )
    return f"<NeuralLayer {attributes}>{elements}</NeuralLayer>"


def outputs(**expressions: str) -> str:
    elements = "".join(f'<NeuralOutput outputNeuron="{n}">{e}</NeuralOutput>' for n, e in expressions.items())
    return f"<NeuralOutputs>{elements}</NeuralOutputs>"


def network(content: str, activation: str, attributes: str = "", target: str = "y", names: str = "x") -> str:
    return (
        f'<NeuralNetwork functionName="{function_of(target)}" activationFunction="{activation}" {attributes}>'
        f"{reads(names, target)}{content}</NeuralNetwork>"
    )


def declare(name: str, text: str, expected: Any = None, **columns: Any) -> None:
    case(f"NeuralNetwork {name}", "NeuralNetwork", text, expected, **columns)


SCALED = derived_field(
    '<NormContinuous field="y"><LinearNorm orig="0" norm="-1"/>'
    '<LinearNorm orig="10" norm="1"/></NormContinuous>'
)
XS = [0.3, -0.7, 1.25, None]
for _name, _function in ACTIVATIONS.items():
    _content = inputs(field_ref("x")) + layer({"h": (0.25, {"i0": 2})}) + outputs(h=SCALED)
    _expected = [None if x is None else (_function(2 * x + 0.25) + 1) * 5 for x in XS]
    declare(_name, network(_content, _name, 'threshold="0.5"'), [_expected], x=XS)

HIDDEN = layer({"h0": (0.25, {"i0": 2, "i1": -1}), "h1": (-0.5, {"i0": 0.5, "i1": 1})})
POINTS = {"x": [0.3, -0.7, 1.25], "z": [1, -0.25, 0.5]}


def hidden(x: float, z: float) -> tuple[float, float]:
    return math.tanh(0.25 + 2 * x - z), math.tanh(-0.5 + 0.5 * x + z)


_OUT = layer({"o": (0.1, {"h0": 1.5, "h1": -0.75})}, 'activationFunction="identity"')
_TWO = [hidden(x, z) for x, z in zip(POINTS["x"], POINTS["z"], strict=True)]
declare(
    "two layers",
    network(
        inputs(field_ref("x"), field_ref("z")) + HIDDEN + _OUT + outputs(o=field_ref("y")), "tanh", names="xz"
    ),
    [[0.1 + 1.5 * a - 0.75 * b for a, b in _TWO]],
    **POINTS,
)
_SKIP = layer({"o": (0.1, {"h0": 1.5, "i1": -0.75})}, 'activationFunction="identity"')
declare(
    "connections over a layer",
    network(
        inputs(field_ref("x"), field_ref("z")) + HIDDEN + _SKIP + outputs(o=field_ref("y")),
        "tanh",
        names="xz",
    ),
    [[0.1 + 1.5 * a - 0.75 * z for (a, _), z in zip(_TWO, POINTS["z"], strict=True)]],
    **POINTS,
)
_ONE_HOT = [derived_field(f'<NormDiscrete field="n" value="{v}"/>') for v in (1, 2, 3)]
declare(
    "of categories",
    network(
        inputs(*_ONE_HOT) + layer({"o": (0.5, {"i0": 1, "i1": 2, "i2": -3})}) + outputs(o=field_ref("y")),
        "identity",
        names="n",
    ),
    [[1.5, 2.5, -2.5]],
    n=[1, 2, 3],
)
_NORMED = derived_field(
    '<NormContinuous field="x"><LinearNorm orig="-1" norm="0"/>'
    '<LinearNorm orig="3" norm="1"/></NormContinuous>'
)
declare(
    "of normalized numbers",
    network(inputs(_NORMED) + layer({"o": (0, {"i0": 4})}) + outputs(o=field_ref("y")), "identity"),
    [[x + 1 for x in XS if x is not None]],
    x=XS[:-1],
)


_SCORES = {
    f"o{i}": (b, {"h0": w, "h1": v})
    for i, (b, w, v) in enumerate(((0.1, 1, 0.5), (0.4, -1, 2), (0.3, 0.2, 0.1)))
}
_LAST_SCORES = [[b + c["h0"] * p + c["h1"] * q for b, c in _SCORES.values()] for p, q in _TWO]
_LABELS = {
    f"o{i}": derived_field(f'<NormDiscrete field="u" value="{i}"/>', "categorical", "integer")
    for i in range(3)
}
for _method, _activation in (("softmax", "identity"), ("simplemax", "exponential"), ("none", "logistic")):
    _last = layer(_SCORES, f'activationFunction="{_activation}" normalizationMethod="{_method}"')
    _text = network(
        inputs(field_ref("x"), field_ref("z")) + HIDDEN + _last + outputs(**_LABELS),
        "tanh",
        target="u",
        names="xz",
    )
    _rows = [
        [ACTIVATIONS["logistic" if _method == "none" else "exponential"](source) for source in row]
        for row in _LAST_SCORES
    ]
    _rows = _rows if _method == "none" else [[v / sum(r) for v in r] for r in _rows]
    declare(f"classes {_method}", _text, class_outputs(_rows), **POINTS)
_RADIAL = (
    '<NeuralLayer activationFunction="radialBasis" width="0.8" altitude="1.5">'
    '<Neuron id="h0"><Con from="i0" weight="0.5"/>'
    '<Con from="i1" weight="-0.25"/></Neuron><Neuron id="h1" width="2" altitude="1">'
    '<Con from="i0" weight="-1"/>'
    '<Con from="i1" weight="1"/></Neuron></NeuralLayer>'
)
_BASES = [
    (
        math.exp(2 * math.log(1.5) - ((x - 0.5) ** 2 + (z + 0.25) ** 2) / (2 * 0.8**2)),
        math.exp(-((x + 1) ** 2 + (z - 1) ** 2) / (2 * 2**2)),
    )
    for x, z in zip(POINTS["x"], POINTS["z"], strict=True)
]
declare(
    "radialBasis",
    network(
        inputs(field_ref("x"), field_ref("z")) + _RADIAL + _OUT + outputs(o=field_ref("y")),
        "identity",
        names="xz",
    ),
    [[0.1 + 1.5 * a - 0.75 * b for a, b in _BASES]],
    **POINTS,
)

Vector = np.ndarray
KERNELS: dict[str, tuple[str, Callable[[Vector, Vector], float]]] = {
    "linear": ("<LinearKernelType/>", lambda p, q: p @ q),
    "polynomial": (
        '<PolynomialKernelType gamma="0.5" coef0="1.5" degree="3"/>',
        lambda p, q: (0.5 * (p @ q) + 1.5) ** 3,
    ),
    "radial basis": (
        '<RadialBasisKernelType gamma="0.3"/>',
        lambda p, q: math.exp(-0.3 * ((p - q) @ (p - q))),
    ),
    "sigmoid": (
        '<SigmoidKernelType gamma="0.5" coef0="0.1"/>',
        lambda p, q: math.tanh(0.5 * (p @ q) + 0.1),
    ),
}
VECTORS = {"u": np.array([1.0, 2]), "v": np.array([0.0, -1])}
DICTIONARY = (
    '<VectorDictionary><VectorFields><FieldRef field="x"/><FieldRef field="z"/></VectorFields>'
    '<VectorInstance id="u"><Array n="2" type="real">1 2</Array></VectorInstance>'
    '<VectorInstance id="v"><REAL-SparseArray n="2"><Indices>2</Indices><REAL-Entries>-1</REAL-Entries>'
    "</REAL-SparseArray></VectorInstance>"
    "</VectorDictionary>"
)


def machine(weights: tuple[float, float], bias: float, attributes: str = "") -> str:
    supports = '<SupportVectors><SupportVector vectorId="u"/><SupportVector vectorId="v"/></SupportVectors>'
    coefficients = "".join(f'<Coefficient value="{w}"/>' for w in weights)
    return (
        f'<SupportVectorMachine {attributes}>{supports}<Coefficients absoluteValue="{bias}">'
        f"{coefficients}</Coefficients></SupportVectorMachine>"
    )


def machines(
    kernel: str, content: str, target: str = "y", attributes: str = "", dictionary: str = DICTIONARY
) -> str:
    return (
        f'<SupportVectorMachineModel functionName="{function_of(target)}" {attributes}>'
        f"{reads('xz', target)}{kernel}{dictionary}{content}</SupportVectorMachineModel>"
    )


def declare_machine(name: str, text: str, expected: Any = None, **columns: Any) -> None:
    case(f"SupportVectorMachineModel {name}", "SupportVectorMachineModel", text, expected, **columns)


RECORD_COLUMNS = {"x": [0.5, -1, 2, 0.1], "z": [1.5, 0.25, -1, 0.2]}


def value(kernel: str, weights: tuple[float, float], bias: float) -> list[float]:
    function = KERNELS[kernel][1]
    points = [np.array(p, float) for p in zip(RECORD_COLUMNS["x"], RECORD_COLUMNS["z"], strict=True)]
    return [
        sum(w * function(p, q) for w, q in zip(weights, VECTORS.values(), strict=True)) + bias for p in points
    ]


for _name, (_kernel, _) in KERNELS.items():
    _text = machines(_kernel, machine((2, -3), 0.25))
    declare_machine(
        _name,
        _text,
        [[*value(_name, (2, -3), 0.25), None]],
        x=[*RECORD_COLUMNS["x"], None],
        z=[*RECORD_COLUMNS["z"], 1],
    )
_COEFFICIENTS = (
    '<SupportVectorMachine><Coefficients absoluteValue="0.5"><Coefficient value="2"/>'
    '<Coefficient value="-1"/></Coefficients>'
    "</SupportVectorMachine>"
)
_FIELDS_ALONE = (
    '<VectorDictionary><VectorFields><FieldRef field="x"/><FieldRef field="z"/>'
    "</VectorFields></VectorDictionary>"
)
declare_machine(
    "of coefficients",
    machines("<LinearKernelType/>", _COEFFICIENTS, "y", 'svmRepresentation="Coefficients"', _FIELDS_ALONE),
    [[0.5 + 2 * x - z for x, z in zip(RECORD_COLUMNS["x"], RECORD_COLUMNS["z"], strict=True)]],
    **RECORD_COLUMNS,
)
_RBF = KERNELS["radial basis"][0]
_MACHINES = (((1, -1), 0.2), ((-0.5, 2), -0.3), ((0.25, -0.75), 0.1))
_VALUES = [value("radial basis", w, b) for w, b in _MACHINES]
for _max_wins in (False, True):
    _content = machine(*_MACHINES[0], 'targetCategory="0" alternateTargetCategory="1"')
    _text = machines(_RBF, _content, "t", f'maxWins="{str(_max_wins).lower()}" threshold="0.15"')
    _wins = [(v > 0.15) == _max_wins for v in _VALUES[0]]
    _other_class = [0.0 if w else 1.0 for w in _wins]
    declare_machine(f"two classes{' maxWins' * _max_wins}", _text, [_other_class], **RECORD_COLUMNS)
    _machines = "".join(machine(*g, f'targetCategory="{i}"') for i, g in enumerate(_MACHINES))
    _text = machines(
        _RBF, _machines, "u", f'classificationMethod="OneAgainstAll" maxWins="{str(_max_wins).lower()}"'
    )
    _choose = np.argmax if _max_wins else np.argmin
    _extreme = [float(v) for v in _choose(np.array(_VALUES), axis=0)]
    declare_machine(f"OneAgainstAll{' maxWins' * _max_wins}", _text, [_extreme], **RECORD_COLUMNS)
    _pairs = ((0, 1), (0, 2), (1, 2))
    _machines = "".join(
        machine(*g, f'targetCategory="{a}" alternateTargetCategory="{b}"')
        for (a, b), g in zip(_pairs, _MACHINES, strict=True)
    )
    _text = machines(
        _RBF, _machines, "u", f'classificationMethod="OneAgainstOne" maxWins="{str(_max_wins).lower()}"'
    )
    _votes = np.zeros((4, 3))
    for (_a, _b), _row in zip(_pairs, _VALUES, strict=True):
        for _record, _v in enumerate(_row):
            _votes[_record, _a if (_v > 0) == _max_wins else _b] += 1
    declare_machine(
        f"OneAgainstOne{' maxWins' * _max_wins}",
        _text,
        class_outputs((_votes / 3).tolist()),
        **RECORD_COLUMNS,
    )
