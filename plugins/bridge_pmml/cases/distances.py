"""Models of distances: clusters, neighbours, Gaussian processes, anomalies."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bridge_pmml.cases.common import active, case, function_of, reads
from bridge_pmml.cases.networks import KERNELS, machine, machines
from bridge_pmml.cases.trees import greater, leaf, less_or_equal, tree

Differences = np.ndarray
MEASURES: dict[str, tuple[str, Callable[[Differences], float]]] = {
    "euclidean": ("<euclidean/>", lambda d: math.sqrt((d * d).sum())),
    "squaredEuclidean": ("<squaredEuclidean/>", lambda d: (d * d).sum()),
    "chebychev": ("<chebychev/>", lambda d: np.abs(d).max()),
    "cityBlock": ("<cityBlock/>", lambda d: np.abs(d).sum()),
    "minkowski": ('<minkowski p-parameter="3"/>', lambda d: (np.abs(d) ** 3).sum() ** (1 / 3)),
}
CENTRES = {"1": (0.0, 0.0), "2": (3.0, 4.0), "3": (-2.0, 1.0)}
RECORD_COLUMNS = {"x": [1, 3, -1.75, 0.5], "z": [0.5, 3, 0.5, 2]}
POINTS = list(zip(RECORD_COLUMNS["x"], RECORD_COLUMNS["z"], strict=True))


def output(name: str, feature: str, attributes: str = "", data_type: str = "double") -> str:
    return (
        f'<OutputField name="{name}" feature="{feature}" optype="continuous" dataType="{data_type}" '
        f"{attributes}/>"
    )


def clusters(
    measure: str,
    kind: str = "distance",
    fields: str = "",
    centres: Any = None,
    attributes: str = "",
    missing: str = "",
) -> str:
    """A ClusteringModel of x and z whose outputs are the nearest cluster's number and how far it is."""
    elements = "".join(
        f'<Cluster id="{name}"><Array n="2" type="real">{" ".join(map(str, c))}</Array></Cluster>'
        for name, c in (centres or CENTRES).items()
    )
    affinities = output("affinity", "affinity") + output("second", "affinity", 'value="2"')
    fields = fields or '<ClusteringField field="x"/><ClusteringField field="z"/>'
    return (
        '<ClusteringModel functionName="clustering" modelClass="centerBased" numberOfClusters="3">'
        f"<MiningSchema>{active('xz')}</MiningSchema><Output>"
        f"{output('cluster', 'predictedValue', data_type='string')}{affinities}</Output>"
        f'<ComparisonMeasure kind="{kind}" {attributes}>{measure}</ComparisonMeasure>'
        f"{fields}{missing}{elements}</ClusteringModel>"
    )


def declare(name: str, text: str, expected: Any = None, ops: str = "ClusteringModel", **columns: Any) -> None:
    case(f"{ops} {name}", ops, text, expected, **columns)


def nearest(table: list[list[float]], most: bool = False) -> list[list[Any]]:
    """The best of each row, and that of the second cluster."""
    return [[(max if most else min)(row) for row in table], [row[1] for row in table]]


for _name, (_measure, _formula) in MEASURES.items():
    _table = [[_formula(np.array(p) - np.array(c)) for c in CENTRES.values()] for p in POINTS]
    declare(_name, clusters(_measure), nearest(_table), **RECORD_COLUMNS)
_names = [
    str(1 + int(np.argmin([MEASURES["euclidean"][1](np.array(p) - np.array(c)) for c in CENTRES.values()])))
    for p in POINTS
]
_table = [[MEASURES["euclidean"][1](np.array(p) - np.array(c)) for c in CENTRES.values()] for p in POINTS]
declare("by name", clusters("<euclidean/>"), [_names, *nearest(_table)], words=True, **RECORD_COLUMNS)

_WEIGHTED = '<ClusteringField field="x" fieldWeight="2"/><ClusteringField field="z" fieldWeight="0.5"/>'
_table = [
    [math.sqrt(2 * (p[0] - c[0]) ** 2 + 0.5 * (p[1] - c[1]) ** 2) for c in CENTRES.values()] for p in POINTS
]
declare("fieldWeight", clusters("<euclidean/>", fields=_WEIGHTED), nearest(_table), **RECORD_COLUMNS)
_COMPARED = (
    '<ClusteringField field="x" compareFunction="{}" {}/>'
    '<ClusteringField field="z" compareFunction="absDiff"/>'
)
_FUNCTIONS: dict[str, tuple[str, Callable[[float], float]]] = {
    "absDiff": ("", abs),
    "gaussSim": ('similarityScale="1.5"', lambda d: math.exp(-math.log(2) * d * d / 1.5**2)),
    "delta": ("", lambda d: float(d != 0)),
    "equal": ("", lambda d: float(d == 0)),
}
for _name, (_attributes, _function) in _FUNCTIONS.items():
    _table = [
        [math.sqrt(_function(p[0] - c[0]) ** 2 + (p[1] - c[1]) ** 2) for c in CENTRES.values()]
        for p in POINTS
    ]
    declare(
        f"compareFunction {_name}",
        clusters("<euclidean/>", fields=_COMPARED.format(_name, _attributes)),
        nearest(_table),
        **RECORD_COLUMNS,
    )
_table = [
    [4 * ((p[0] or 0) ** 2 if c == 0 else ((p[0] or 0) - c) ** 2) for c in (0, 3, -2)] for p in POINTS[:2]
]
_complete = [[(p[0] - c[0]) ** 2 + (p[1] - c[1]) ** 2 for c in CENTRES.values()] for p in POINTS[:2]]
_adjusted = [[(1 + 3) / 1 * (0.5 - c[0]) ** 2 for c in CENTRES.values()]]
declare(
    "MissingValueWeights",
    clusters("<squaredEuclidean/>", missing='<MissingValueWeights><Array n="2" type="real">1 3</Array>'
    '</MissingValueWeights>'),
    nearest([*_complete, *_adjusted]),
    x=[*RECORD_COLUMNS["x"][:2], 0.5],
    z=[*RECORD_COLUMNS["z"][:2], None],
)  # fmt: skip

BITS = {"1": (1, 0), "2": (1, 1), "3": (0, 1)}
RECORDS = [(1, 0), (0, 0), (1, 1), (0, 1)]
SIMILAR: dict[str, tuple[str, Callable[[int, int, int, int], float]]] = {
    "simpleMatching": ("<simpleMatching/>", lambda a, b, c, d: (a + d) / (a + b + c + d)),
    "tanimoto": ("<tanimoto/>", lambda a, b, c, d: (a + d) / (a + 2 * (b + c) + d)),
    "binarySimilarity": (
        '<binarySimilarity c11-parameter="2" c10-parameter="0.5" c01-parameter="0.25" c00-parameter="1" '
        'd11-parameter="1" d10-parameter="2" d01-parameter="3" d00-parameter="4"/>',
        lambda a, b, c, d: (2 * a + 0.5 * b + 0.25 * c + d) / (a + 2 * b + 3 * c + 4 * d),
    ),
    "jaccard": ("<jaccard/>", lambda a, b, c, d: a / (a + b + c)),
}
for _name, (_measure, _likeness) in SIMILAR.items():
    _records = [r for r in RECORDS if any(r)]
    _table = []
    for _record in _records:
        _row = []
        for _centre in BITS.values():
            _both = list(zip(_record, _centre, strict=True))
            _row.append(_likeness(*(_both.count(p) for p in ((1, 1), (1, 0), (0, 1), (0, 0)))))
        _table.append(_row)
    _text = clusters(_measure, "similarity", centres=BITS)
    declare(_name, _text, nearest(_table, True), x=[r[0] for r in _records], z=[r[1] for r in _records])


def comparison_table(columns: str, rows: list[tuple[Any, ...]]) -> str:
    """The TrainingInstances of fields of one letter each."""
    fields = "".join(f'<InstanceField field="{c}" column="{c}"/>' for c in columns)
    elements = "".join(
        "<row>" + "".join(f"<{c}>{v}</{c}>" for c, v in zip(columns, row, strict=True)) + "</row>"
        for row in rows
    )
    return (
        f'<TrainingInstances isTransformed="false"><InstanceFields>{fields}</InstanceFields>'
        f"<InlineTable>{elements}</InlineTable></TrainingInstances>"
    )


INSTANCES = [(0, 0, 1.5, 0), (1, 1, 2.5, 1), (2, -1, 4, 1), (-1, 2, -1, 2), (3, 3, 8, 0)]
QUERIES = {"x": [0.2, 1.6, -0.5], "z": [0.1, -0.3, 1.4]}


def neighbors(target: str, method: str, count: int = 3, measure: str = "<euclidean/>") -> str:
    inputs = '<KNNInputs><KNNInput field="x"/><KNNInput field="z"/></KNNInputs>'
    rows = [(x, z, y if target == "y" else u) for x, z, y, u in INSTANCES]
    return (
        f'<NearestNeighborModel functionName="{function_of(target)}" numberOfNeighbors="{count}" '
        f"{method}>{reads('xz', target)}"
        f'{comparison_table(f"xz{target}", rows)}<ComparisonMeasure kind="distance">{measure}'
        f"</ComparisonMeasure>{inputs}</NearestNeighborModel>"
    )


def nearest_instances(count: int) -> list[list[tuple[float, float, int]]]:
    """Distances, values and classes of the nearest rows."""
    neighbors_of_queries = []
    for x, z in zip(QUERIES["x"], QUERIES["z"], strict=True):
        rows = sorted((math.hypot(x - a, z - b), y, u) for a, b, y, u in INSTANCES)
        neighbors_of_queries.append(rows[:count])
    return neighbors_of_queries


_SCORES: dict[str, Callable[[list[tuple[float, float, int]]], float]] = {
    "average": lambda r: sum(y for _, y, _ in r) / len(r),
    "median": lambda r: sorted(y for _, y, _ in r)[len(r) // 2],
    "weightedAverage": lambda r: (
        sum(y / (d + 0.001) for d, y, _ in r) / sum(1 / (d + 0.001) for d, _, _ in r)
    ),
}
for _name, _score in _SCORES.items():
    _text = neighbors("y", f'continuousScoringMethod="{_name}"')
    declare(_name, _text, [[_score(r) for r in nearest_instances(3)]], "NearestNeighborModel", **QUERIES)
declare(
    "one neighbour",
    neighbors("y", "", 1),
    [[r[0][1] for r in nearest_instances(1)]],
    "NearestNeighborModel",
    **QUERIES,
)
_RANKS = "".join(output(f"a{r}", "affinity", f'rank="{r}"') for r in (1, 2, 3, 4))
_RANKED = neighbors("y", "").replace("</MiningSchema>", f"</MiningSchema><Output>{_RANKS}</Output>")
_DISTANCES = [[d for d, _, _ in r] for r in nearest_instances(3)]
declare(
    "distances by rank",
    _RANKED,
    [
        *map(list, zip(*_DISTANCES, strict=True)),
        [None] * 3,
        [_SCORES["average"](r) for r in nearest_instances(3)],
    ],
    "NearestNeighborModel",
    **QUERIES,
)
for _name in ("majorityVote", "weightedMajorityVote"):
    _rows = []
    for _neighbors in nearest_instances(4):
        _votes = [0.0, 0, 0]
        for _distance, _, _class in _neighbors:
            _votes[_class] += 1 if _name == "majorityVote" else 1 / (_distance + 0.001)
        _rows.append([v / sum(_votes) for v in _votes])
    _text = neighbors("u", f'categoricalScoringMethod="{_name}"', 4)
    _votes_by_class = [[r[0], r[1], r[2]] for r in _rows]
    _rank = (2, 2, 1) if _name == "majorityVote" else (0, 0, 0)
    _winners = [float(max(zip(r, _rank, (0, -1, -2), (0, 1, 2), strict=True))[-1]) for r in _rows]
    _probabilities = [r[int(w)] for r, w in zip(_rows, _winners, strict=True)]
    declare(
        _name,
        _text,
        [_winners, _probabilities, *map(list, zip(*_rows, strict=True))],
        "NearestNeighborModel",
        **QUERIES,
    )

_INSTANCES, _TARGETS = np.array([[0.0, 1], [1, -0.5], [2, 0.25]]), np.array([1.0, 3, 2])
_QUERIES = {"x": [0.5, 1.0, 4], "z": [0, -0.5, 1]}
_PROCESSES: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "RadialBasisKernel": (
        '<RadialBasisKernel gamma="1.5" noiseVariance="0.1" lambda="0.8"/>',
        lambda d: 1.5 * np.exp(-0.5 * (d**2).sum(-1) / 0.8**2),
    ),
    "ARDSquaredExponentialKernel": (
        '<ARDSquaredExponentialKernel gamma="1.5" noiseVariance="0.1"><Lambda>'
        '<Array n="2" type="real">0.8 1.7</Array></Lambda></ARDSquaredExponentialKernel>',
        lambda d: 1.5 * np.exp(-0.5 * ((d / np.array([0.8, 1.7])) ** 2).sum(-1)),
    ),
    "AbsoluteExponentialKernel": (
        '<AbsoluteExponentialKernel gamma="1.5" noiseVariance="0.1"><Lambda>'
        '<Array n="2" type="real">0.8 1.7</Array></Lambda></AbsoluteExponentialKernel>',
        lambda d: 1.5 * np.exp(-(np.abs(d) / np.array([0.8, 1.7])).sum(-1)),
    ),
    "GeneralizedExponentialKernel": (
        '<GeneralizedExponentialKernel gamma="1.5" noiseVariance="0.1" degree="1.3"><Lambda>'
        '<Array n="2" type="real">0.8 1.7</Array></Lambda></GeneralizedExponentialKernel>',
        lambda d: 1.5 * np.exp(-((np.abs(d) / np.array([0.8, 1.7])) ** 1.3).sum(-1)),
    ),
}
for _name, (_element, _kernel) in _PROCESSES.items():
    _rows = [[*k, s] for k, s in zip(_INSTANCES.tolist(), _TARGETS.tolist(), strict=True)]
    _model = (
        '<GaussianProcessModel functionName="regression">'
        f"{reads('xz')}{_element}{comparison_table('xzy', _rows)}</GaussianProcessModel>"
    )
    _gram = _kernel(_INSTANCES[:, None] - _INSTANCES[None]) + 0.1 * np.eye(3)
    _points = np.array(list(zip(_QUERIES["x"], _QUERIES["z"], strict=True)), float)
    _cross = _kernel(_points[:, None] - _INSTANCES[None])
    _mean = _cross @ np.linalg.solve(_gram, _TARGETS)
    declare(_name, _model, [_mean.tolist()], "GaussianProcessModel", **_QUERIES)
    _deviation = np.sqrt(1.5 - np.einsum("ij,jk,ik->i", _cross, np.linalg.inv(_gram), _cross))
    _output = f"</MiningSchema><Output>{output('deviation', 'standardDeviation')}</Output>"
    declare(
        f"{_name} deviation",
        _model.replace("</MiningSchema>", _output),
        [_deviation.tolist(), _mean.tolist()],
        "GaussianProcessModel",
        **_QUERIES,
    )


def anomaly(algorithm_type: str, model: str, attributes: str = "", after: str = "") -> str:
    return (
        f'<AnomalyDetectionModel functionName="regression" algorithmType="{algorithm_type}" {attributes}>'
        f"<MiningSchema>{active('xz')}</MiningSchema>{model}{after}</AnomalyDetectionModel>"
    )


_DEPTHS = "".join(
    f"<Segment><True/>{tree(leaf('a', a, less_or_equal('x', t)) + leaf('b', b, greater('x', t)))}</Segment>"
    for a, b, t in ((1, 5, 0.5), (2, 6, 2.5))
)
_FOREST = (
    f'<MiningModel functionName="regression"><MiningSchema>{active("xz")}</MiningSchema>'
    f'<Segmentation multipleModelMethod="average">{_DEPTHS}</Segmentation></MiningModel>'
)
_PATH_LENGTH = 2 * (math.log(255) + 0.57721566) - 2 * 255 / 256
_MEAN_DEPTHS = [((1 if x <= 0.5 else 5) + (2 if x <= 2.5 else 6)) / 2 for x in RECORD_COLUMNS["x"]]
declare(
    "iforest",
    anomaly("iforest", _FOREST, 'sampleDataSize="256"'),
    [[2 ** (-m / _PATH_LENGTH) for m in _MEAN_DEPTHS]],
    "AnomalyDetectionModel",
    **RECORD_COLUMNS,
)
_MEANS = '<MeanClusterDistances><Array n="3" type="real">1.5 2 0.5</Array></MeanClusterDistances>'
_ROWS = [[MEASURES["euclidean"][1](np.array(p) - np.array(c)) for c in CENTRES.values()] for p in POINTS]
declare(
    "clusterMeanDist",
    anomaly("clusterMeanDist", clusters("<euclidean/>"), after=_MEANS),
    [[min(r) / (1.5, 2, 0.5)[r.index(min(r))] for r in _ROWS]],
    "AnomalyDetectionModel",
    **RECORD_COLUMNS,
)
_MACHINE = machines(KERNELS["radial basis"][0], machine((0.75, 0.25), -0.3)).replace(
    '<MiningField name="y" usageType="target"/>', ""
)
_SCORES_BY_MACHINE = [
    0.75 * math.exp(-0.3 * ((x - 1) ** 2 + (z - 2) ** 2))
    + 0.25 * math.exp(-0.3 * (x**2 + (z + 1) ** 2))
    - 0.3
    for x, z in POINTS
]
for _name in ("ocsvm", "other"):
    declare(_name, anomaly(_name, _MACHINE), [_SCORES_BY_MACHINE], "AnomalyDetectionModel", **RECORD_COLUMNS)
