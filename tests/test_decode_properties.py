"""What holds for the people of any maps, any skeleton and any settings."""

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from decode_oracle import skeleton_of
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from bpnet.decode import Decoder, DecoderSettings
from bpnet.pose.maps import PoseMaps
from bpnet.pose.persons import PersonKeypoints
from bpnet.pose.skeleton import Skeleton

# The same examples each time: a failure is a fault of the change, not of the day.
examples = settings(max_examples=80, deadline=None, derandomize=True, database=None)
VALUES = st.one_of(
    st.floats(width=32), st.floats(0, 1, width=32), st.sampled_from([0.0, 0.5, 1.0, -0.3])
)


@dataclass(frozen=True)
class Scene:
    skeleton: Skeleton
    settings: DecoderSettings
    batch: list[PoseMaps]


@st.composite
def skeletons(draw: st.DrawFn) -> Skeleton:
    """1 to 133 keypoints, any limbs: cycles, the same twice, none."""
    keypoints = draw(st.one_of(st.integers(1, 6), st.integers(1, 133)))
    ends = st.integers(0, keypoints - 1)
    pairs = st.tuples(ends, ends).filter(lambda pair: pair[0] != pair[1])
    limbs = draw(st.lists(pairs, max_size=2 * keypoints)) if keypoints > 1 else []
    return skeleton_of(keypoints, limbs)


@st.composite
def decoder_settings(draw: st.DrawFn) -> DecoderSettings:
    least = draw(st.integers(2, 6))
    return DecoderSettings(
        heatmap_threshold=draw(st.floats(-0.5, 1)),
        cell_share=draw(st.floats(0, 1)),
        max_peaks=draw(st.integers(1, 40)),
        refine=draw(st.sampled_from([1, 2])),
        paf_threshold=draw(st.floats(-2, 1)),
        min_sample_share=draw(st.floats(0, 1)),
        samples_per_cell=draw(st.floats(0, 4)),
        min_samples=least,
        max_samples=draw(st.integers(least, 12)),
        short_limb=draw(st.floats(0, 4)),
        short_limb_score=draw(st.floats(0, 1)),
        length_limit=draw(st.floats(0, 3)),
        paf_cell_corners=draw(st.booleans()),
        min_keypoints=draw(st.integers(0, 5)),
        min_mean_score=draw(st.floats(-1, 1)),
        small_person=draw(st.one_of(st.just(0.0), st.floats(0, 20))),
    )


@st.composite
def maps_of(draw: st.DrawFn, skeleton: Skeleton) -> PoseMaps:
    """Noise, and in some of its cells anything a float can be."""
    sides = st.integers(1, 12)
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    both = []
    for channels in (skeleton.heatmap_channels, skeleton.paf_channels):
        values = random.random((draw(sides), draw(sides), channels), np.float32)
        spoilt = draw(arrays.arrays(np.float32, draw(st.integers(0, 40)), elements=VALUES))
        places = random.integers(0, max(values.size, 1), spoilt.size if values.size else 0)
        values.reshape(-1)[places] = spoilt[: len(places)]
        both.append(values)
    strides = st.sampled_from([8, 8, 4, 2, 1, 7.3])
    return PoseMaps(*both, draw(strides), draw(strides))


@st.composite
def scenes(draw: st.DrawFn, images: int = 1) -> Scene:
    skeleton = draw(skeletons())
    chosen = draw(st.one_of(st.just(DecoderSettings()), decoder_settings()))
    return Scene(skeleton, chosen, [draw(maps_of(skeleton)) for _ in range(images)])


def bytes_of(people: PersonKeypoints) -> tuple[bytes, bytes, bytes]:
    return people.xy.tobytes(), people.score.tobytes(), people.person_score.tobytes()


def parts_of(found: NDArray[np.bool_], skeleton: Skeleton) -> int:
    """Into how many parts the limbs between found keypoints divide them."""
    part = {int(keypoint): {int(keypoint)} for keypoint in np.flatnonzero(found)}
    for first, second in skeleton.limbs:
        if first in part and second in part:
            joined = part[first] | part[second]
            part |= dict.fromkeys(joined, joined)
    return len({id(joined) for joined in part.values()})


@examples
@given(scenes())
def test_people_are_whole_distinct_and_in_the_map(scene: Scene) -> None:
    maps = scene.batch[0]

    people = Decoder(scene.skeleton, scene.settings)(maps)

    found = people.score > 0
    keypoints = found.sum(axis=1)
    assert people.xy.shape == (*found.shape, 2)
    assert np.isfinite(people.xy).all()
    assert np.isfinite(people.score).all()
    assert (people.score >= 0).all()
    assert np.isfinite(people.person_score).all()
    assert (np.diff(people.person_score) <= 0).all()  # most certain first
    assert (people.xy[~found] == 0).all()
    assert (keypoints >= max(scene.settings.min_keypoints, 2)).all()
    assert all(parts_of(row, scene.skeleton) == 1 for row in found)
    size = np.array(maps.heatmaps.shape[1::-1]) * maps.heatmap_stride  # x, y in pixels
    assert (people.xy[found] > -maps.heatmap_stride).all()
    assert (people.xy[found] < size).all()
    for keypoint in range(found.shape[1]):  # no peak belongs to two people
        places = people.xy[found[:, keypoint], keypoint]
        assert len(np.unique(places, axis=0)) == len(places) <= scene.settings.max_peaks


@examples
@given(scenes(images=5))
def test_threads_and_batches_change_no_byte(scene: Scene) -> None:
    decoder = Decoder(scene.skeleton, scene.settings)
    expected = [bytes_of(decoder(maps)) for maps in scene.batch]

    for threads in (1, 2, 3, 8):
        for size in (1, 2, 5):
            found: list[PersonKeypoints] = []
            for begin in range(0, 5, size):
                found += decoder.decode_batch(scene.batch[begin : begin + size], threads)
            assert [bytes_of(people) for people in found] == expected


def reordered(array: NDArray[np.float32], order: tuple[int, ...]) -> NDArray[np.float32]:
    """The same array, its axes in another order in memory."""
    return np.ascontiguousarray(array.transpose(order)).transpose(np.argsort(order))


def gapped(array: NDArray[np.float32], steps: tuple[int, int, int]) -> NDArray[np.float32]:
    """The same array as a view of a wider one, backwards where a step is negative."""
    wide = np.full(
        [side * abs(step) for side, step in zip(array.shape, steps, strict=True)], np.nan
    )
    view = wide.astype(np.float32)[tuple(slice(None, None, step) for step in steps)]
    view[...] = array
    return view


ORDERS = st.permutations([0, 1, 2]).map(tuple)
STEPS = st.tuples(*[st.sampled_from([1, 1, 2, 3, -1, -2])] * 3)


@examples
@given(scenes(), ORDERS, ORDERS, STEPS, STEPS)
def test_the_layout_in_memory_changes_no_byte(
    scene: Scene,
    heatmap_order: tuple[int, ...],
    paf_order: tuple[int, ...],
    heatmap_steps: tuple[int, int, int],
    paf_steps: tuple[int, int, int],
) -> None:
    decoder = Decoder(scene.skeleton, scene.settings)
    maps = scene.batch[0]
    views = (
        replace(
            maps,
            heatmaps=reordered(maps.heatmaps, heatmap_order),
            pafs=reordered(maps.pafs, paf_order),
        ),
        replace(
            maps,
            heatmaps=gapped(maps.heatmaps, heatmap_steps),
            pafs=gapped(maps.pafs, paf_steps),
        ),
        replace(maps, heatmaps=np.asfortranarray(maps.heatmaps), pafs=np.asfortranarray(maps.pafs)),
    )

    assert {bytes_of(decoder(view)) for view in views} == {bytes_of(decoder(maps))}


@examples
@given(scenes())
def test_half_precision_maps_decode_as_their_values_do(scene: Scene) -> None:
    decoder = Decoder(scene.skeleton, scene.settings)
    maps = scene.batch[0]
    with np.errstate(over="ignore"):
        half = [array.astype(np.float16) for array in (maps.heatmaps, maps.pafs)]
    strides = (maps.heatmap_stride, maps.paf_stride)

    from_half = decoder(PoseMaps(*half, *strides))

    single = PoseMaps(*(array.astype(np.float32) for array in half), *strides)
    assert bytes_of(from_half) == bytes_of(decoder(single))


@examples
@given(scenes())
def test_cells_that_mean_nothing_count_as_0(scene: Scene) -> None:
    decoder = Decoder(scene.skeleton, scene.settings)
    maps = scene.batch[0]
    sane = np.abs(maps.heatmaps) < 1e6  # neither is NaN
    cleaned = replace(maps, heatmaps=np.where(sane, maps.heatmaps, np.float32(0)))

    assert bytes_of(decoder(maps)) == bytes_of(decoder(cleaned))


def test_saved_maps_decode_to_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    random = np.random.default_rng(6)
    heatmaps = random.random((24, 30, 6), np.float32)
    pafs = random.normal(0.3, 0.5, (24, 30, 12)).astype(np.float32)
    np.savez(tmp_path / "maps.npz", heatmaps=heatmaps, pafs=pafs)
    limbs = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (1, 3)]
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import numpy as np
from decode_oracle import skeleton_of
from bpnet.decode import Decoder
from bpnet.pose.maps import PoseMaps
maps = np.load({str(tmp_path / "maps.npz")!r})
batch = [PoseMaps(maps["heatmaps"], maps["pafs"], 8, 8)] * 5
for people in Decoder(skeleton_of(5, {limbs})).decode_batch(batch, threads=3):
    print((people.xy.tobytes() + people.score.tobytes() + people.person_score.tobytes()).hex())
"""
    command = [sys.executable, "-c", script]

    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    people = Decoder(skeleton_of(5, limbs))(PoseMaps(heatmaps, pafs, 8, 8))
    assert len(people) > 20
    assert printed == [b"".join(bytes_of(people)).hex()] * 5
