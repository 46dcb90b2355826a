"""Model elements → hub, a family a file. Handlers take (scope, element) and return a Result."""

from __future__ import annotations

from bridge.ops import OpTable
from bridge_pmml.import_ops import (
    anomaly,
    association,
    bayes,
    clustering,
    corpus,
    general,
    mining,
    neighbors,
    network,
    neural,
    process,
    regression,
    rules,
    scorecard,
    series,
    svm,
    tree,
)

ops = OpTable()
for family in (
    anomaly,
    association,
    bayes,
    clustering,
    corpus,
    general,
    mining,
    neighbors,
    network,
    neural,
    process,
    regression,
    rules,
    scorecard,
    series,
    svm,
    tree,
):
    for rule in family.ops:
        ops.add(rule)
