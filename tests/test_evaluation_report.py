"""``report.html``: complete, alone, and harmless whatever names the files hold."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from spots import CONTRACT, PAIR, write_dataset, write_model

from bpnet.cli import main
from bpnet.report import Bar, Curve, Page

EVIL = "<script>alert(1)</script>"


class Tags(HTMLParser):
    """The tags, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def report(tmp_path: Path) -> Tags:
    """The report of a toy evaluation in which everything is named by an attacker."""
    import dataclasses

    spec = write_dataset(tmp_path / "data")
    names = (f'{EVIL}"', f"'{EVIL}")
    skeleton = dataclasses.replace(PAIR, name=EVIL, keypoints=(names[0], names[1]))
    model = write_model(
        tmp_path / f"{EVIL.replace('/', '')}.onnx", dataclasses.replace(CONTRACT, skeleton=skeleton)
    )
    for path in (tmp_path / "data/labels.json", spec):
        content = json.loads(path.read_text())
        content["categories"][0]["keypoints"] = [names[1], names[0]]
        if "images" in content:
            content["images"][0]["file_name"] = f"{EVIL}.png"
            content["images"][1]["file_name"] = f"{EVIL}gone.png"
        path.write_text(json.dumps(content))
    images = tmp_path / "data/images"
    (images / f"{EVIL}.png").parent.mkdir()
    (images / "6.png").rename(images / f"{EVIL}.png")  # black: the person is missed
    arguments = ["-m", model, "-d", spec, "-r", tmp_path / "results"]
    (images / "6.png").write_bytes((images / "5.png").read_bytes())
    assert main(["evaluate", *map(str, arguments)]) == 1
    return Tags((tmp_path / "results/report.html").read_text())


def test_names_from_files_are_only_text(report: Tags) -> None:
    assert not {"script", "iframe", "object", "link"} & set(report.tags)
    assert not [name for name, _ in report.attributes if name.startswith("on")]
    assert report.text.count(EVIL) >= 6  # keypoints, skeleton, image, failure
    assert EVIL.replace("/", "") in report.text  # the model


def test_the_page_needs_nothing_from_outside(report: Tags) -> None:
    sources = [value for name, value in report.attributes if name in ("src", "href", "data")]
    assert sources
    assert all(source.startswith("data:image/") for source in sources)


def test_the_page_says_it_all(report: Tags) -> None:
    for said in (
        "Images that could not be used",
        "Errors, and the AP that each kind costs",
        "Keypoints",
        "Crowding and size",
        "Precision over recall",
        "The worst images",
        "How it was made",
        "1 missed person",
    ):
        assert said in report.text
    assert {"svg", "img", "table"} <= set(report.tags)


def test_labels_and_detections_are_drawn_side_by_side(tmp_path: Path) -> None:
    from bpnet.commands.evaluate_outputs import Evaluation
    from bpnet.commands.evaluate_pictures import draw_image
    from bpnet.commands.evaluate_sources import Detections
    from bpnet.data.coco import read_coco
    from bpnet.diagnosis.diagnosis import diagnose
    from bpnet.evaluation import evaluate_persons
    from bpnet.pose.persons import PersonKeypoints

    write_dataset(tmp_path)
    dataset = read_coco(tmp_path / "labels.json")
    nobody = PersonKeypoints(
        np.zeros((0, 2, 2), np.float32), np.zeros((0, 2), np.float32), np.zeros(0, np.float32)
    )
    somebody = PersonKeypoints(
        np.array([[[150, 40], [200, 60]]], np.float32),
        np.ones((1, 2), np.float32),
        np.ones(1, np.float32),
    )
    persons = {4: somebody, 5: nobody, 6: nobody}
    evaluation = Evaluation(
        found=Detections(PAIR, dataset.images, persons, {}),
        dataset=dataset,
        images_folder=tmp_path / "images",
        metrics=evaluate_persons(persons, dataset, PAIR),
        diagnosis=None,
        seconds=0,
    )
    errors = diagnose(persons, dataset, PAIR, image_ids=persons).images[0]
    drawing = draw_image(errors, evaluation)
    assert drawing.shape == (560, 560 + 6 + 560, 3)
    left, right = drawing[:, :560].astype(int), drawing[:, 566:].astype(int)
    scale = 560 / 256
    truth, wrong = ((np.array(xy) * scale).astype(int) for xy in ((82, 95), (175, 50)))
    limb = (left - right)[truth[1], truth[0]]
    assert limb[0] > 100  # the labelled limb, red, is on the left only
    assert (right - left)[wrong[1], wrong[0]][0] > 100  # the found one is on the right only
    box = (np.array([60, 95]) * scale).astype(int)  # the left side of the missed person's box
    assert left[box[1], box[0] - 2 : box[0] + 3, 0].max() > 200


def test_charts_escape_what_they_are_given() -> None:
    page = Page("charts")
    page.bars([Bar(EVIL, (0.5, 0.25), EVIL)], key=(EVIL,))
    page.curves([Curve(EVIL, ((0, 0), (1, 1)))], across=EVIL, up=EVIL, alt=f'"{EVIL}')
    page.facts([(EVIL, EVIL)])
    assert "<script" not in "".join(page._parts)


def test_curves_go_from_the_lower_left_to_the_upper_right() -> None:
    page = Page("chart")
    page.curves([Curve("a", ((0, 0), (1, 1)))], across="x", up="y", alt="")
    (points,) = re.findall(r'points="([^"]*)"', "".join(page._parts))
    (x0, y0), (x1, y1) = (map(float, point.split(",")) for point in points.split())
    assert x0 < x1
    assert y0 > y1
