"""Damage model files and hand them to every importer, and what is read to a writer: BridgeErrors only.

`python benchmarks/fuzz.py [--formats F,…] [--seconds N | --count N] [--jobs N] [--seed N] [--keep FOLDER]`: each format
is given as many seconds, or mutations, and files of its own to damage, at least twenty; `xgboost.ubj` are those of one
suffix. A mutation has ten seconds of a processor and 4 GB. What ends otherwise is printed, kept in FOLDER, and makes
the exit status 1. Mutations are numbered: the same seed makes the same ones. Set TMPDIR to a folder in memory: files
are written and left by the hundred each second.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "models"
SECONDS, WALL, MEMORY = 10, 600, 4 << 30
LARGEST = 100_000
MADE = 24
TARGETS = ("onnx", "tflite", "torchscript", "pmml", "coreml")
FILES: dict[str, tuple[str, ...]] = {
    "onnx": (".onnx",),
    "tflite": (".tflite",),
    "torchscript": (".pt",),
    "pmml": (".pmml",),
    "coreml": (".mlpackage",),
    "savedmodel": ("",),
    "xgboost": (".json", ".ubj"),
    "lightgbm": (".txt",),
    "catboost": (".cbm", ".json"),
    "sklearn": (".skops",),
}


def make_seeds(name: str, suffixes: tuple[str, ...], start: int, folder: Path) -> list[Path]:
    """Small models of a format: written from random graphs, or boosted, and those of the shared folder."""
    import bridge
    from bridge.errors import BridgeError
    from bridge.testing.graphs import random_graph

    made: list[Path] = []
    for number in range(20 * MADE):
        path = folder / f"seed{number}{suffixes[number % len(suffixes)]}"
        try:
            if name in FITTED:
                fitted(name, start, number, path)
            else:
                model = regression(start, number) if name == "pmml" else random_graph(start, number)
                bridge.convert(model, path, to=name)
        except BridgeError:
            continue
        made.append(path)
        if len(made) == MADE:
            break
    found = sorted(p for p in (SHARED / name).rglob("*") if p.is_file() and p.stat().st_size < LARGEST)
    return made + (found if name != "savedmodel" else [])


def regression(start: int, number: int) -> Any:
    """A small estimator, whose model is classical."""
    import numpy as np
    from sklearn import ensemble, linear_model, tree

    rng = np.random.default_rng([start, number])
    kinds = tree.DecisionTreeClassifier, linear_model.LogisticRegression, ensemble.RandomForestRegressor
    settings: dict[str, Any] = [{"max_depth": 3}, {}, {"n_estimators": 2, "max_depth": 2}][number % 3]
    return kinds[number % 3](**settings).fit(rng.normal(size=(40, 3)), rng.integers(0, 2, 40))


FITTED: dict[str, list[dict[str, Any]]] = {
    "xgboost": [
        {"objective": "reg:squarederror"},
        {"objective": "binary:logistic"},
        {"objective": "multi:softprob", "num_class": 3, "max_cat_to_onehot": 2},
        {"booster": "dart", "rate_drop": 0.5},
        {"booster": "gblinear"},
        {"multi_strategy": "multi_output_tree", "objective": "multi:softprob", "num_class": 3},
    ],
    "lightgbm": [
        {"objective": "binary"},
        {"objective": "regression", "linear_tree": True},
        {"objective": "multiclass", "num_class": 3, "max_cat_to_onehot": 1},
    ],
    "catboost": [{"depth": 1}, {"depth": 3}, {"depth": 2, "grow_policy": "Lossguide"}],
    "sklearn": [{}],
}
"""Settings of each library's small models."""


def fitted(name: str, start: int, number: int, path: Path) -> None:
    """A small model of a library, in its own file."""
    import numpy as np

    rng = np.random.default_rng([start, number])
    settings = FITTED[name][number // 2 % len(FITTED[name])]
    records, target = rng.normal(size=(60, 3)), rng.integers(0, settings.get("num_class", 2), 60)
    records[:, 2] = rng.integers(0, 6, 60)
    if name == "xgboost":
        import xgboost

        sorts = ["q", "q", "c" if "objective" in settings and "multi_strategy" not in settings else "q"]
        matrix = xgboost.DMatrix(records, target, feature_types=sorts, enable_categorical=True)
        xgboost.train({"max_depth": 1 + number % 4} | settings, matrix, 2).save_model(path)
    elif name == "lightgbm":
        import lightgbm

        data = lightgbm.Dataset(records, target, categorical_feature=[2])
        plain = {"verbose": -1, "num_leaves": 4, "min_data_per_group": 3, "cat_smooth": 1}
        lightgbm.train(plain | settings, data, 2).save_model(path)
    elif name == "catboost":
        import catboost

        plain = {"iterations": 2, "verbose": 0, "allow_writing_files": False}
        model = catboost.CatBoostClassifier(**plain | settings).fit(records, target)
        model.save_model(str(path), format=path.suffix[1:])
    else:
        import skops.io

        skops.io.dump(regression(start, number), path)


def files_of(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def damage(seed: Path, number: int, start: int, folder: Path) -> Path:
    """Mutation `number` of a model, beside it in `folder`."""
    from bridge.testing.mutations import mutate

    rng = random.Random(f"{start}.{number}")
    path = folder / f"mutated{seed.suffix}"
    if seed.is_dir():
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(seed, path)
    file = rng.choice(files_of(seed))
    place = path / file.relative_to(seed) if seed.is_dir() else path
    place.write_bytes(mutate(file.read_bytes(), rng))
    return path


def warm(name: str, seed: Path) -> None:
    """Have the libraries loaded that a mutation's time is not to be spent on."""
    import bridge
    from bridge.errors import BridgeError

    with tempfile.TemporaryDirectory() as own:
        for target in TARGETS:
            with suppress(BridgeError):
                bridge.save(
                    bridge.load(seed, source=name), Path(own) / f"written{FILES[target][0]}", to=target
                )


def child(name: str, folder: Path, start: int, first: int) -> None:
    """Read mutation after mutation, and say on standard output which comes and how it ended."""
    import bridge
    from bridge.errors import BridgeError, InternalError, InvalidHub

    seeds = [Path(line) for line in (folder / "seeds").read_text().splitlines()]
    warm(name, seeds[0])
    gc.freeze()
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    number = first
    with tempfile.TemporaryDirectory() as own:
        while True:
            used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
            resource.setrlimit(resource.RLIMIT_CPU, (int(used) + SECONDS, resource.RLIM_INFINITY))
            print(json.dumps([number, "begun"]), flush=True)
            path = damage(seeds[number % len(seeds)], number, start, Path(own))
            try:
                model, target = bridge.load(path, source=name), TARGETS[number % len(TARGETS)]
                bridge.save(model, Path(own) / f"written{FILES[target][0]}", to=target, overwrite=True)
                said = "written"
            except (InternalError, InvalidHub) as error:
                said = f"defect: {str(error).splitlines()[0]}"
            except BridgeError as error:
                said = type(error).__name__
            except BaseException as error:
                said = f"RAW {type(error).__name__}: {error}"
            print(json.dumps([number, said]), flush=True)
            number += 1


def fuzz(asked: str, seconds: float, count: int, start: int, keep: Path) -> tuple[Counter, list[str]]:
    """How mutations of a format, or of its files of one suffix, ended, and those that ended as none may."""
    name, _, suffix = asked.partition(".")
    ends: Counter = Counter()
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as text:
        folder, number = Path(text), 0
        seeds = make_seeds(name, (f".{suffix}",) if suffix else FILES[name], start, folder)
        (folder / "seeds").write_text("\n".join(map(str, seeds)))
        over = time.monotonic() + seconds
        while number < count and time.monotonic() < over:
            words = [sys.executable, __file__, "--child", name, text, str(start), str(number)]
            process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            why = ""
            while number < count and time.monotonic() < over:
                ready, _, _ = select.select([process.stdout], [], [], WALL)
                line = process.stdout.readline() if ready and process.stdout is not None else b""
                if not line:
                    why = "over the wall's time" if not ready else f"the process ended with {process.wait()}"
                    break
                number, said = json.loads(line)
                if said != "begun":
                    ends["defect" if said.startswith("defect") else said.partition(":")[0]] += 1
                    why = said if said.startswith(("RAW", "defect")) else ""
                    if why:
                        faults.append(kept(name, seeds, number, start, why, keep))
                    number, why = number + 1, ""
            process.kill()
            process.wait()
            if why:
                ends["lost"] += 1
                faults.append(kept(name, seeds, number, start, why, keep))
                number += 1
    return ends, faults


def kept(name: str, seeds: list[Path], number: int, start: int, why: str, keep: Path) -> str:
    """A line on a fault, whose file is kept."""
    keep.mkdir(parents=True, exist_ok=True)
    path = damage(seeds[number % len(seeds)], number, start, keep)
    place = path.with_name(f"{name}-{start}-{number}{path.suffix}")
    path.replace(place) if not place.exists() else None
    return f"{name} {number}: {why}  ({place})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--formats", default=",".join(FILES))
    parser.add_argument("--seconds", type=float, default=0.0, help="of the clock, for each format")
    parser.add_argument("--count", type=int, default=0, help="mutations of each format")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("faults"))
    options = parser.parse_args()
    seconds = options.seconds or (60.0 if not options.count else 1e9)
    names = options.formats.split(",")
    with ThreadPoolExecutor(options.jobs) as pool:
        done = pool.map(
            lambda name: fuzz(name, seconds, options.count or 10**9, options.seed, options.keep), names
        )
        failed = 0
        for name, (ends, faults) in zip(names, done, strict=True):
            told = ", ".join(f"{number} {end}" for end, number in ends.most_common())
            print(f"{name:<12} {sum(ends.values()):>8} mutations: {told}", flush=True)
            print("\n".join(faults[:50]), flush=True)
            failed += len(faults)
    sys.exit(bool(failed))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
    main()
