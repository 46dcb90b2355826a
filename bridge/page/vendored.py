"""The library that lays the graph out: dagre, as it is published on the npm registry, under the MIT licence.

`python -m bridge.page.vendored` takes it from there again, with npm, and writes the same bytes.
"""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "@dagrejs/dagre@3.1.3"
ARCHIVE = "12441833c8af49e5a241d94bfd53159875965876b3f4f3214abafe1ed6a9ee4c"
"""SHA-256 of the package's archive."""
MEMBERS = {"package/dist/dagre.min.js": "dagre.min.js", "package/LICENSE": "dagre.LICENSE.txt"}
"""Files of the archive, and their names here."""
FILE, LICENCE = MEMBERS.values()
SHA256 = "54a503e346f93ca0bb10abe7999587e037262935687aca45eb4e4b0f64bbb578"
"""SHA-256 of the file that pages hold."""


def fetch(folder: Path) -> None:
    """Write the files into a folder. Raises ValueError where the registry gives another archive, OSError and
    CalledProcessError where npm is missing or fails."""
    with tempfile.TemporaryDirectory() as text:
        words = ["npm", "pack", "--silent", "--pack-destination", text, PACKAGE]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(text).glob("*.tgz")
        if hashlib.sha256(archive.read_bytes()).hexdigest() != ARCHIVE:
            raise ValueError(f"{PACKAGE} is not the archive that was looked at")
        with tarfile.open(archive) as tar:
            for member, name in MEMBERS.items():
                file = tar.extractfile(member)
                assert file is not None
                (folder / name).write_bytes(file.read())


if __name__ == "__main__":
    fetch(Path(__file__).parent)
