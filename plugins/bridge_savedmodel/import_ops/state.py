"""Variables: reading, assignment, scattered updates."""

from __future__ import annotations

import numpy as np

from bridge.hub import rank_of
from bridge.importing import as_int64, like
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import T, unsupported
from bridge_savedmodel.import_ops.index import update_slice
from bridge_savedmodel.variables import Variable

ops = OpTable()

HANDLE = condition("a variable of the model", lambda n: isinstance(n.inputs[0], Variable))


@ops.op("ReadVariableOp", needs=(HANDLE,))
def read_variable(op, node, variable):
    return variable.read()


@ops.op("VariableShape", needs=(HANDLE,))
def variable_shape(op, node, variable):
    shape = np.array(variable.read().shape, np.int32)
    return op.const(shape if node.get("out_type") == T.INT32 else shape.astype(np.int64))


@ops.op("DisableCopyOnRead", "VarIsInitializedOp", "IsVariableInitialized")
def initialized(op, node, variable):
    return op.const(np.array(True))


@ops.op("AssignVariableOp", "Assign", needs=(HANDLE,))
def assign(op, node, variable, value):
    return variable.write(value)


@ops.op("AssignAddVariableOp", "AssignAdd", needs=(HANDLE,))
def assign_add(op, node, variable, value):
    return variable.write(op.Add(variable.read(), value))


@ops.op("AssignSubVariableOp", "AssignSub", needs=(HANDLE,))
def assign_sub(op, node, variable, value):
    return variable.write(op.Sub(variable.read(), value))


REDUCTIONS = {"Update": "none", "Add": "add", "Sub": "add", "Mul": "mul", "Min": "min", "Max": "max"}
ROW_SCATTERS = [f"{p}Scatter{k}" for p in ("Resource", "") for k in REDUCTIONS]
ELEMENT_SCATTERS = [f"{p}ScatterNd{k}" for p in ("Resource", "") for k in REDUCTIONS if k != "Mul"]


@ops.op(*ROW_SCATTERS, *ELEMENT_SCATTERS, needs=(HANDLE,))
def scatter(op, node, variable, indices, updates):
    """Replace or reduce rows, or elements at indices; a scalar update applies to all of them."""
    by_coordinates = "ScatterNd" in node.op
    reduction = node.op.split("ScatterNd" if by_coordinates else "Scatter")[1]
    current, coordinates = variable.read(), as_int64(op, indices)
    coordinates = coordinates if by_coordinates else op.Unsqueeze(coordinates, np.array([-1]))
    if rank_of(updates) == 0:
        rows = op.Gather(current, as_int64(op, indices), axis=0)
        updates = op.Expand(updates, op.Shape(rows))
    updates = op.Sub(like(op, updates, 0), updates) if reduction == "Sub" else updates
    return variable.write(op.ScatterND(current, coordinates, updates, reduction=REDUCTIONS[reduction]))


@ops.op("ResourceStridedSliceAssign", "StridedSliceAssign", needs=(HANDLE,))
def assign_slice(op, node, variable, begin, end, strides, value):
    updated = update_slice(op, node, variable.read(), begin, end, strides, value)
    return updated if updated is NotImplemented else variable.write(updated)


TRAINING = unsupported("a model that is not trained as it runs: export its inference function")


TRAINERS = (
    "AdaMax Adadelta Adagrad Adam AddSign CenteredRMSProp Ftrl GradientDescent Momentum PowerSign RMSProp"
)


@ops.op(
    *(f"{p}Apply{k}" for p in ("Resource", "") for k in TRAINERS.split()),
    "ResourceApplyKerasMomentum",
    "ResourceApplyAdagradV2",
    "ResourceApplyAdamWithAmsgrad",
    needs=(TRAINING,),
)
def training_step(op, node, *inputs):
    return NotImplemented


WRITES = frozenset(
    rule.op
    for rule in ops
    if rule.handler in (assign, assign_add, assign_sub, scatter, assign_slice, training_step)
) | {"LookupTableInsertV2", "LookupTableRemoveV2", "LookupTableImportV2"}
REFERENCES = frozenset(
    name for name in WRITES if not name.startswith("Resource") and not name.endswith("VariableOp")
)
