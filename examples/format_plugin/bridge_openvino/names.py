"""Operators that mean the same and differ in name alone: hub name → OpenVINO's."""

UNARY = {
    "Acos": "Acos", "Acosh": "Acosh", "Asin": "Asin", "Asinh": "Asinh", "Atan": "Atan", "Atanh": "Atanh",
    "Ceil": "Ceiling", "Cos": "Cos", "Cosh": "Cosh", "Erf": "Erf", "Exp": "Exp", "Floor": "Floor",
    "HardSwish": "HSwish", "Log": "Log", "Mish": "Mish", "Relu": "ReLU", "Sigmoid": "Sigmoid", "Sin": "Sin",
    "Sinh": "Sinh", "Softplus": "SoftPlus", "Softsign": "SoftSign", "Sqrt": "Sqrt", "Tan": "Tan",
    "Tanh": "Tanh", "IsNaN": "IsNaN",
}  # fmt: skip
NUMERIC = {"Abs": "Abs", "Neg": "Negative", "Sign": "Sign"}
LOGICAL = {"And": "LogicalAnd", "Or": "LogicalOr", "Xor": "LogicalXor"}
ARITHMETIC = {"Add": "Add", "Sub": "Subtract", "Mul": "Multiply"}
EXTREMES = {"Max": "Maximum", "Min": "Minimum"}
COMPARED = {
    "Greater": "Greater",
    "GreaterOrEqual": "GreaterEqual",
    "Less": "Less",
    "LessOrEqual": "LessEqual",
}
BITWISE = {"BitwiseAnd": "BitwiseAnd", "BitwiseOr": "BitwiseOr", "BitwiseXor": "BitwiseXor"}
BINARY = LOGICAL | ARITHMETIC | EXTREMES | COMPARED | BITWISE | {"Equal": "Equal"}
SCATTERED = {"none": "none", "add": "sum", "mul": "prod", "max": "max", "min": "min"}
PADDED = {"constant": "constant", "edge": "edge", "reflect": "reflect"}
AUTO_PAD = {"NOTSET": "explicit", "VALID": "valid", "SAME_UPPER": "same_upper", "SAME_LOWER": "same_lower"}
SAMPLED = {"linear": "bilinear", "cubic": "bicubic", "nearest": "nearest"}


def backwards(names: dict[str, str]) -> dict[str, str]:
    """OpenVINO's name → the hub's."""
    return {native: hub for hub, native in names.items()}
