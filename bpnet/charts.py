"""Charts of a dataset's statistics, and of networks pruned by degrees."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from bpnet.data.statistics import Histogram, Statistics

SEEN, HIDDEN, UNLABELLED = "#2f6db3", "#8fbbe3", "#dfe3e8"
DPI = 120


def draw_statistics(statistics: Statistics, title: str) -> NDArray[np.uint8]:
    """The statistics as a picture (H, W, 3) RGB, taller where there are many keypoints."""
    tall = max(7, 2 + len(statistics.keypoints) // 5)  # inches
    figure = Figure(figsize=(14, tall), dpi=DPI, layout="constrained")
    figure.suptitle(
        f"{title}: {statistics.people:,} labelled people in {statistics.images:,} images"
    )
    axes = figure.subplot_mosaic(
        [["keypoints", "heights", "centres"], ["keypoints", "shares", "people"]],
        width_ratios=[1.2, 1, 1],
    )
    _draw_keypoints(axes["keypoints"], statistics)
    _draw_histogram(axes["heights"], statistics.heights, "height of their boxes, pixels")
    _draw_histogram(axes["shares"], statistics.shares, "the same as part of the image's height")
    _draw_centres(axes["centres"], statistics)
    _draw_people(axes["people"], statistics)
    return _pixels(figure)


def draw_sweep(
    costs: Mapping[str, Sequence[float]], ap: Sequence[float], labels: Sequence[str], title: str
) -> NDArray[np.uint8]:
    """AP against costs as a picture (H, W, 3) RGB.

    Args:
        costs: By name, each network's as a percentage of the first, whole one.
        ap: Of each network, 0..1.
        labels: A word beside each point.
        title: Above all.
    """
    figure = Figure(figsize=(6.5 * len(costs), 5), dpi=DPI, layout="constrained")
    figure.suptitle(title)
    for axes, (name, cost) in zip(
        np.ravel(figure.subplots(1, len(costs), sharey=True)), costs.items(), strict=True
    ):
        order = np.argsort(cost)
        axes.plot(np.take(cost, order), np.take(ap, order), marker="o", color=SEEN)
        axes.axhline(ap[0], color=HIDDEN, linestyle="--", linewidth=1, zorder=0)
        for x, y, label in zip(cost, ap, labels, strict=True):
            axes.annotate(label, (x, y), (4, -12), textcoords="offset points", fontsize=8)
        axes.set(xlabel=f"% of the {name}", xlim=(0, 105), ylim=(0, max(0.05, 1.1 * max(ap))))
        axes.set_ylabel("AP")
        axes.grid(color=UNLABELLED)
    return _pixels(figure)


def _pixels(figure: Figure) -> NDArray[np.uint8]:
    """The figure drawn (H, W, 3)."""
    pixels = io.BytesIO()
    figure.savefig(pixels, format="rgba")
    width, height = (round(inches * DPI) for inches in figure.get_size_inches())
    picture = np.frombuffer(pixels.getvalue(), np.uint8).reshape(height, width, 4)
    return np.ascontiguousarray(picture[..., :3])


def _draw_keypoints(axes: Axes, statistics: Statistics) -> None:
    """A bar a keypoint: how often it is visible, hidden or not labelled."""
    places = np.arange(len(statistics.keypoints))
    done = np.zeros(len(places))
    for label, counts, colour in (
        ("visible", statistics.visible, SEEN),
        ("hidden, labelled", statistics.hidden, HIDDEN),
        ("not labelled", statistics.unlabelled, UNLABELLED),
    ):
        share = 100 * counts / statistics.people
        axes.barh(places, share, left=done, height=0.8, color=colour, label=label)
        done = done + share
    axes.set(xlim=(0, 100), ylim=(len(places) - 0.4, -0.6), xlabel="% of people")
    axes.set_yticks(places, statistics.keypoints)
    axes.set_title("keypoints")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, -0.17), ncols=3, frameon=False)


def _draw_histogram(axes: Axes, histogram: Histogram, label: str) -> None:
    axes.stairs(histogram.counts, histogram.edges, fill=True, color=SEEN)
    middle = histogram.percentiles[50]
    axes.axvline(middle, color="black", linewidth=1)
    axes.set(xlabel=label, ylabel="people")
    axes.set_title(f"size of people: median {middle:.3g}")


def _draw_centres(axes: Axes, statistics: Statistics) -> None:
    """Where the boxes' centres lie, the image's top at the top."""
    drawn = axes.imshow(
        statistics.centres, extent=(0, 1, 1, 0), cmap="viridis", interpolation="nearest"
    )
    axes.figure.colorbar(drawn, ax=axes, label="people")
    axes.set(xlabel="part of the image's width", ylabel="part of its height")
    axes.set_title("centres of people")


def _draw_people(axes: Axes, statistics: Statistics) -> None:
    counts = statistics.people_per_image
    axes.bar(np.arange(len(counts)), counts, width=0.8, color=SEEN)
    axes.set(xlabel="labelled people in an image", ylabel="images")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title("people an image")
