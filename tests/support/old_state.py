"""The state that luad 0.1.0 left, as a copy for one test.

`state-0.1.0/make.py` says how it was made. It has open runs, pauses, overlays, dynamic jobs, tokens, a
broken file whose last good version is in force, and 1,000 rows of history.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parents[1] / "data" / "state-0.1.0"


def unpack(folder: Path) -> dict[str, Any]:
    """Unpack the project and its `.luad` into *folder*; return what 0.1.0 said of them at the end.

    Its job files are named relative to the project: serve it with *folder* as the working folder.
    """
    with tarfile.open(FOLDER / "state.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    expected: dict[str, Any] = json.loads((FOLDER / "expected.json").read_text())
    return expected
