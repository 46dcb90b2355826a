"""ONNX Runtime on phones: the file in ORT's own format, and the operators that a reduced build must have."""

from __future__ import annotations

import subprocess
import sys

from bridge.errors import ExecutionFailed, first_line
from bridge.package.agreement import require_agreement
from bridge.package.kinds import Build
from bridge.runtime import OnnxRuntimeSession

__all__ = ["build"]

TOOL = "onnxruntime.tools.convert_onnx_models_to_ort"
OPERATORS = "model.required_operators_and_types.config"
USAGE = """## Call it

`model.ort` is of the format that every build of ONNX Runtime loads, a minimal one too; `model.onnx` is what
it was made from. A build that has just the operators and dtypes of this model:

```sh
./build.sh --minimal_build extended --enable_reduced_operator_type_support \
    --include_ops_by_config {operators}
```

Android, with `com.microsoft.onnxruntime:onnxruntime-android`:

```kotlin
val environment = OrtEnvironment.getEnvironment()
val session = environment.createSession(assets.open("model.ort").readBytes())
val outputs = session.run(mapOf({kotlin}))
```

iOS, with the pod `onnxruntime-objc`:

```swift
let environment = try ORTEnv(loggingLevel: .warning)
let path = Bundle.main.path(forResource: "model", ofType: "ort")!
let session = try ORTSession(env: environment, modelPath: path, sessionOptions: nil)
let outputs = try session.run(
    withInputs: [{swift}], outputNames: [{outputs}], runOptions: nil)
```
"""


def build(build: Build) -> str:
    """Write `model.onnx`, and by ONNX Runtime's own tool `model.ort` and the operators it requires. Raises
    ExecutionFailed where the tool fails, or the file does not load or computes something else."""
    source = build.folder / "model.onnx"
    build.convert(source)
    words = [
        sys.executable,
        "-m",
        TOOL,
        "--optimization_style",
        "Fixed",
        "--enable_type_reduction",
        str(source),
    ]
    done = subprocess.run(words, capture_output=True, text=True)
    target = build.folder / "model.ort"
    if done.returncode or not target.exists() or not (build.folder / OPERATORS).exists():
        raise ExecutionFailed(f"{TOOL} failed: {first_line(done.stderr or done.stdout)}")
    require_agreement(build, OnnxRuntimeSession(str(target)).run)
    return USAGE.format(
        operators=OPERATORS,
        kotlin=", ".join(f'"{p.name}" to …' for p in build.inputs),
        swift=", ".join(f'"{p.name}": …' for p in build.inputs),
        outputs=", ".join(f'"{p.name}"' for p in build.outputs),
    )
