"""A Core ML package, and its call in Swift."""

from __future__ import annotations

from bridge.package.kinds import Build

__all__ = ["build"]

USAGE = """## Call it

Drag `model.mlpackage` into Xcode, or compile it where it runs:

```swift
import CoreML

let url = Bundle.main.url(forResource: "model", withExtension: "mlpackage")!
let model = try MLModel(contentsOf: try await MLModel.compileModel(at: url))
let features = try MLDictionaryFeatureProvider(dictionary: [{inputs}])
let outputs = try await model.prediction(from: features)
{outputs}
```

The smoke test needs macOS; elsewhere it checks the sums alone. `report.json` says what the numbers were
verified by.
"""


def build(build: Build) -> str:
    """Write `model.mlpackage`, an ML Program."""
    build.convert(build.folder / "model.mlpackage")
    return USAGE.format(
        inputs=", ".join(f'"{p.name}": MLMultiArray(…)' for p in build.inputs),
        outputs="\n".join(
            f'let output{n} = outputs.featureValue(for: "{p.name}")!.multiArrayValue'
            for n, p in enumerate(build.outputs)
        ),
    )
