"""Operators that compute element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge_savedmodel.cases.data import IMAGE, TWO, X, Y, b, f, i


def unary_math(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops
    names = """
        Abs Ceil Cos Cosh Erf Erfc Exp Expm1 Floor Neg Rint Round Sigmoid Sign Sin Sinh Square Tan Tanh Atan
        Asinh"""
    cases: dict[str, tuple] = {n: (lambda x, n=n: getattr(raw, n)(x=x), X) for n in names.split()}
    positive = "Log Log1p Sqrt Rsqrt Reciprocal Inv"
    cases |= {n: (lambda x, n=n: getattr(raw, n)(x=x), f(3, 4, low=0.1)) for n in positive.split()}
    unit = "Acos Asin Atanh"
    cases |= {n: (lambda x, n=n: getattr(raw, n)(x=x), f(3, 4, low=-0.9, high=0.9)) for n in unit.split()}
    features = "Elu Relu Relu6 Selu Softplus Softsign LeakyRelu"
    cases |= {n: (lambda x, n=n: getattr(raw, n)(features=x), X * 4) for n in features.split()}
    special = np.array([np.nan, np.inf, -np.inf, 1.0], np.float32)
    cases |= {n: (lambda x, n=n: getattr(raw, n)(x=x), special) for n in ["IsNan", "IsInf", "IsFinite"]}
    return cases | {
        "Acosh": (lambda x: raw.Acosh(x=x), f(3, 4, low=1.0, high=4.0)),
        "Softmax": (lambda x: raw.Softmax(logits=x), f(2, 3, 4)),
        "LogSoftmax": (lambda x: raw.LogSoftmax(logits=x), X),
        "Invert": (lambda x: raw.Invert(x=x), i(5)),
        "LogicalNot": (lambda x: raw.LogicalNot(x=x), b(5)),
        "Identity": (lambda x: raw.Identity(input=x) + 0, X),
        "Snapshot": (lambda x: raw.Snapshot(input=x) + 0, X),
        "CheckNumerics": (lambda x: raw.CheckNumerics(tensor=x, message="m") + 0, X),
        "StopGradient": (lambda x: tf.stop_gradient(x) + 0, X),
        "ZerosLike": (lambda x: raw.ZerosLike(x=x), X),
        "OnesLike": (lambda x: raw.OnesLike(x=x), X),
        "L2Loss": (lambda x: raw.L2Loss(t=x), X),
        "Cast": (lambda x: raw.Cast(x=x, DstT=tf.int32), X * 3),
        "Bitcast": (lambda x: raw.Bitcast(input=x, type=tf.int32), X),
        "Erf float64": (lambda x: raw.Neg(x=x), X.astype(np.float64)),
    }


def binary_math(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops
    names = """
        Add AddV2 Sub Mul RealDiv Div Maximum Minimum SquaredDifference Greater GreaterEqual Less LessEqual
        Equal"""
    cases: dict[str, tuple] = {
        n: (lambda x, y, n=n: getattr(raw, n)(x=x, y=y), *TWO)
        for n in (names + " NotEqual Atan2 FloorDiv FloorMod TruncateMod").split()
    }
    whole = "FloorDiv FloorMod TruncateDiv TruncateMod BitwiseAnd BitwiseOr BitwiseXor"
    cases |= {
        f"{n} int32": (lambda x, y, n=n: getattr(raw, n)(x=x, y=y), i(20), i(20, low=1))
        for n in whole.split()
    }
    cases |= {
        f"{n} negative": (lambda x, y, n=n: getattr(raw, n)(x=x, y=y), i(20), i(20, low=-5, high=0))
        for n in ["FloorDiv", "FloorMod", "TruncateDiv"]
    }
    zeros = np.array([0, 1, 0, 2], np.float32)
    guarded = "DivNoNan MulNoNan Xdivy"
    cases |= {
        n: (lambda x, y, n=n: getattr(raw, n)(x=x, y=y), zeros, zeros[::-1].copy()) for n in guarded.split()
    }
    return cases | {
        "Pow": (lambda x, y: raw.Pow(x=x, y=y), f(3, 4, low=0.1), Y),
        "Xlogy": (lambda x, y: raw.Xlogy(x=x, y=y), zeros, f(4, low=0.1)),
        "Xlog1py": (lambda x, y: raw.Xlog1py(x=x, y=y), zeros, f(4, low=0.1)),
        "LogicalAnd": (lambda x, y: raw.LogicalAnd(x=x, y=y), b(8), b(8)),
        "LogicalOr": (lambda x, y: raw.LogicalOr(x=x, y=y), b(8), b(8)),
        "LeftShift": (
            lambda x, y: raw.LeftShift(x=x, y=y),
            i(8, low=0, dtype=np.uint32),
            i(8, low=0, high=8, dtype=np.uint32),
        ),
        "LeftShift far": (
            lambda x, y: raw.LeftShift(x=x, y=y),
            i(8, low=-99, high=99, dtype=np.int8),
            i(8, low=-3, high=20, dtype=np.int8),
        ),
        "RightShift far": (
            lambda x, y: raw.RightShift(x=x, y=y),
            i(8, low=0, high=99, dtype=np.uint32),
            i(8, low=20, high=60, dtype=np.uint32),
        ),
        "TruncateDiv of floats": (lambda x, y: raw.TruncateDiv(x=x, y=y), X * 4, f(3, 4, low=0.3)),
        "AddN of whole numbers": (lambda x, y: raw.AddN(inputs=[x, y, x]), i(3, 4), i(3, 4)),
        "LeftShift signed": (
            lambda x, y: raw.LeftShift(x=x, y=y),
            i(8, low=-99, high=99),
            i(8, low=0, high=30),
        ),
        "RightShift signed": (
            lambda x, y: raw.RightShift(x=x, y=y),
            i(8, low=-99, high=99),
            i(8, low=0, high=8),
        ),
        "RightShift long": (
            lambda x, y: raw.RightShift(x=x, y=y),
            i(8, low=-(2**60), high=2**60, dtype=np.int64),
            i(8, low=0, high=60, dtype=np.int64),
        ),
        "RightShift bytes": (
            lambda x, y: raw.RightShift(x=x, y=y),
            i(8, low=-99, high=99, dtype=np.int8),
            i(8, low=0, high=7, dtype=np.int8),
        ),
        "RightShift": (
            lambda x, y: raw.RightShift(x=x, y=y),
            i(8, low=0, high=99, dtype=np.uint32),
            i(8, low=0, high=8, dtype=np.uint32),
        ),
        "ApproximateEqual": (lambda x, y: raw.ApproximateEqual(x=x, y=y, tolerance=0.5), *TWO),
        "AddN": (lambda x, y: raw.AddN(inputs=[x, y, x]), *TWO),
        "BiasAdd": (lambda x, y: raw.BiasAdd(value=x, bias=y), IMAGE, f(3)),
        "BiasAdd NCHW": (lambda x, y: tf.nn.bias_add(tf.transpose(x, [0, 3, 1, 2]), y, "NCHW"), IMAGE, f(3)),
        "Select": (lambda c, x, y: raw.Select(condition=c, x=x, y=y), b(3), *TWO),
        "SelectV2": (lambda c, x, y: raw.SelectV2(condition=c, t=x, e=y), b(4), *TWO),
        "ClipByValue": (lambda x: raw.ClipByValue(t=x, clip_value_min=-1.0, clip_value_max=0.5), X),
        "Cross": (lambda x, y: raw.Cross(a=x, b=y), f(2, 3), f(2, 3)),
        "FakeQuantWithMinMaxArgs": (lambda x: raw.FakeQuantWithMinMaxArgs(inputs=x, min=-1.5, max=1.0), X),
        "FakeQuantWithMinMaxVars": (
            lambda x: raw.FakeQuantWithMinMaxVars(inputs=x, min=-1.0, max=1.0, num_bits=4, narrow_range=True),
            X,
        ),
        "FakeQuantWithMinMaxVarsPerChannel": (
            lambda x: raw.FakeQuantWithMinMaxVarsPerChannel(
                inputs=x, min=np.float32([-1, -2, 0, -1]), max=np.float32([1, 1, 2, 2])
            ),
            X,
        ),
    }
