"""Memory of batches."""

import gc

import numpy as np
from small_training import COCO, SKELETON, grey_images, loader_of

from bpnet.data.batch_memory import BatchMemory
from bpnet.data.pipeline import iterate, make_batches
from bpnet.data.records import write_records


def place(array):
    return array.ctypes.data


def test_memory_is_used_again_only_when_its_array_is_gone():
    memory = BatchMemory((2, 3, 5))
    first, second = memory.take(), memory.take()
    assert first.shape == (2, 3, 5)
    assert not np.shares_memory(first, second)
    assert place(first) % 64 == place(second) % 64 == 0
    freed = place(first)
    del first
    gc.collect()
    third = memory.take()
    assert place(third) == freed
    assert not np.shares_memory(second, third)


def test_batches_that_are_kept_are_not_overwritten(tmp_path):
    write_records(tmp_path / "a.tfrecord", grey_images(tmp_path, 3))
    batches = make_batches(
        loader_of(tmp_path),
        skeleton=SKELETON,
        datasets={"coco": COCO},
        records=[tmp_path / "a.tfrecord"],
        seed=1,
        batch_size=2,
        steps=9,
    )
    kept, copies = [], []
    for batch in iterate(batches):
        kept.append(batch["images"])
        copies.append(batch["images"].numpy().copy())
    for images, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(images.numpy(), copy)
