"""The quickstart's report: the table, the curves, targets beside predicted maps, people found."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bpnet.commands.quickstart import Variant

HEADER = ("variant", "parameters", "GFLOPs", "file, kB", "AP", "AP50", "ms an image")
MAP_EXAMPLES = 3
SHEET_IMAGES = 12


def rows_of(variants: "Sequence[Variant]") -> list[tuple[str, ...]]:
    """The table's rows as text, under ``HEADER``."""
    return [
        (
            each.variant,
            f"{each.parameters:,}",
            f"{each.gflops:.2f}",
            f"{each.bytes / 1000:,.0f}",
            f"{each.ap:.3f}",
            f"{each.ap50:.3f}",
            f"{each.ms_per_image:.1f}",
        )
        for each in variants
    ]


def write_report(root: Path, variants: "Sequence[Variant]") -> None:
    """Write ``report.html``, ``maps.jpg``, ``people.jpg`` from what the commands left in ``root``.

    Raises:
        DataError: It cannot be written.
    """
    from bpnet.report import Page

    page = Page("bpnet quickstart")
    page.paragraph(
        "A slim pose network, trained in minutes on drawn people, pruned, retrained and exported. "
        "AP is COCO's keypoint average precision on drawn people that were not trained on, with "
        "the flip test: each picture is also seen mirrored, and both answers are averaged. The "
        "time is an image's without that test, network and decoder together, on one core of this "
        "machine, all variants measured in turns."
    )
    page.table(HEADER, rows_of(variants))
    page.paragraph(f"Drawn people, generator version {variants[0].generator}.", note=True)
    page.heading("Training")
    for name, caption in (("train", "Training"), ("retrain", "Retraining the pruned network")):
        page.picture_file(
            root / name / "curves.png",
            alt=f"{caption}: loss and AP by epoch",
            caption=f"{caption} (AP without the flip test)",
        )
    page.heading("What it learns, and what it has learned")
    page.picture(
        _saved(root / "maps.jpg", _map_examples(root)),
        alt="A row an image: the picture, target and predicted heatmaps, target and predicted PAFs",
        caption="Picture; target heatmaps, predicted heatmaps; target PAFs, predicted PAFs "
        "(retrained network, pictures that were not trained on).",
    )
    page.heading("People found by the INT8 model")
    page.picture(
        _saved(root / "people.jpg", _contact_sheet(root)),
        alt="Pictures with the skeletons of the people found",
    )
    page.write(root / "report.html")


def _saved(path: Path, image: "NDArray[np.uint8]") -> "NDArray[np.uint8]":
    """The picture, also written as a file of its own."""
    import cv2

    from bpnet.files import replacing

    with replacing(path) as temporary:
        cv2.imwrite(str(temporary), image[..., ::-1])
    return image


def _map_examples(root: Path) -> "NDArray[np.uint8]":
    """A row an image: the picture, target and predicted heatmaps, target and predicted PAFs."""
    import numpy as np

    from bpnet.drawing import contact_sheet, draw_heatmaps, draw_pafs
    from bpnet.pose.maps import PoseMaps
    from bpnet.spec.dataloader import STRIDE

    images, heatmaps, pafs = _targets(root)
    predicted_heatmaps, predicted_pafs = _predictions(root, images)
    cells = []
    for n, image in enumerate(images):
        target = PoseMaps(heatmaps[n], pafs[n], STRIDE, STRIDE)
        predicted = PoseMaps(predicted_heatmaps[n], predicted_pafs[n], STRIDE, STRIDE)
        cells += [image, draw_heatmaps(image, target), draw_heatmaps(image, predicted)]
        cells += [draw_pafs(image, target), draw_pafs(image, predicted)]
    return np.asarray(contact_sheet(cells, columns=5), dtype=np.uint8)


def _targets(root: Path) -> "tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]":
    """Some test images and the maps that a perfect network would draw for them."""
    import numpy as np

    from bpnet.commands.quickstart_specs import DATASET
    from bpnet.data.pipeline import iterate, make_batches
    from bpnet.encode import draw_maps
    from bpnet.pose.skeleton import Skeleton
    from bpnet.spec.dataloader import STRIDE
    from bpnet.spec.dataset import DatasetSpec
    from bpnet.spec.reader import read_spec
    from bpnet.spec.train import BpNetTrainer

    loader = read_spec(root / "specs" / "train.yaml", BpNetTrainer).dataloader
    skeleton = Skeleton.load(root / "specs" / "skeleton.json")
    batches = make_batches(
        loader,
        skeleton=skeleton,
        datasets={DATASET: read_spec(root / "specs" / "dataset.json", DatasetSpec)},
        records=[root / "records" / "test-fold-000-of-001"],
        seed=0,
        batch_size=MAP_EXAMPLES,
        steps=1,
        augment=False,
    )
    batch = next(iterate(batches))
    height, width = loader.pose_config.target_shape
    labels = loader.label_processor_config
    heatmaps, pafs = draw_maps(
        batch["keypoints"],
        limbs=skeleton.limbs,
        map_height=height,
        map_width=width,
        stride=STRIDE,
        sigma=labels.heatmap_gaussian_sigma,
        limb_width=STRIDE * labels.paf_ortho_dist_thresh,
    )
    return np.asarray(batch["images"]), np.asarray(heatmaps), np.asarray(pafs)


def _predictions(
    root: Path, images: "NDArray[np.uint8]"
) -> "tuple[NDArray[np.float32], NDArray[np.float32]]":
    import numpy as np

    from bpnet.inference.backend import open_backend

    maps = open_backend(root / "retrain" / "bpnet_model.keras").predict(images)
    return np.stack([each.heatmaps for each in maps]), np.stack([each.pafs for each in maps])


def _contact_sheet(root: Path) -> "NDArray[np.uint8]":
    import cv2
    import numpy as np

    from bpnet.drawing import contact_sheet

    files = sorted(
        (root / "inference" / "images_annotated").glob("*.png"), key=lambda path: int(path.stem)
    )
    images = [np.asarray(cv2.imread(str(path)))[..., ::-1] for path in files[:SHEET_IMAGES]]
    return np.asarray(contact_sheet(images, columns=3), dtype=np.uint8)
