"""NeuralNetwork and SupportVectorMachineModel: activations, normalizations, kernels, ways to decide."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bridge_pmml.cases.common import case, reads

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


def derived(inside: str, optype: str = "continuous", kind: str = "double") -> str:
    return f'<DerivedField optype="{optype}" dataType="{kind}">{inside}</DerivedField>'


def ref(name: str) -> str:
    return derived(f'<FieldRef field="{name}"/>')


def inputs(*expressions: str) -> str:
    held = "".join(f'<NeuralInput id="i{n}">{e}</NeuralInput>' for n, e in enumerate(expressions))
    return f"<NeuralInputs>{held}</NeuralInputs>"


def layer(neurons: dict[str, tuple[float, dict[str, float]]], attributes: str = "") -> str:
    """Neurons by id: bias and weights."""
    held = "".join(
        f'<Neuron id="{name}" bias="{bias}">'
        + "".join(f'<Con from="{s}" weight="{w}"/>' for s, w in cons.items())
        + "</Neuron>"
        for name, (bias, cons) in neurons.items()
    )
    return f"<NeuralLayer {attributes}>{held}</NeuralLayer>"


def outputs(**expressions: str) -> str:
    held = "".join(f'<NeuralOutput outputNeuron="{n}">{e}</NeuralOutput>' for n, e in expressions.items())
    return f"<NeuralOutputs>{held}</NeuralOutputs>"


def network(inside: str, activation: str, attributes: str = "", target: str = "y", names: str = "x") -> str:
    function = "regression" if target == "y" else "classification"
    return (
        f'<NeuralNetwork functionName="{function}" activationFunction="{activation}" {attributes}>'
        f"{reads(names, target)}{inside}</NeuralNetwork>"
    )


def declare(name: str, text: str, want: Any = None, **columns: Any) -> None:
    case(f"NeuralNetwork {name}", "NeuralNetwork", text, want, **columns)


SCALED = derived(
    '<NormContinuous field="y"><LinearNorm orig="0" norm="-1"/>'
    '<LinearNorm orig="10" norm="1"/></NormContinuous>'
)
XS = [0.3, -0.7, 1.25, None]
for _name, _function in ACTIVATIONS.items():
    _inside = inputs(ref("x")) + layer({"h": (0.25, {"i0": 2})}) + outputs(h=SCALED)
    _want = [None if x is None else (_function(2 * x + 0.25) + 1) * 5 for x in XS]
    declare(_name, network(_inside, _name, 'threshold="0.5"'), [_want], x=XS)

HIDDEN = layer({"h0": (0.25, {"i0": 2, "i1": -1}), "h1": (-0.5, {"i0": 0.5, "i1": 1})})
POINTS = {"x": [0.3, -0.7, 1.25], "z": [1, -0.25, 0.5]}


def hidden(x: float, z: float) -> tuple[float, float]:
    return math.tanh(0.25 + 2 * x - z), math.tanh(-0.5 + 0.5 * x + z)


_OUT = layer({"o": (0.1, {"h0": 1.5, "h1": -0.75})}, 'activationFunction="identity"')
_TWO = [hidden(x, z) for x, z in zip(POINTS["x"], POINTS["z"], strict=True)]
declare(
    "two layers",
    network(inputs(ref("x"), ref("z")) + HIDDEN + _OUT + outputs(o=ref("y")), "tanh", names="xz"),
    [[0.1 + 1.5 * a - 0.75 * b for a, b in _TWO]],
    **POINTS,
)
_SKIP = layer({"o": (0.1, {"h0": 1.5, "i1": -0.75})}, 'activationFunction="identity"')
declare(
    "connections over a layer",
    network(inputs(ref("x"), ref("z")) + HIDDEN + _SKIP + outputs(o=ref("y")), "tanh", names="xz"),
    [[0.1 + 1.5 * a - 0.75 * z for (a, _), z in zip(_TWO, POINTS["z"], strict=True)]],
    **POINTS,
)
_ONE_HOT = [derived(f'<NormDiscrete field="n" value="{v}"/>') for v in (1, 2, 3)]
declare(
    "of categories",
    network(
        inputs(*_ONE_HOT) + layer({"o": (0.5, {"i0": 1, "i1": 2, "i2": -3})}) + outputs(o=ref("y")),
        "identity",
        names="n",
    ),
    [[1.5, 2.5, -2.5]],
    n=[1, 2, 3],
)
_NORMED = derived(
    '<NormContinuous field="x"><LinearNorm orig="-1" norm="0"/>'
    '<LinearNorm orig="3" norm="1"/></NormContinuous>'
)
declare(
    "of normalized numbers",
    network(inputs(_NORMED) + layer({"o": (0, {"i0": 4})}) + outputs(o=ref("y")), "identity"),
    [[x + 1 for x in XS if x is not None]],
    x=XS[:-1],
)


def classes(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    """Class, highest probability, probabilities of the classes."""
    return [[float(np.argmax(r)) for r in rows], [max(r) for r in rows], *map(list, zip(*rows, strict=True))]


_SCORES = {
    f"o{i}": (b, {"h0": w, "h1": v})
    for i, (b, w, v) in enumerate(((0.1, 1, 0.5), (0.4, -1, 2), (0.3, 0.2, 0.1)))
}
_SAID = [[b + c["h0"] * p + c["h1"] * q for b, c in _SCORES.values()] for p, q in _TWO]
_LABELS = {
    f"o{i}": derived(f'<NormDiscrete field="u" value="{i}"/>', "categorical", "integer") for i in range(3)
}
for _method, _activation in (("softmax", "identity"), ("simplemax", "exponential"), ("none", "logistic")):
    _last = layer(_SCORES, f'activationFunction="{_activation}" normalizationMethod="{_method}"')
    _text = network(
        inputs(ref("x"), ref("z")) + HIDDEN + _last + outputs(**_LABELS), "tanh", target="u", names="xz"
    )
    _rows = [
        [ACTIVATIONS["logistic" if _method == "none" else "exponential"](s) for s in row] for row in _SAID
    ]
    _rows = _rows if _method == "none" else [[v / sum(r) for v in r] for r in _rows]
    declare(f"classes {_method}", _text, classes(_rows), **POINTS)
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
    network(inputs(ref("x"), ref("z")) + _RADIAL + _OUT + outputs(o=ref("y")), "identity", names="xz"),
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
    kernel: str, inside: str, target: str = "y", attributes: str = "", dictionary: str = DICTIONARY
) -> str:
    function = "regression" if target == "y" else "classification"
    return (
        f'<SupportVectorMachineModel functionName="{function}" {attributes}>'
        f"{reads('xz', target)}{kernel}{dictionary}{inside}</SupportVectorMachineModel>"
    )


def supported(name: str, text: str, want: Any = None, **columns: Any) -> None:
    case(f"SupportVectorMachineModel {name}", "SupportVectorMachineModel", text, want, **columns)


AT = {"x": [0.5, -1, 2, 0.1], "z": [1.5, 0.25, -1, 0.2]}


def value(kernel: str, weights: tuple[float, float], bias: float) -> list[float]:
    function = KERNELS[kernel][1]
    points = [np.array(p, float) for p in zip(AT["x"], AT["z"], strict=True)]
    return [
        sum(w * function(p, q) for w, q in zip(weights, VECTORS.values(), strict=True)) + bias for p in points
    ]


for _name, (_kernel, _) in KERNELS.items():
    _text = machines(_kernel, machine((2, -3), 0.25))
    supported(_name, _text, [[*value(_name, (2, -3), 0.25), None]], x=[*AT["x"], None], z=[*AT["z"], 1])
_COEFFICIENTS = (
    '<SupportVectorMachine><Coefficients absoluteValue="0.5"><Coefficient value="2"/>'
    '<Coefficient value="-1"/></Coefficients>'
    "</SupportVectorMachine>"
)
_FIELDS_ALONE = (
    '<VectorDictionary><VectorFields><FieldRef field="x"/><FieldRef field="z"/>'
    "</VectorFields></VectorDictionary>"
)
supported(
    "of coefficients",
    machines("<LinearKernelType/>", _COEFFICIENTS, "y", 'svmRepresentation="Coefficients"', _FIELDS_ALONE),
    [[0.5 + 2 * x - z for x, z in zip(AT["x"], AT["z"], strict=True)]],
    **AT,
)
_RBF = KERNELS["radial basis"][0]
_GIVEN = (((1, -1), 0.2), ((-0.5, 2), -0.3), ((0.25, -0.75), 0.1))
_VALUES = [value("radial basis", w, b) for w, b in _GIVEN]
for _most, _sense in itertools.product((False, True), (1,)):
    _inside = machine(*_GIVEN[0], 'targetCategory="0" alternateTargetCategory="1"')
    _text = machines(_RBF, _inside, "t", f'maxWins="{str(_most).lower()}" threshold="0.15"')
    _wins = [(v > 0.15) == _most for v in _VALUES[0]]
    _said = [[0.0 if w else 1.0 for w in _wins]]
    supported(f"two classes{' maxWins' * _most}", _text, _said, **AT)
    _all = "".join(machine(*g, f'targetCategory="{i}"') for i, g in enumerate(_GIVEN))
    _text = machines(_RBF, _all, "u", f'classificationMethod="OneAgainstAll" maxWins="{str(_most).lower()}"')
    _pick = np.argmax if _most else np.argmin
    _said = [[float(v) for v in _pick(np.array(_VALUES), axis=0)]]
    supported(f"OneAgainstAll{' maxWins' * _most}", _text, _said, **AT)
    _pairs = ((0, 1), (0, 2), (1, 2))
    _all = "".join(
        machine(*g, f'targetCategory="{a}" alternateTargetCategory="{b}"')
        for (a, b), g in zip(_pairs, _GIVEN, strict=True)
    )
    _text = machines(_RBF, _all, "u", f'classificationMethod="OneAgainstOne" maxWins="{str(_most).lower()}"')
    _votes = np.zeros((4, 3))
    for (_a, _b), _row in zip(_pairs, _VALUES, strict=True):
        for _at, _v in enumerate(_row):
            _votes[_at, _a if (_v > 0) == _most else _b] += 1
    supported(f"OneAgainstOne{' maxWins' * _most}", _text, classes((_votes / 3).tolist()), **AT)
