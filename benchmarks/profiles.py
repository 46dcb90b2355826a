"""Profiles held against the releases themselves: what a profile takes loads and runs there, what it refuses does not.

    python benchmarks/profiles.py 1.16=VENV/bin/python 1.22=OTHER/bin/python [--cases N] [MODEL ...]

Of MODELs (mnist, an encoder and an LSTM without any) and of the node cases of the onnx package, every profile of ONNX Runtime
whose interpreter is given checks the model; the release then opens the file that bridge writes for it: where the profile takes
it, what was written for the profile, else what is written at the opset of the profile without it, as far as there is such a file.
Other profiles say how many operators they refuse.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import onnx
from onnx.backend.test.case.node import collect_testcases

import bridge
from bridge.errors import BridgeError
from bridge.profiles.profile import Profile, profile_of, profiles

ROOT = Path(__file__).parents[1]
OPEN = r"""
import json, sys, numpy as np, onnxruntime as ort
ort.set_default_logger_severity(4)
for path in sys.stdin.read().splitlines():
    try:
        ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        print(json.dumps([path, ""]), flush=True)
    except Exception as error:
        print(json.dumps([path, str(error)[:300]]), flush=True)
"""


def opened(python: str, paths: list[Path]) -> dict[str, str]:
    """Why a release does not open each of these files; empty where it does. One that ends its process is taken out."""
    answers: dict[str, str] = {}
    left = list(map(str, paths))
    while left:
        told = subprocess.run([python, "-c", OPEN], input="\n".join(left), capture_output=True, text=True)
        answers |= dict(map(json.loads, told.stdout.splitlines()))
        rest = [path for path in left if path not in answers]
        if rest and told.returncode:
            answers[rest[0]] = f"the process ended with {told.returncode}"
        left = [path for path in left if path not in answers]
    return answers


def judged(profile: Profile, models: dict[str, Any], python: str, folder: Path) -> list[tuple[str, str]]:
    """(model, verdict) for each that could be written for the release."""
    files, taken = {}, {}
    for name, model in models.items():
        path = folder / f"{len(files)}.onnx"
        try:
            report = bridge.check(model, profile=profile.name)
            taken[name] = "" if report.ok else str(report.blockers[0].reason)
            chosen = {"profile": profile.name} if report.ok else dict(profile.options)
            bridge.convert(model, path, **chosen)
            files[name] = path
        except BridgeError:
            pass
    answers = opened(python, list(files.values()))
    verdicts = []
    for name, path in files.items():
        loads = not answers[str(path)]
        words = {(True, True): "taken, loads", (False, False): "refused, does not load"}
        wrong = f"WRONG: {'refused but loads' if loads else 'taken but does not load'}: {taken[name] or answers[str(path)]}"
        verdicts.append((name, words.get((not taken[name], loads), wrong)))
    return verdicts


def models_of(paths: list[str], cases: int) -> dict[str, Any]:
    found: dict[str, Any] = {Path(path).name: path for path in paths}
    if not paths:
        sys.path.insert(0, str(ROOT / "tests"))
        from test_package import encoder, lstm

        found = {"mnist": str(ROOT / "tests" / "models" / "mnist.onnx"), "encoder": encoder(), "lstm": lstm()}
    nodes = [case for case in collect_testcases("") if isinstance(case.model, onnx.ModelProto)]
    step = max(1, len(nodes) // cases) if cases else len(nodes) + 1
    return found | ({case.name: case.model for case in nodes[::step]} if cases else {})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="*")
    parser.add_argument("--cases", type=int, default=0, help="how many of the onnx package's node cases")
    given = parser.parse_args()
    releases = dict(word.split("=", 1) for word in given.words if "=" in word)
    models = models_of([word for word in given.words if "=" not in word], given.cases)
    few = dict(list(models.items())[:3])
    for profile in profiles():
        release = profile.name.removeprefix("ort-")
        if release not in releases or profile is not profile_of(profile.name):
            for name, model in few.items():
                try:
                    blockers = len(bridge.check(model, profile=profile.name).blockers)
                    print(
                        f"{profile.name:<14} {name:<20} {f'refused, {blockers} blockers' if blockers else 'taken'}"
                    )
                except BridgeError as error:
                    print(f"{profile.name:<14} {name:<20} {type(error).__name__}")
            continue
        with tempfile.TemporaryDirectory() as text:
            verdicts = judged(profile, models, releases[release], Path(text))
        for name, verdict in verdicts:
            if name in few or verdict.startswith("WRONG"):
                print(f"{profile.name:<14} {name:<20} {verdict}")
        counts = Counter(verdict.split(":")[0] for _, verdict in verdicts)
        print(
            f"{profile.name:<14} {len(verdicts)} models: {', '.join(f'{n} {what}' for what, n in counts.most_common())}"
        )


if __name__ == "__main__":
    main()
