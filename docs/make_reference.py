"""Write docs/reference, the pages of every spec key, command and option, from the code itself.

The tables of docs/accuracy_and_speed.md are copied anew from the README and the benchmarks' README.

python docs/make_reference.py           after a key, an option or a figure has changed
python docs/make_reference.py --check   exit code 1 where a page is not what it would write
"""

import argparse
import sys
from pathlib import Path

from reference_commands import command_pages
from reference_figures import PAGE as FIGURES
from reference_figures import page_of_figures
from reference_specs import PAGES, spec_pages

from bpnet.files import replacing

FOLDER = Path(__file__).resolve().parent / "reference"
AGAIN = "python docs/make_reference.py"


def pages() -> dict[str, str]:
    """The text of every page, by its path below ``docs/reference``."""
    return {**spec_pages(), **command_pages(), "index.md": _index()}


def stale() -> list[str]:
    """The pages that are missing, differ from the code, or are not made by this."""
    made = pages()
    there = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.md")}
    differ = [
        name
        for name, text in made.items()
        if name in there and (FOLDER / name).read_text(encoding="utf-8") != text
    ]
    if FIGURES.read_text(encoding="utf-8") != page_of_figures():
        differ.append(FIGURES.name)
    return sorted({*differ, *there.symmetric_difference(made)})


def write() -> None:
    """Write every page, and delete those of commands that are gone."""
    made = pages()
    if FIGURES.read_text(encoding="utf-8") != (figures := page_of_figures()):
        with replacing(FIGURES) as temporary:
            temporary.write_text(figures, encoding="utf-8")
    for path in FOLDER.rglob("*.md"):
        if path.relative_to(FOLDER).as_posix() not in made:
            path.unlink()
    for name, text in made.items():
        (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        with replacing(FOLDER / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _index() -> str:
    return "\n".join(
        [
            "# Spec files",
            "",
            "Every key of every file that bpnet reads. These pages, and those of the "
            "[commands](commands/index.md), are made from the program's own dataclasses and "
            f"parsers by `{AGAIN}`; a test fails where they differ.",
            "",
            *(f"- [{page.title}]({page.name}.md)" for page in PAGES),
            "",
            "```{toctree}",
            ":hidden:",
            "",
            *(page.name for page in PAGES),
            "```",
            "",
        ]
    )


def main() -> int:
    """Write the pages, or say which are stale."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if a page is stale")
    if not parser.parse_args().check:
        write()
        return 0
    found = stale()
    if found:
        sys.stderr.write(f"{', '.join(found)}: not as the code says; run {AGAIN}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
