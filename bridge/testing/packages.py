"""The kit of kinds of packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest

import bridge
from bridge.package.core import SUMS
from bridge.package.kinds import kind_of

__all__ = ["PackageTests"]

CASES = Path(__file__).parent / "cases"
NOT_HERE = 77
"""The exit code of a smoke test whose runtime is not here."""


class PackageTests:
    """Tests every kind of package must pass. Set `kind`; `options` are given to each package, `cases` are
    those of the kit that are packed. A smoke test may say that its runtime is not here, where `runs_here` is
    False, by exit code 77."""

    kind: str
    options: ClassVar[dict[str, Any]] = {}
    cases: ClassVar[tuple[str, ...]] = ("conv", "dynamic_batch", "lstm")
    runs_here = True

    def _packed(self, case: str, folder: Path) -> bridge.Package:
        for module in kind_of(self.kind).needs:
            pytest.importorskip(module)
        return bridge.package(CASES / f"{case}.onnxtxt", folder / "out", kind=self.kind, **self.options)

    @staticmethod
    def _tried(package: bridge.Package) -> subprocess.CompletedProcess:
        words = [sys.executable, str(package.path / "smoke_test.py")]
        return subprocess.run(words, capture_output=True, text=True)

    def test_the_smoke_test_passes(self, tmp_path: Path) -> None:
        """Every case, by the runtime of the deployment."""
        for case in self.cases:
            (tmp_path / case).mkdir()
            done = self._tried(self._packed(case, tmp_path / case))
            assert done.returncode == (0 if self.runs_here else NOT_HERE), done.stdout + done.stderr

    def test_a_changed_file_fails_the_smoke_test(self, tmp_path: Path) -> None:
        """By its sum."""
        package = self._packed(self.cases[0], tmp_path)
        with (package.path / "report.json").open("a") as file:
            file.write("\n")
        done = self._tried(package)
        assert done.returncode == 1
        assert "report.json is not the file that was packed" in done.stdout

    def test_every_file_has_a_sum(self, tmp_path: Path) -> None:
        """But the file of the sums."""
        package = self._packed(self.cases[0], tmp_path)
        files = {p.relative_to(package.path).as_posix() for p in package.path.rglob("*") if p.is_file()}
        assert files == {*package.sums, SUMS}
        assert {"README.md", "report.json", "smoke_test.py", "samples/inputs-0.npz"} <= files
