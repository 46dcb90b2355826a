"""Model elements → hub, a family a file. Handlers take (scope, element) and return a Result."""

from __future__ import annotations

from bridge.ops import OpTable
from bridge_pmml.import_ops import (
    anomaly,
    association,
    bayes,
    clustering,
    general,
    mining,
    neighbors,
    network,
    neural,
    process,
    regression,
    rules,
    scorecard,
    svm,
    tree,
)

ops = OpTable("PMML import")
for family in (
    anomaly,
    association,
    bayes,
    clustering,
    general,
    mining,
    neighbors,
    network,
    neural,
    process,
    regression,
    rules,
    scorecard,
    svm,
    tree,
):
    for rule in family.ops:
        ops.add(rule)
