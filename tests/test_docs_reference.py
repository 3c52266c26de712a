"""The reference pages are what the code says, and the code says something of everything."""

import argparse

import pytest
from documents import DOCS, reference

from bpnet import cli

make_reference = reference()
from reference_commands import command_pages, options, parsers, without_help  # noqa: E402
from reference_figures import refreshed  # noqa: E402
from reference_prose import prose  # noqa: E402
from reference_specs import PAGES, keys, sections, spec_pages  # noqa: E402


def test_the_pages_are_those_that_the_code_makes():
    stale = make_reference.stale()
    assert not stale, f"{', '.join(stale)}: run {make_reference.AGAIN}"


def test_rows_are_those_of_the_table_of_the_same_heading():
    page = "a\n\n| AP | s |\n|---|---|\n| 1 | 2 |\n\n| ours |\n|---|\n| 3 |\n"
    source = "| AP | s |\n|---|---|\n| 4 | 5 |\n| 6 | 7 |\n\n| AP |\n|---|\n| 8 |\n"
    new = "a\n\n| AP | s |\n|---|---|\n| 4 | 5 |\n| 6 | 7 |\n\n| ours |\n|---|\n| 3 |\n"
    assert refreshed(page, [source]) == new


def test_a_missing_a_changed_and_a_foreign_page_are_stale(tmp_path, monkeypatch):
    monkeypatch.setattr(make_reference, "FOLDER", tmp_path)
    monkeypatch.setattr(make_reference, "page_of_figures", make_reference.FIGURES.read_text)
    make_reference.write()
    assert make_reference.stale() == []
    (tmp_path / "commands" / "train.md").unlink()
    (tmp_path / "training_loss.md").write_text("changed")
    (tmp_path / "commands" / "calibrate.md").write_text("a command that is gone")
    assert make_reference.stale() == [
        "commands/calibrate.md",
        "commands/train.md",
        "training_loss.md",
    ]
    make_reference.write()
    assert make_reference.stale() == []


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_option_of_a_command_says_what_it_does(name):
    assert without_help(name) == []


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_option_of_a_command_is_on_its_page(name):
    page = command_pages()[f"commands/{name}.md"]
    shown = {option for option in options(name) if option not in ("-h", "--help")}
    assert {option for option in shown if f"{option}" not in page} == set()
    assert all(f"## {typed}\n" in page for typed, _ in list(parsers(name))[1:])


def test_every_key_of_every_file_is_on_a_page():
    pages = spec_pages()
    for kind in {page.kind for page in PAGES}:
        text = "".join(pages[f"{page.name}.md"] for page in PAGES if page.kind is kind)
        for section in sections(kind):
            assert not section.path or f"## `{section.path}`" in text
        missing = [key for key in keys(kind) if f"| `{key.rpartition('.')[2]}` |" not in text]
        assert missing == []


def test_an_option_is_written_with_its_value_once():
    parser = argparse.ArgumentParser(prog="bpnet grow")
    parser.add_argument("-s", "--size", choices=("s", "l"), nargs="+", help="how large")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--fast", action="store_true", help="at once")
    group.add_argument("--at", nargs=2, metavar=("X", "Y"), help="100 %% there|here")
    from reference_commands import _options

    lines = _options("bpnet grow", parser, level=2)
    assert "| `-s, --size {s,l} ...` | How large |" in lines
    assert "| `--fast` | At once; not together with `--at` |" in lines
    assert "| `--at X Y` | 100 % there\\|here; not together with `--fast` |" in lines


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("needs --a_b, not x_y (see -i).", "needs `--a_b`, not `x_y` (see `-i`)."),
        ("``bpnet_*.yaml`` and `a|b`", "`bpnet_*.yaml` and `a|b`"),
        ("a\n  b and/or c * d", "a b and/or c \\* d"),
        ("writes <n>.png, [x]", "writes `<n>.png`, \\[x\\]"),
        ("BPNET_KEY; a .keras file", "`BPNET_KEY`; a `.keras` file"),
    ],
)
def test_help_becomes_markdown(text, markdown):
    assert prose(text) == markdown


def test_the_pages_are_short_enough_to_read():
    assert [p for p in DOCS.rglob("*.md") if len(p.read_text().splitlines()) > 330] == []
