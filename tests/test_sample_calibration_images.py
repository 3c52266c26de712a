"""Choosing calibration images by their annotations, through the command line."""

import json

import pytest

from bpnet.cli import main

COMMAND = "sample_calibration_images"
# Of each image: labelled keypoints of its people; 9: a crowd region.
PEOPLE = {"a": [3], "b/b": [1, 3], "c": [], "d": [2, 2], "e": [9], "f": [3, 3], "g": [2]}


@pytest.fixture
def dataset(tmp_path):
    images, annotations = [], []
    for number, (name, people) in enumerate(PEOPLE.items(), start=1):
        path = tmp_path / "images" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
        images.append({"id": number, "file_name": f"{name}.jpg", "height": 9, "width": 9})
        for labelled in people:
            flags = [2] * min(labelled, 3) + [0] * (3 - min(labelled, 3))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "iscrowd": int(labelled == 9),
                    "bbox": [0, 0, 5, 5],
                    "keypoints": [value for flag in flags for value in (1, 1, flag)],
                }
            )
    categories = [{"id": 1, "name": "worm", "keypoints": ["head", "middle", "tail"]}]
    file = tmp_path / "annotations.json"
    file.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return tmp_path


def choose(folder, *options, output="out"):
    places = ["-a", folder / "annotations.json", "-i", folder / "images", "-o", folder / output]
    return main([COMMAND, *map(str, places), "--category", "worm", *map(str, options)])


def chosen(folder, output="out"):
    found = [path for path in (folder / output).rglob("*") if path.is_file()]
    return sorted(str(path.relative_to(folder / output)) for path in found)


@pytest.mark.parametrize(
    ("persons", "keypoints", "names"),
    [
        (1, 2, ["a.jpg", "b/b.jpg", "d.jpg", "f.jpg", "g.jpg"]),
        (2, 2, ["d.jpg", "f.jpg"]),
        (2, 1, ["b/b.jpg", "d.jpg", "f.jpg"]),
        (1, 3, ["a.jpg", "b/b.jpg", "f.jpg"]),
    ],
)
def test_enough_people_have_enough_keypoints(dataset, persons, keypoints, names):
    assert choose(dataset, "-pth", persons, "-kth", keypoints) == 0
    assert chosen(dataset) == names
    assert (dataset / "out" / names[0]).read_bytes() == names[0].removesuffix(".jpg").encode()


def test_the_number_is_exact_and_spread_over_the_file(dataset):
    assert choose(dataset, "-n", 3, "-kth", 2) == 0
    assert chosen(dataset) == ["a.jpg", "b/b.jpg", "f.jpg"]  # 0, 1 and 3 of five


def test_a_choice_at_random_depends_on_the_seed_alone(dataset):
    for output, seed in (("x", 1), ("y", 1), ("z", 2)):
        assert choose(dataset, "-n", 2, "-kth", 2, "-r", "--seed", seed, output=output) == 0
    assert chosen(dataset, "x") == chosen(dataset, "y") != chosen(dataset, "z")


def test_links_lead_to_the_images(dataset):
    assert choose(dataset, "-n", 2, "-kth", 2, "--link") == 0
    link = dataset / "out" / chosen(dataset)[0]
    assert link.is_symlink()
    assert link.samefile(dataset / "images" / "a.jpg")


def test_fewer_than_asked_for_is_a_warning_and_none_an_error(dataset, capsys):
    assert choose(dataset, "-n", 9, "-kth", 3) == 0
    assert "has only 3 images with 1 or more of `worm`" in capsys.readouterr().err
    assert choose(dataset, "-pth", 7, output="none") == 1
    assert "has no image with 7 or more" in capsys.readouterr().err


def test_a_missing_image_is_an_error_before_anything_is_written(dataset, capsys):
    (dataset / "images" / "d.jpg").unlink()
    assert choose(dataset, "-kth", 2) == 1
    assert "1 of the 5 chosen images are not below" in capsys.readouterr().err
    assert not (dataset / "out").exists()


def test_a_folder_with_files_is_not_touched(dataset, capsys):
    (dataset / "out").mkdir()
    assert choose(dataset, "-kth", 2) == 0  # an empty one will do
    before = {*dataset.rglob("*")}
    assert choose(dataset, output="images") == 1
    assert "is not an empty folder" in capsys.readouterr().err
    assert {*dataset.rglob("*")} == before


def test_a_dry_run_writes_nothing(dataset, capsys):
    assert choose(dataset, "-n", 2, "-kth", 2, "--dry_run") == 0
    assert "would choose 2 of 5 fitting images" in capsys.readouterr().out
    assert not (dataset / "out").exists()
