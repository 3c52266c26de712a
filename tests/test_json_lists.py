"""The stream reader of annotation files: the same values as the json module, however it is cut."""

import json
from pathlib import Path
from typing import Any

import pytest

from bpnet.data import json_lists
from bpnet.data.json_lists import read_lists
from bpnet.errors import DataError

DOCUMENT = {
    "info": {"images": [1, {"deep": "]}"}], "text": 'quo"te \\ \u00e9 \U0001f600'},
    "annotations": [{"id": 1, "x": [1.5, -2e3, 12345678901234567890]}, [], "", True, None, 17],
    "empty": [],
    "images": [{"a": "\n"}, {}],
    "last": 123,
}


def read(path: Path, *names: str) -> dict[str, list[Any]]:
    lists: dict[str, list[Any]] = {name: [] for name in names}
    found = read_lists(path, {name: lists[name].append for name in names})
    return {name: entries for name, entries in lists.items() if name in found}


@pytest.mark.parametrize("chunk", [1, 2, 7, 64, 1 << 20])
@pytest.mark.parametrize("indent", [None, 1])
def test_entries_do_not_depend_on_how_the_file_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, indent: int | None
) -> None:
    monkeypatch.setattr(json_lists, "CHUNK", chunk)
    path = tmp_path / "a.json"
    path.write_text("\ufeff" + json.dumps(DOCUMENT, indent=indent, ensure_ascii=False) + "\n")

    lists = read(path, "images", "annotations", "empty", "absent")

    assert lists == {name: DOCUMENT[name] for name in ("images", "annotations", "empty")}


@pytest.mark.parametrize("chunk", [1, 1 << 20])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{\n"a": [1,\n 2 3]}', "line 3: broken JSON, expecting ']'"),
        ('{\n"a": [{"b": }]}', "line 2: broken JSON, expecting value"),
        ('{"a": ["never closed', "broken JSON, unterminated string"),
        ('{"a": [1, 2', "broken JSON, expecting ']'"),
        ('{"a": []', "broken JSON, expecting '}'"),
        ('{"a": []} {}', "broken JSON, extra data"),
        ("{1: []}", "expecting a key in double quotes"),
        ('{"a": [1], "a": [2]}', "has `a` twice"),
        ('{"a": {}}', "has no list `a`"),
        ("[1]", "an object is expected at its top"),
        ("", "an object is expected at its top"),
        ('{"a": [' + "[" * 200_000 + "]}", "broken JSON, brackets too deep"),
    ],
)
def test_a_broken_file_is_named_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, text: str, said: str
) -> None:
    monkeypatch.setattr(json_lists, "CHUNK", chunk)
    path = tmp_path / "a.json"
    path.write_text(text)

    with pytest.raises(DataError) as caught:
        read(path, "a")

    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_list_is_read_entry_by_entry(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": [1, 2, oops')
    seen: list[int] = []

    with pytest.raises(DataError, match="broken JSON"):
        read_lists(path, {"a": seen.append})

    assert seen == [1, 2]
