"""Training and inference see the same pixels, and a loader that failed lets go of its threads."""

import threading

import numpy as np
import pytest
from small_training import batches_of, grey_images, loader_of, record_of, write_image

from bpnet.errors import DataError
from bpnet.inference.preprocess import InputFit, fit_image


@pytest.mark.parametrize("size", [(300, 400), (427, 640), (90, 70)])
def test_inference_draws_an_image_as_training_does(tmp_path, size):
    noise = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    write_image(tmp_path / "a.png", noise)
    record = record_of("a.png", [[[40, 20, 2], [0, 0, 0], [0, 0, 0]]], size=size, height=40)
    loader = loader_of(tmp_path, mode="standard")
    batch, *_ = batches_of(tmp_path, [record], loader=loader, batch_size=1, augment=False)
    fit = InputFit(height=128, width=160, mode="pad_image_input", pad_value=127)
    fitted = fit_image(noise[..., ::-1].copy(), fit)  # files are written as BGR
    np.testing.assert_array_equal(batch["images"][0], fitted.image)
    x, y = fitted.transform.apply(np.array([[40, 20]], np.float32))[0]
    np.testing.assert_allclose(batch["keypoints"][0, 0, 0, :2], [x, y], atol=1e-3)


def test_a_failed_loader_is_not_kept_by_its_error(tmp_path):
    records = grey_images(tmp_path, 3)
    (tmp_path / "1.jpg").unlink()
    with pytest.raises(DataError) as caught:
        batches_of(tmp_path, records)
    frames = [entry.frame for entry in caught.traceback if entry.name == "iterate"]
    assert frames
    for thread in threading.enumerate():
        if thread.name == "bpnet-loader-end":
            thread.join()
    assert all(frame.f_locals["held"] == [] for frame in frames)
