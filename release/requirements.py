"""What an extra of pyproject.toml needs, a requirement a line, without building the package.

    python release/requirements.py pyproject.toml train > requirements.txt

Images install these before they copy the code, so that a change of the code leaves them cached.
"""

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

OF_ITSELF = re.compile(r"(?P<name>[\w.-]+)\[(?P<extra>[\w-]+)\]")


def main() -> None:
    """Print the requirements of the extra that the command line names, the base's with them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path, help="pyproject.toml")
    parser.add_argument("extra", nargs="?", help="an extra (default: the base install)")
    args = parser.parse_args()
    project = tomllib.loads(args.file.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    if args.extra is not None and args.extra not in extras:
        parser.error(f"{args.file} has no extra {args.extra}, only {', '.join(extras)}")
    print("\n".join(requirements(project, args.extra)))


def requirements(project: Mapping[str, Any], extra: str | None = None) -> list[str]:
    """The requirements of an extra, and of those it is made of; None: of the base install."""
    found = list(project["dependencies"])
    waiting = [] if extra is None else [extra]
    for name in waiting:
        for line in project["optional-dependencies"][name]:
            inner = OF_ITSELF.fullmatch(line)
            if inner is None or inner["name"] != project["name"]:
                found.append(line)
            elif inner["extra"] not in waiting:
                waiting.append(inner["extra"])
    return found


if __name__ == "__main__":
    main()
