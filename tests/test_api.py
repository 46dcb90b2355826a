"""What others may rely on stays, is documented, and is enough to write a plugin with."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
API = ROOT / "docs" / "api.md"
PUBLIC = {
    "bridge": """Benchmark Bisection BridgeError Conversion Difference Optimization Package Quantization Summary
        Verification bench bisect check convert diff edit extract formats hookimpl inspect load optimize package quantize
        run save verify""",
    "bridge.errors": """BridgeError DestinationExists ExecutionFailed InternalError InvalidCard InvalidHub InvalidInput
        InvalidOption InvalidSignature MissingDependency PluginError SeveralModels TooLarge UnknownFormat UnreadableFile UnsupportedModel
        VerificationFailed WriteFailed""",
    "bridge.dims": "arange broadcast entries known length_of lengths on_last_axis product reshape scalar sizes_of vector",
    "bridge.formats": "LABELS Exporter Face Format Importer Native Option Part Runtime Written flag within",
    "bridge.geometry": """Window ceil_extra crop_pads halves is_same pads_of plain_resize same_at_run_time same_total
        spatial_lengths transposed_pads transposed_total window_count window_of""",
    "bridge.hookspecs": "bridge_formats bridge_functions bridge_packages bridge_passes bridge_profiles bridge_rules hookimpl",
    "bridge.hub": """Builder Dim HUB_OPSET IR_VERSION Length ML_OPSET NHWC all_nodes attr blocker const input_at largest of_target
        origin qualified rank_of schema shape_of smallest stamp_origins subgraphs""",
    "bridge.inputs": "random_inputs",
    "bridge.needs": "attribute condition constant dtype max_rank rank unused_output",
    "bridge.ops": "Need OpTable Rule",
    "bridge.package.kinds": "Arrays Build Kind Sample kind_of kinds",
    "bridge.page": "Bars Content Drawing Graph Histogram Section Shown Table graph_of page unless_page",
    "bridge.passes.batch_norm": "FoldBatchNormalization",
    "bridge.passes.channels_last": "ChannelsLast",
    "bridge.passes.decompose": "Decompose",
    "bridge.passes.fold": "FoldConstants",
    "bridge.passes.gelu": "RaiseGelu",
    "bridge.passes.half_weights": "HalfWeights",
    "bridge.passes.reshapes": "MergeReshapes",
    "bridge.passes.rewrite": "Rewrite",
    "bridge.passes.sequences": "ResolveSequences",
    "bridge.passes.transposes": "SinkTransposes",
    "bridge.passes.widen": "ComputeWider",
    "bridge.ports": "Port port_of",
    "bridge.provenance.sign": "sign verify_signature",
    "bridge.profiles.profile": "Kernel Profile profile_of profiles",
    "bridge.quant": "QuantParams is_dequantize is_quantize limits quant_of quant_params quantized_dtype",
    "bridge.quantize.schemes": "Holding Kind SCHEMES Scheme held_by scheme_of",
    "bridge.quantize.standard": "LAYER_WEIGHTS ROUNDED STANDARD STATIC bounds",
    "bridge.report": "Blocker Crossing Outcome Report",
    "bridge.runtime": "HubSession Outputs Session open_session run",
    "bridge.testing": "FormatTests PackageTests case_names",
    "bridge.traits": "BROADCASTING ELEMENTWISE MONOTONE MOVES_DATA NON_NEGATIVE ON_AXIS RANDOM REDUCTION "
    "RESHAPES is_a",
    "bridge.trials": "Sampling",
    "bridge.verify": "Comparison Proof Verification compare verify",
}


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_are_those_held_here(module):
    """A name taken away, or added without a thought, changes this list."""
    loaded = importlib.import_module(module)
    assert sorted(loaded.__all__) == sorted(PUBLIC[module].split())
    assert all(getattr(loaded, name) is not None for name in loaded.__all__)


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_documented(module):
    loaded = importlib.import_module(module)
    assert f"::: {module}\n" in API.read_text()
    for name in loaded.__all__:
        found = getattr(loaded, name)
        if inspect.isclass(found) or inspect.isfunction(found):
            assert inspect.getdoc(found), f"{module}.{name}"
            methods = vars(found).values() if inspect.isclass(found) else ()
            bare = [
                m.__name__
                for m in methods
                if inspect.isfunction(m) and m.__name__[0] not in "_<" and not m.__doc__
            ]
            assert not [m for m in bare if m not in ("call", "add") and not m.startswith("test_")], (
                f"{module}.{name}"
            )
        else:
            assert f"`{name}`" in API.read_text(), f"{module}.{name}"


def names_taken(text: str) -> list[tuple[str, str]]:
    """(module, name) of what a source imports from bridge."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "bridge":
            found += [(node.module, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [(a.name, "") for a in node.names if a.name.split(".")[0] == "bridge"]
    return found


def sources() -> list[tuple[str, str]]:
    examples = [p for p in (ROOT / "examples").rglob("*.py") if ".venv" not in p.parts]
    templates = list((ROOT / "bridge" / "scaffold" / "templates").rglob("*.py.txt"))
    found = [(str(p.relative_to(ROOT)), p.read_text()) for p in [*examples, *templates]]
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "plugins" / "README.md").read_text(), re.DOTALL)
    return found + [(f"plugins/README.md[{i}]", block) for i, block in enumerate(blocks)]


@pytest.mark.parametrize(("where", "text"), [pytest.param(*s, id=s[0]) for s in sources()])
def test_examples_and_templates_take_public_names_alone(where, text):
    for module, name in names_taken(text):
        known = module in PUBLIC and (not name or name in PUBLIC[module].split())
        assert known or f"{module}.{name}" in PUBLIC, f"{where}: {module} {name}"


def test_the_deprecation_policy_is_written_down():
    page = (ROOT / "plugins" / "README.md").read_text()
    assert "DeprecationWarning" in page
