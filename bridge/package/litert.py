"""A TFLite file for LiteRT on phones, with its calls in Kotlin, Swift and Python."""

from __future__ import annotations

from bridge.package.kinds import Build

__all__ = ["build"]

USAGE = """## Call it

The names, shapes and dtypes above are those of the signature `serving_default` in the file's own metadata.

Android, with `com.google.ai.edge.litert:litert`; inputs and outputs are buffers or arrays by name:

```kotlin
val interpreter = Interpreter(FileUtil.loadMappedFile(context, "model.tflite"))
val outputs = mutableMapOf<String, Any>({kotlin_outputs})
interpreter.runSignature(mapOf<String, Any>({kotlin_inputs}), outputs, "serving_default")
```

iOS, with the pod `TensorFlowLiteSwift`; inputs in the order that the interpreter has them:

```swift
let interpreter = try Interpreter(modelPath: Bundle.main.path(forResource: "model", ofType: "tflite")!)
{swift_lengths}try interpreter.allocateTensors()
for index in 0..<interpreter.inputTensorCount {{
    let tensor = try interpreter.input(at: index)  // {inputs}
    try interpreter.copy(data(for: tensor.name), toInputAt: index)
}}
try interpreter.invoke()
let first = try interpreter.output(at: 0).data
```

Python, with `ai-edge-litert`:

```python
from ai_edge_litert.interpreter import Interpreter

runner = Interpreter("model.tflite").get_signature_runner("serving_default")
outputs = runner({python})
```
"""


def build(build: Build) -> str:
    """Write `model.tflite`."""
    build.convert(build.folder / "model.tflite")
    varies = any(not isinstance(d, int) for port in build.inputs for d in port.shape or ())
    resized = "try interpreter.resizeInput(at: 0, to: Tensor.Shape([…]))  // the lengths of this call\n"
    return USAGE.format(
        kotlin_inputs=", ".join(f'"{p.name}" to …' for p in build.inputs),
        kotlin_outputs=", ".join(f'"{p.name}" to …' for p in build.outputs),
        swift_lengths=resized if varies else "",
        inputs=", ".join(p.name for p in build.inputs),
        python=f"**{{{', '.join(f'{p.name!r}: …' for p in build.inputs)}}}",
    )
