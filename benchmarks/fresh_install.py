"""Install the wheel by its name from an index of its own in fresh environments, alone and with each extra, and convert
and verify one model in each.

`python benchmarks/fresh_install.py [--python PYTHON]… [--extras EXTRA,…]` prints a line for each environment:
the versions, seconds of the installation, megabytes, and what the conversion said. Exit status 1 when one fails.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
MNIST = ROOT / "tests" / "models" / "mnist.onnx"
FOREST = """
import sys, numpy as np, bridge
from sklearn.ensemble import RandomForestClassifier
rng = np.random.default_rng(0)
x, y = rng.normal(size=(200, 4)), rng.integers(0, 2, 200)
model = RandomForestClassifier(20).fit(x, y)
print(bridge.convert(model, sys.argv[1] + "/m.onnx", verify=True).verification)
"""
BOOSTER = """
import sys, numpy as np, bridge, {library}
rng = np.random.default_rng(0)
x, y = rng.normal(size=(200, 4)), rng.integers(0, 2, 200)
path = sys.argv[1] + "/m{suffix}"
{trained}.save_model(path)
print(bridge.convert(path, sys.argv[1] + "/m.onnx", verify=True).verification)
"""
FETCHED = """
import functools, http.server, os, sys, threading, bridge
from pathlib import Path
os.environ["BRIDGE_CACHE"] = sys.argv[1] + "/cache"
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory={folder!r})
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
address = f"http://127.0.0.1:{{server.server_port}}/{name}"
print(bridge.convert(address, sys.argv[1] + "/m.onnx", opset=17, verify=True).verification)
import huggingface_hub, s3fs
"""
CLUSTER = """
import subprocess, sys
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(1, dashboard_address=None) as cluster:
        words = [sys.executable, "-m", "bridge", "convert", {model!r}, "-o", sys.argv[1] + "/out", "--to", "onnx"]
        words += ["--verify", "--scheduler", cluster.scheduler_address]
        print(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
"""
SAVED = """
import sys, bridge, transformers
sizes = dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, vocab_size=50)
transformers.BertModel(transformers.BertConfig(**sizes)).save_pretrained(sys.argv[1] + "/bert")
print(bridge.convert(sys.argv[1] + "/bert", sys.argv[1] + "/m.onnx", verify=True).verification)
"""
REGRESSION = """
import sys, onnx, bridge
text = '<ir_version: 10, opset_import: ["" : 21, "ai.onnx.ml" : 3]> g (float[n,2] x) => (float[n,1] y)'
body = "{ y = ai.onnx.ml.LinearRegressor <coefficients = [1.5, -2.0], intercepts = [0.5]> (x) }"
model = onnx.parser.parse_model(text + body)
print(bridge.convert(model, sys.argv[1] + "/m.pmml", verify=True).verification)
"""
EXTRAS: dict[str, str | tuple] = {
    "": ("convert", MNIST, "m.onnx", "--opset", "17", "--verify"),
    "tflite": ("convert", MNIST, "m.tflite", "--verify"),
    "savedmodel": ("convert", MNIST, "m", "--to", "savedmodel", "--verify"),
    "torchscript": ("convert", MNIST, "m.pt", "--verify"),
    "transformers": SAVED,
    "coreml": ("convert", MNIST, "m.mlpackage", "--verify"),
    "pmml": REGRESSION,
    "sklearn": FOREST,
    "xgboost": BOOSTER.format(
        library="xgboost", suffix=".json", trained="xgboost.train({}, xgboost.DMatrix(x, y), 20)"
    ),
    "lightgbm": BOOSTER.format(
        library="lightgbm",
        suffix=".txt",
        trained="lightgbm.train({'verbose': -1}, lightgbm.Dataset(x, y), 20)",
    ),
    "catboost": BOOSTER.format(
        library="catboost",
        suffix=".cbm",
        trained="catboost.CatBoostRegressor(iterations=20, silent=True, allow_writing_files=False).fit(x, y)",
    ),
    "remote": FETCHED.format(folder=str(MNIST.parent), name=MNIST.name),
    "dask": CLUSTER.format(model=str(MNIST)),
    "all": ("convert", MNIST, "m.tflite", "--verify"),
}
"""The command, or the script, that an environment with each extra runs."""
CONSTRAINTS = {extra: ("-c", ROOT / "constraints.txt") for extra in ("torchscript", "transformers", "all")}
NAME = "formatbridge"


def make_index(folder: Path) -> str:
    """The address of an index that holds the wheel."""
    place = folder / "simple" / NAME
    place.mkdir(parents=True)
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = place.glob("*.whl")
    (place / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
    return (folder / "simple").as_uri()


def try_extra(python: str, index: str, extra: str) -> tuple[bool, str]:
    """True if the extra installs and converts, and a line on it."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "env"
        subprocess.run([python, "-m", "venv", str(place)], check=True)
        start = time.monotonic()
        what = f"{NAME}[{extra}]" if extra else NAME
        words = [place / "bin" / "pip", "install", "-q", "--extra-index-url", index]
        words += [*CONSTRAINTS.get(extra, ()), what]
        installed = subprocess.run([*map(str, words)], capture_output=True, text=True)
        seconds = time.monotonic() - start
        if installed.returncode:
            return False, f"cannot be installed: {installed.stderr.strip().splitlines()[-1]}"
        size = sum(p.stat().st_size for p in place.rglob("*") if p.is_file() and not p.is_symlink()) / 1e6
        task = EXTRAS[extra]
        own = place / "bin"
        script = Path(folder) / "task.py"
        if isinstance(task, str):
            script.write_text(task)
        run = [own / "python", script, folder] if isinstance(task, str) else [own / NAME, *task]
        done = subprocess.run([*map(str, run)], cwd=folder, capture_output=True, text=True)
        said = (done.stdout if done.returncode == 0 else done.stderr or done.stdout).strip().splitlines()
        return done.returncode == 0, f"{seconds:4.0f} s {size:6.0f} MB  {said[-1] if said else 'silent'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", action="append", help="an interpreter; this one when omitted")
    parser.add_argument("--extras", help="extras, separated by commas, '' for none; all when omitted")
    options = parser.parse_args()
    extras = list(EXTRAS) if options.extras is None else options.extras.split(",")
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        index = make_index(Path(folder))
        for python in options.python or [sys.executable]:
            version = subprocess.run([python, "--version"], capture_output=True, text=True).stdout.strip()
            for extra in extras:
                ok, line = try_extra(python, index, extra)
                failed |= not ok
                print(
                    f"{version:<14} {extra or 'no extra':<12} {'ok  ' if ok else 'FAIL'} {line}", flush=True
                )
    sys.exit(failed)


if __name__ == "__main__":
    main()
