"""An inference spec -> the decoder's settings."""

import dataclasses
import logging
from collections.abc import Iterable

from bpnet.decode import DecoderSettings
from bpnet.errors import SpecError
from bpnet.pose.contract import ModelContract
from bpnet.spec.inference import InferenceSpec

logger = logging.getLogger(__name__)

THRESHOLDS = ("heatmap_threshold", "paf_threshold")  # that a model's contract says too


def with_model_thresholds(
    spec: InferenceSpec, contract: ModelContract, names: Iterable[str] = THRESHOLDS
) -> InferenceSpec:
    """``spec`` with those of its ``THRESHOLDS`` that ``names`` lists as the model itself says."""
    own = {name: getattr(contract, name) for name in names}
    return dataclasses.replace(spec, **own)


def decoder_settings(spec: InferenceSpec) -> DecoderSettings:
    """What the spec says, and its preset where it is silent.

    Raises:
        SpecError: Two of its settings contradict each other.
    """
    said = spec.decoder
    base = DecoderSettings.tao() if said.preset == "tao" else DecoderSettings()
    stated = {
        "cell_share": said.cell_share,
        "max_peaks": said.max_peaks,
        "min_sample_share": said.min_sample_share,
        "samples_per_cell": said.samples_per_cell,
        "min_samples": said.min_samples,
        "max_samples": said.max_samples,
        "short_limb": said.short_limb,
        "short_limb_score": said.short_limb_score,
        "length_limit": said.length_limit,
        "min_keypoints": said.min_keypoints,
        "min_mean_score": said.min_mean_score,
        "small_person": said.small_person,
    }
    changes = {name: value for name, value in stated.items() if value is not None}
    try:
        return dataclasses.replace(
            base,
            heatmap_threshold=spec.heatmap_threshold,
            paf_threshold=spec.paf_threshold,
            refine=_refinement(spec, base.refine),
            **changes,  # type: ignore[arg-type]  # of each setting's own type, by the spec's fields
        )
    except ValueError as error:
        raise SpecError(f"decoder: {error}") from error


def _refinement(spec: InferenceSpec, default: int) -> int:
    factors = spec.output_upsampling_factor
    if factors is None:
        return default
    if factors in ([1, 1], [2, 2]):
        return factors[0]
    logger.info(
        "output_upsampling_factor %s: peaks are found to a fraction of a cell at the maps' own "
        "resolution, at least as exactly",
        factors,
    )
    return default
