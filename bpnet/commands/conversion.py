"""The steps of ``bpnet dataset_convert``, one after the other."""

import argparse
import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from bpnet.data.coco import CocoImage, read_subset
from bpnet.data.convert import plan_records, split_records
from bpnet.data.dataset_check import check_dataset
from bpnet.data.faults import SHOWN
from bpnet.data.image_check import check_images
from bpnet.data.mask_files import find_masks, write_masks
from bpnet.data.masks import mask_name
from bpnet.data.records import PoseRecord, build_record, write_records
from bpnet.data.storage import (
    address,
    is_folder,
    join,
    names_in,
    read_bytes,
    remove_leftovers,
    write_bytes,
)
from bpnet.data.summary import summary_dict
from bpnet.errors import DataError
from bpnet.spec.dataset import DataSection, DatasetSpec

logger = logging.getLogger(__name__)

NO_MASK = "mask is missing"


class Conversion:
    """One subset of a dataset on its way from annotations to records.

    Attributes:
        dataset: The annotation file.
        plan: Which records it makes.
        masks: How many masks were drawn, kept...
        files: The number of records of each file written.
    """

    def __init__(self, args: argparse.Namespace, spec: DatasetSpec, section: DataSection) -> None:
        """Read the annotations.

        Raises:
            DataError: They cannot be used.
        """
        self._args, self._spec, self._section = args, spec, section
        root = Path(spec.root_directory_path)
        self._annotations = join(root, section.annotation_root_dir_path)
        self._mask_folder = join(root, section.mask_root_dir_path)
        self.dataset, self._image_folder = read_subset(spec, section)
        self.masks: dict[str, int] = {}
        self.files: dict[str, int] = {}
        self._masked: set[int] = set()  # ids of the images with a mask file

    def run(self) -> None:
        """Check, draw masks, write the records and summary.json.

        Raises:
            DataError: There is no usable person, or a file cannot be read or written.
        """
        for finding in check_dataset(self.dataset, self._spec, crossed=False):
            logger.warning("%s: %s", address(self._annotations), finding.sentence)
        self.make_plan(self._unusable_images())
        left_out = self._left_out
        self._prepare_masks([one for one in self.dataset.images if one.id not in left_out])
        prefix = Path(self._args.output_filename)
        try:
            remove_leftovers(prefix.parent)
            self._write_files()
            self._warn_of_old_files(prefix)
        except OSError as error:
            raise DataError(
                f"{address(prefix.parent)} cannot be used: {error.strerror or error}"
            ) from error
        self._write_summary(prefix.parent / "summary.json")

    def make_plan(self, left_out: dict[int, str]) -> None:
        """Choose the main people.

        Args:
            left_out: Why an image, by its id, gets no record.

        Raises:
            DataError: No record is left, or fewer than there are files to fill.
        """
        self._left_out = left_out
        self.plan = plan_records(
            self.dataset,
            self._spec.data_filtering_params,
            every_person=self._spec.duplicate_data_with_each_person_as_center,
            include_negatives=self._args.include_negatives,
            left_out=left_out,
        )
        if not self.plan.images:
            raise DataError(
                f"{self._section.annotation_root_dir_path} has no usable person: {len(left_out)} "
                f"of its {len(self.dataset.images)} images are left out, and of its people "
                f"{self.plan.summary.dropped_people or 'none'} are dropped; look at "
                "`data_filtering_params`"
            )
        self._split()

    def _split(self) -> dict[str, list[tuple[CocoImage, int | None]]]:
        args = self._args
        return split_records(
            self.plan.images, partitions=args.num_partitions, shards=args.num_shards
        )

    def _unusable_images(self) -> dict[int, str]:
        """Why images, by id, are left out; each is named in a warning."""
        if not self._args.check_files:
            if not is_folder(self._image_folder):
                logger.warning(
                    "the image folder %s does not exist; training will need it",
                    address(self._image_folder),
                )
            return {}
        faults = check_images(self.dataset.images, self._image_folder, workers=self._args.workers)
        reasons = {number: fault.reason for number, fault in faults.items()}
        sentences = [fault.sentence for fault in faults.values()]
        if self._section.mask_root_dir_path and not self._args.generate_masks:
            images = [image for image in self.dataset.images if image.id not in faults]
            lacking = find_masks(images, self._mask_folder)[1]
            reasons |= dict.fromkeys(lacking, NO_MASK)
            sentences += [
                f"image {image.id}: the mask of {image.file_name} does not exist; "
                "--generate_masks draws it"
                for image in images
                if image.id in lacking
            ]
        if sentences:
            logger.warning("images left out: %d\n%s", len(sentences), name_some(sentences))
        return reasons

    def _prepare_masks(self, images: list[CocoImage]) -> None:
        """Draw the masks, or find those that exist."""
        if self._args.generate_masks:
            self._masked, outcomes = write_masks(
                images,
                self._mask_folder,
                workers=self._args.workers,
                annotations=self._annotations,
            )
            self.masks = {name: outcomes[name] for name in ("drawn", "kept", "all valid")}
            boxes = self.plan.summary.boxes_as_regions
            if boxes:
                logger.warning(
                    "%s: %d annotations have no segmentation; the masks draw their boxes",
                    address(self._annotations),
                    boxes,
                )
            return
        self._masked, lacking = find_masks(images, self._mask_folder)
        self.masks = {"found": len(self._masked), "lacking": len(lacking)}
        if lacking:
            logger.warning(
                "%d images show crowds or people without keypoints and have no mask: training "
                "will take them for background; --generate_masks draws the masks",
                len(lacking),
            )

    def _write_files(self) -> None:
        total = self.plan.summary.records
        with tqdm(total=total, desc="records", unit="record", disable=None) as bar:
            for suffix, people in self._split().items():
                path = Path(self._args.output_filename + suffix)
                records = (self._build(image, main) for image, main in people)
                self.files[address(path)] = write_records(path, _counted(records, bar))

    def _build(self, image: CocoImage, main: int | None) -> PoseRecord:
        """The record of a main person, or of nobody."""
        mask = mask_name(image.file_name) if image.id in self._masked else ""
        image_bytes = mask_bytes = b""
        if self._args.embed_images:
            image_bytes = self._read(self._image_folder / image.file_name, image)
            mask_bytes = self._read(self._mask_folder / mask, image) if mask else b""
        section = self._section
        return build_record(
            image,
            main,
            image_path=join(section.images_root_dir_path, image.file_name).as_posix(),
            mask_path=join(section.mask_root_dir_path, mask).as_posix() if mask else "",
            dataset=self._spec.dataset,
            num_keypoints=len(self.dataset.keypoints),
            image_bytes=image_bytes,
            mask_bytes=mask_bytes,
        )

    @staticmethod
    def _read(path: Path, image: CocoImage) -> bytes:
        try:
            data = read_bytes(path)
        except OSError as error:
            raise DataError(
                f"{address(path)} of image {image.id} cannot be read: "
                f"{error.strerror or error}; --check_files leaves such images out"
            ) from error
        if not data:
            raise DataError(
                f"{address(path)} of image {image.id} is empty; "
                "--check_files leaves such images out"
            )
        return data

    def _warn_of_old_files(self, prefix: Path) -> None:
        """Name files of an earlier run with other numbers, which a pattern would read as well."""
        names = {name.rpartition("/")[2] for name in self.files}
        old = [
            name
            for name in names_in(prefix.parent)
            if name.startswith((f"{prefix.name}-fold-", f"{prefix.name}-shard-"))
            and name not in names
        ]
        if old:
            logger.warning("left from an earlier conversion, delete them: %s", ", ".join(old))

    def _write_summary(self, path: Path) -> None:
        """The figures as JSON: the same ones whether or not masks were there before."""
        masks = dict(self.masks)
        if self._args.generate_masks:
            masks = {
                "stored": self.masks["drawn"] + self.masks["kept"],
                "all valid": self.masks["all valid"],
            }
        content = {
            "dataset": self._spec.dataset,
            "annotations": address(self._annotations),
            **summary_dict(self.plan.summary),
            "masks": masks,
            "files": self.files,
        }
        write_bytes(path, (json.dumps(content, indent=2) + "\n").encode())


def name_some(sentences: list[str]) -> str:
    """The first sentences, a line each, and how many more there are."""
    lines = [f"  {sentence}" for sentence in sentences[:SHOWN]]
    if len(sentences) > SHOWN:
        lines.append(f"  and {len(sentences) - SHOWN} more")
    return "\n".join(lines)


def _counted(records: Iterable[PoseRecord], bar: "tqdm[NoReturn]") -> Iterable[PoseRecord]:
    for record in records:
        yield record
        bar.update()
