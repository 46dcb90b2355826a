"""Core ML holds what every format must hold."""

from typing import ClassVar

from bridge.testing import FormatTests

RANDOM = ("Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")
LOOP = """g (float[3] x, int64 n) => (float[3] y) {
  y = Loop (n, , x) <body = b (int64 i, bool go, float[3] s) => (bool on, float[3] t) { on = Identity (go) t = Add (s, x) }> }"""


class TestCoreml(FormatTests):
    format = "coreml"
    cases: ClassVar[dict[str, str]] = {"Loop": LOOP}
    known_failures: ClassVar[dict[str, str]] = dict.fromkeys(RANDOM, "no case says what a random number is")
