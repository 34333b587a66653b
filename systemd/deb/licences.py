"""Copy the licence files of every installed distribution beside each other: `licences.py DIRECTORY`."""

from __future__ import annotations

import shutil
import sys
from importlib.metadata import distributions
from pathlib import Path

LEFT_OUT = {"syncd", "pip", "setuptools"}
WORDS = ("licen", "copying", "notice", "authors")


def main(place: Path) -> None:
    """One folder for each distribution; one without a licence file gets a note of what its metadata says."""
    for each in distributions():
        name = each.metadata["Name"]
        if name.lower() in LEFT_OUT:
            continue
        folder = place / f"{name}-{each.version}"
        folder.mkdir(parents=True, exist_ok=True)
        files = [Path(str(each.locate_file(file))) for file in each.files or [] if is_licence(file.name)]
        for file in files:
            shutil.copyfile(file, folder / file.name)
        if not files:
            said = (
                each.metadata.get("License-Expression")
                or each.metadata.get("License")
                or "see its project page"
            )
            (folder / "LICENCE-SAYS").write_text(f"{said}\n", encoding="utf-8")


def is_licence(name: str) -> bool:
    """Whether a file's name is that of a licence or notice, and not of a module that deals with them."""
    return name.lower().startswith(WORDS) and not name.endswith((".py", ".pyc"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
