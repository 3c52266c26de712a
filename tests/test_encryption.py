"""Keyed model files."""

import pytest

from bpnet.encryption import MAGIC, decrypt, encrypt, is_encrypted
from bpnet.errors import ModelError
from bpnet.inference.backend import open_backend


@pytest.fixture(scope="module")
def sealed() -> bytes:
    return encrypt(b"weights", "tlt_encode")


def test_the_right_key_opens(sealed):
    assert is_encrypted(sealed)
    assert b"weights" not in sealed
    assert decrypt(sealed, "tlt_encode") == b"weights"


def test_the_same_file_is_never_written_twice(sealed):
    assert encrypt(b"weights", "tlt_encode") != sealed


def test_a_wrong_key_is_an_error_and_no_garbage(sealed):
    with pytest.raises(ModelError, match=r"m\.tlt does not open: the key is wrong"):
        decrypt(sealed, "nvidia_tlt", source="m.tlt")


@pytest.mark.parametrize("place", [len(MAGIC), len(MAGIC) + 20, -1])
def test_a_changed_byte_is_noticed(sealed, place):
    changed = bytearray(sealed)
    changed[place] ^= 1
    with pytest.raises(ModelError, match="damaged"):
        decrypt(bytes(changed), "tlt_encode")


def test_a_cut_file_is_noticed(sealed):
    with pytest.raises(ModelError, match="cut short at byte 12"):
        decrypt(sealed[:12], "tlt_encode")
    with pytest.raises(ModelError, match="damaged"):
        decrypt(sealed[:-1], "tlt_encode")


@pytest.mark.parametrize("key", ["", None])
def test_without_a_key_the_options_are_named(sealed, key):
    with pytest.raises(ModelError, match="--key_file or BPNET_KEY"):
        decrypt(sealed, key)


@pytest.mark.parametrize("name", ["model.tlt", "model.etlt"])
def test_a_missing_encrypted_file_gets_it_too(name, tmp_path):
    # TAO's sample specs name NVIDIA's files, which nobody without TAO has.
    with pytest.raises(ModelError, match=rf"{name} does not exist.*deployable_onnx_v1\.0\.1"):
        open_backend(tmp_path / name)


def test_nvidias_files_get_the_way_out():
    with pytest.raises(ModelError, match=r"deployable_onnx_v1\.0\.1") as caught:
        decrypt(b"\x00" * 64, "nvidia_tlt", source="model.tlt")
    assert str(caught.value).startswith("model.tlt is not a file that bpnet encrypted")
