"""Take outputs, counts and traces of one's machine out of notebooks, before a commit.

    python notebooks/strip.py            # all of them
    python notebooks/strip.py --check    # write nothing; exit code 1 where there is something

Needs bpnet installed, and no Jupyter.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bpnet.files import replacing

FOLDER = Path(__file__).resolve().parent
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def main(argv: list[str] | None = None) -> int:
    """Strip the notebooks named, and name those that changed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "notebooks", nargs="*", type=Path, metavar="FILE", help="notebooks (default: all)"
    )
    parser.add_argument("--check", action="store_true", help="write nothing, only say which")
    args = parser.parse_args(argv)
    found = False
    for path in args.notebooks or sorted(FOLDER.glob("*.ipynb")):
        before = path.read_text(encoding="utf-8")
        after = stripped(before)
        if after != before:
            found = True
            print(path)
            if not args.check:
                with replacing(path) as temporary:
                    temporary.write_text(after, encoding="utf-8")
    return int(found and args.check)


def stripped(text: str) -> str:
    """The text of a notebook's file without what running it has left, its keys in Jupyter's order.

    Raises:
        ValueError: It is not JSON.
    """
    notebook: dict[str, Any] = json.loads(text)
    for cell in notebook["cells"]:
        cell["metadata"] = {}
        if cell["cell_type"] == "code":
            cell |= {"execution_count": None, "outputs": []}
    notebook["metadata"] = METADATA
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.exit(main())
