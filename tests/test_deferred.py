"""What is imported late: that nobody pays for it who does not use it, and that it is there for who does."""

import subprocess
import sys

import pytest

from bridge.testing import HEAD

STATIC = HEAD + "m (float[2,4] x) => (float[2,4] y) { a = Relu (x) y = Add (a, x) }"
SYMBOLIC = "import bridge, onnx_ir as ir; d = ir.SymbolicDim('N'); "
UNUSED = ("sympy", "mpmath", "torch", "tensorflow", "rich", "bridge.verify")


def printed(code, *arguments):
    """What a process of its own prints."""
    run = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("name", ["m.onnx", "m.tflite"])
def test_a_static_conversion_imports_no_symbolic_algebra(tmp_path, name):
    source = tmp_path / "m.onnxtxt"
    source.write_text(STATIC)
    code = (
        "import sys, bridge; bridge.convert(sys.argv[1], sys.argv[2])\n"
        f"print([m for m in {UNUSED} if m in sys.modules])"
    )
    assert printed(code, source, tmp_path / name) == "[]"


def test_formats_are_listed_without_importing_their_parts():
    code = (
        "import sys\nfrom bridge.cli import main\n"
        "try: main(['formats'])\nexcept SystemExit: pass\n"
        "print([m for m in ('numpy', 'onnx', 'onnx_ir') if m in sys.modules])"
    )
    assert printed(code).endswith("[]")


@pytest.mark.parametrize(
    "code",
    [
        "print(d + 1)",
        "import sympy; print(ir.SymbolicDim(sympy.Symbol('N') + 1), isinstance((d + 1)._expr, sympy.Expr))",
        "from sympy.core import Symbol; print(ir.SymbolicDim(Symbol('N') + 1))",
        "import sys; print('sympy' in sys.modules, d + 1, 'sympy' in sys.modules)",
        "print((d * 2 + 1).evaluate({'N': 3}))",
        "from concurrent.futures import ThreadPoolExecutor as E; print(set(E(8).map(lambda k: str(d + 1), range(32))))",
        "from onnx_ir import _core, _symbolic_shapes as s; print(s.parse_symbolic_expression('N+1'))",
    ],
)
def test_symbolic_lengths_are_what_they_are_without_bridge(code):
    eager = printed("import sympy, onnx_ir; " + SYMBOLIC + code)
    assert printed(SYMBOLIC + code).replace("False N + 1", "True N + 1") == eager


def test_a_missing_attribute_is_missing():
    code = SYMBOLIC + "print(hasattr(ir._core.sympy, 'nothing'), hasattr(ir._core.sympy, 'Expr'))"
    assert printed(code) == "False True"
