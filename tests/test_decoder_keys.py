"""The decoder's keys of an inference spec reach the decoder."""

import dataclasses

import pytest

from bpnet.decode import DecoderSettings
from bpnet.errors import SpecError
from bpnet.inference.decoding import decoder_settings
from bpnet.spec.inference import DecoderSection, InferenceSpec

OTHER_THAN_DEFAULT = {
    "min_keypoints": 3,
    "min_mean_score": 0.2,
    "small_person": 3.0,
    "max_peaks": 50,
    "cell_share": 0.7,
    "min_sample_share": 0.9,
    "samples_per_cell": 1.0,
    "min_samples": 4,
    "max_samples": 12,
    "short_limb": 2.0,
    "short_limb_score": 0.2,
    "length_limit": 0.75,
}


def test_every_key_of_the_section_is_tried_here():
    assert {*OTHER_THAN_DEFAULT, "preset"} == {
        field.name for field in dataclasses.fields(DecoderSection)
    }


@pytest.mark.parametrize(("key", "value"), OTHER_THAN_DEFAULT.items())
def test_a_key_changes_its_setting_alone(key, value):
    default = decoder_settings(InferenceSpec())
    changed = decoder_settings(InferenceSpec(decoder=DecoderSection(**{key: value})))
    assert getattr(default, key) != value
    assert changed == dataclasses.replace(default, **{key: value})


def test_a_silent_spec_means_the_defaults():
    assert decoder_settings(InferenceSpec()) == DecoderSettings()


def test_a_key_comes_before_its_preset():
    said = DecoderSection(preset="tao", min_keypoints=3)
    settings = decoder_settings(InferenceSpec(decoder=said))
    assert (settings.min_keypoints, settings.min_mean_score, settings.small_person) == (3, 0.4, 0)


@pytest.mark.parametrize(("factors", "refine"), [(None, 1), ([1, 1], 1), ([2, 2], 2), ([8, 8], 1)])
def test_upsampling_by_two_refines(factors, refine):
    assert decoder_settings(InferenceSpec(output_upsampling_factor=factors)).refine == refine


def test_contradicting_keys_are_named():
    said = DecoderSection(min_samples=8, max_samples=4)
    with pytest.raises(SpecError, match=r"decoder: min_samples.*max_samples"):
        decoder_settings(InferenceSpec(decoder=said))
