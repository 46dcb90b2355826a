"""Files of estimators: those that hold data alone are read; those that run code when read are refused, with
the lines that load them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bridge.errors import UnreadableFile

LOADERS = {".joblib": ("joblib", "joblib.load({0!r})")}
PICKLE = ("pickle", "pickle.loads(open({0!r}, 'rb').read())")


def read_estimator(path: Path, trusted: str) -> Any:
    """The estimator of a skops file. `trusted` are the types its user trusts beside those skops does, comma
    separated. Raises UnreadableFile for a pickle, and for types that are not trusted."""
    if path.suffix.lower() != ".skops":
        module, call = LOADERS.get(path.suffix.lower(), PICKLE)
        lines = f"import bridge, {module}\nbridge.convert({call.format(str(path))}, to='onnx')"
        raise UnreadableFile(
            f"{path.name} is a pickle: to read it is to run the code in it, which bridge never does.",
            f"If you trust where it comes from, load it yourself:\n{lines}",
        )
    import skops.io

    names = {name.strip() for name in trusted.split(",") if name.strip()}
    try:
        found = sorted(set(skops.io.get_untrusted_types(file=path)) - names)
        if not found:
            return skops.io.load(path, trusted=sorted(names))
    except ModuleNotFoundError:
        raise
    except Exception as error:
        raise UnreadableFile(f"{path.name} is not a readable skops file: {error}") from error
    raise UnreadableFile(
        f"{path.name} holds types that skops does not trust: {', '.join(found)}.",
        f"If you trust them, say so with trusted={','.join(found)} (--option trusted=…).",
    )
