"""TFRecord files with TAO's features: one record for each main person."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray

from bpnet.data.coco import CocoImage
from bpnet.data.skipped import SkippedImages
from bpnet.data.storage import address, remote_errors, replacing
from bpnet.data.tfrecord import find_records, read_data
from bpnet.errors import DataError

ENCODED_IMAGE, ENCODED_MASK = "image/encoded", "mask/encoded"
NUM_KEYPOINTS = "person/num_keypoints"  # of a record without people, whose joints cannot tell


@dataclass(frozen=True)
class PoseRecord:
    """One image seen from one main person, who comes first of its P people.

    An image without people, a negative, has P = 0 and arrays of that many rows.

    Attributes:
        image_id: COCO image id.
        height: Of the image, pixels.
        width: Of the image, pixels.
        image_path: Below the dataset's root directory.
        mask_path: Below the dataset's root directory; "" where every pixel counts.
        dataset: Name of the dataset, the key under ``dataset_specs`` in a training spec.
        joints: (P, K, 3) float64: x, y in pixels and the raw visibility flag, in the dataset's
            own keypoint order.
        scales: (P,) float64, box heights, pixels.
        centers: (P, 2) float64, x and y of the box centres, pixels.
        person_idx: Place of the main person among the image's annotations; -1 where P is 0.
        num_other_people: P - 1; 0 where P is 0.
        image_bytes: The image file itself; b"" where only its path is stored.
        mask_bytes: The mask as a PNG file; b"" where only its path is stored, or there is none.
    """

    image_id: int
    height: int
    width: int
    image_path: str
    mask_path: str
    dataset: str
    joints: NDArray[np.float64]
    scales: NDArray[np.float64]
    centers: NDArray[np.float64]
    person_idx: int
    num_other_people: int
    image_bytes: bytes = b""
    mask_bytes: bytes = b""

    def serialise(self) -> bytes:
        """The record as a ``tf.train.Example``, the same bytes for the same record."""
        features = {
            "frame/image_id": _integer(self.image_id),
            "frame/height": _integer(self.height),
            "frame/width": _integer(self.width),
            "frame/image_path": _bytes(self.image_path.encode()),
            "frame/mask_path": _bytes(self.mask_path.encode()),
            "dataset": _bytes(self.dataset.encode()),
            "person/joints": _bytes(self.joints.astype("<f8").tobytes()),
            "person/scales": _bytes(self.scales.astype("<f8").tobytes()),
            "person/centers": _bytes(self.centers.astype("<f8").tobytes()),
            "person/person_idx": _integer(self.person_idx),
            "person/num_other_people": _integer(self.num_other_people),
        }
        # Ours, and only where they say something: TAO's loader does not know them.
        if self.image_bytes:
            features[ENCODED_IMAGE] = _bytes(self.image_bytes)
        if self.mask_bytes:
            features[ENCODED_MASK] = _bytes(self.mask_bytes)
        if self.joints.ndim == 3 and len(self.joints) == 0:
            features[NUM_KEYPOINTS] = _integer(self.joints.shape[1])
        example = tf.train.Example(features=tf.train.Features(feature=features))
        data: bytes = example.SerializeToString(deterministic=True)
        return data

    @classmethod
    def parse(cls, data: bytes, *, source: str = "the record") -> "PoseRecord":
        """The record in ``data``.

        Args:
            data: A serialised ``tf.train.Example``, ours or TAO's.
            source: What to call it in an error.

        Raises:
            DataError: It is not a pose record, or one of its features is damaged.
        """
        features = _features(data, source)
        try:
            scales = np.frombuffer(features["person/scales"].bytes_list.value[0], "<f8")
            people = len(scales)
            joints = np.frombuffer(features["person/joints"].bytes_list.value[0], "<f8")
            keypoints = len(joints) // (3 * people) if people else 0
            if not people and NUM_KEYPOINTS in features:
                keypoints = features[NUM_KEYPOINTS].int64_list.value[0]
            centers = np.frombuffer(features["person/centers"].bytes_list.value[0], "<f8")
            return cls(
                image_id=features["frame/image_id"].int64_list.value[0],
                height=features["frame/height"].int64_list.value[0],
                width=features["frame/width"].int64_list.value[0],
                image_path=features["frame/image_path"].bytes_list.value[0].decode(),
                mask_path=features["frame/mask_path"].bytes_list.value[0].decode(),
                dataset=features["dataset"].bytes_list.value[0].decode(),
                joints=joints.reshape(people, keypoints, 3),
                scales=scales,
                centers=centers.reshape(people, 2),
                person_idx=features["person/person_idx"].int64_list.value[0],
                num_other_people=features["person/num_other_people"].int64_list.value[0],
                image_bytes=_optional_bytes(features, ENCODED_IMAGE),
                mask_bytes=_optional_bytes(features, ENCODED_MASK),
            )
        except KeyError as error:
            raise DataError(
                f"{source} has no feature {error}; convert the dataset again"
            ) from error
        except (IndexError, ValueError) as error:
            raise DataError(f"{source} is damaged ({error}); convert the dataset again") from error


def build_record(
    image: CocoImage,
    main: int | None,
    *,
    image_path: str,
    mask_path: str,
    dataset: str,
    num_keypoints: int = 0,
    image_bytes: bytes = b"",
    mask_bytes: bytes = b"",
) -> PoseRecord:
    """The record of main person ``main`` (place among the annotations) of an image.

    The main person comes first; every other labelled person follows in annotation order. Without
    a main person the record has no people, and ``num_keypoints`` says how many each would have.
    """
    places: list[int] = []
    if main is not None:
        others = (
            place for place, one in enumerate(image.annotations) if place != main and one.labelled
        )
        places = [main, *others]
    people = [image.annotations[place] for place in places]
    joints = [np.column_stack([one.xy, one.visibility]) for one in people]
    return PoseRecord(
        image_id=image.id,
        height=image.height,
        width=image.width,
        image_path=image_path,
        mask_path=mask_path,
        dataset=dataset,
        joints=np.array(joints, np.float64) if people else np.zeros((0, num_keypoints, 3)),
        scales=np.array([one.bbox[3] for one in people], np.float64),
        centers=np.array([one.center for one in people], np.float64).reshape(-1, 2),
        person_idx=-1 if main is None else main,
        num_other_people=max(0, len(people) - 1),
        image_bytes=image_bytes,
        mask_bytes=mask_bytes,
    )


def write_records(path: Path, records: Iterable[PoseRecord]) -> int:
    """Write a TFRecord file whole or not at all; returns the number of records.

    Raises:
        DataError: The file cannot be written.
    """
    count = 0
    with replacing(path) as temporary:
        try:
            with remote_errors(path), tf.io.TFRecordWriter(temporary) as writer:
                for record in records:
                    writer.write(record.serialise())
                    count += 1
        except tf.errors.OpError as error:
            raise DataError(f"{address(path)} cannot be written: {error.message}") from error
    return count


class RecordIndex:
    """Where each record of some TFRecord files stands, so that any of them can be read."""

    def __init__(self, paths: Sequence[Path], *, skipped: SkippedImages | None = None) -> None:
        """Scan the files once, without reading the records' data.

        Args:
            paths: The files.
            skipped: Takes those that are damaged, whose records up to there are used; None to end
                with the error.

        Raises:
            DataError: A file is missing, is cut short or is not a TFRecord file.
        """
        self.paths = tuple(paths)
        spans = [find_records(path, skipped=skipped) for path in self.paths]
        self._starts = np.cumsum([0, *(len(one) for one in spans)])  # first record of each file
        self._spans = np.concatenate([np.zeros((0, 2), np.int64), *spans])  # (records, 2)

    def __len__(self) -> int:
        return len(self._spans)

    def read(self, number: int) -> bytes:
        """The data of a record.

        Raises:
            DataError: The file has changed since it was scanned.
        """
        path, _ = self._find(number)
        offset, length = (int(value) for value in self._spans[number])
        data = read_data(path, offset, length)
        if len(data) < length:
            raise DataError(f"{path} is shorter than when it was opened; start again")
        return data

    def parse(self, number: int) -> PoseRecord:
        """A record, parsed.

        Raises:
            DataError: The record is damaged; the sentence names its file and its place in it.
        """
        path, place = self._find(number)
        return PoseRecord.parse(self.read(number), source=f"record {place} of {path}")

    def _find(self, number: int) -> tuple[Path, int]:
        """The file of a record and the record's place in it."""
        if not 0 <= number < len(self):
            raise ValueError(f"record {number} of {len(self)} was asked for")
        file = int(np.searchsorted(self._starts, number, side="right")) - 1
        return self.paths[file], number - int(self._starts[file])


def _integer(value: int) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _optional_bytes(features: dict[str, tf.train.Feature], name: str) -> bytes:
    """The first value of a feature; b"" where the record does not have it."""
    value: bytes = features[name].bytes_list.value[0] if name in features else b""
    return value


def _features(data: bytes, source: str) -> dict[str, tf.train.Feature]:
    try:
        return dict(tf.train.Example.FromString(data).features.feature)
    except DecodeError as error:
        raise DataError(f"{source} is damaged ({error}); convert the dataset again") from error
