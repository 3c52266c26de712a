"""Model files: Keras's ``.keras`` with a note of what the network means, and ``.tlt`` with a key.

The note is the member ``bpnet.json`` of the zip, a ModelContract. A ``.tlt`` is the encrypted
``.keras``. TAO's names ``x.hdf5`` and ``x.tlt`` find, and become, ``x.keras``.
"""

import json
import logging
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import keras

from bpnet import encryption
from bpnet.errors import ModelError
from bpnet.files import HDF5_SUFFIXES, KERAS_SUFFIXES, model_candidates, replacing
from bpnet.model.graph import with_precision
from bpnet.model.weights import network_from_hdf5
from bpnet.pose.contract import ModelContract

logger = logging.getLogger(__name__)

CONTRACT_MEMBER = "bpnet.json"


def find_model(path: Path) -> Path:
    """The file that ``path`` means: itself, or if it is missing ``.keras`` or ``.tlt`` beside it.

    Raises:
        ModelError: The suffix is no model file's, or there is no such file.
    """
    _check_suffix(path)
    for candidate in model_candidates(path):
        if candidate.is_file():
            if candidate != path:
                logger.info("%s does not exist; using %s", path, candidate)
            return candidate
    raise encryption.missing_model(path)


def output_path(path: Path, *, key: str | None = None) -> Path:
    """Where a model asked for as ``path`` is written: ``.tlt`` with a key, else ``.keras``.

    Raises:
        ModelError: The suffix is no model file's.
    """
    if not path.suffix:
        return path.with_suffix(".tlt" if key else ".keras")
    _check_suffix(path)
    target = path.with_suffix(".tlt" if key else ".keras")
    if target != path:
        reason = "models with a key are .tlt" if key else "models are saved as .keras"
        logger.info("writing %s instead of %s: %s", target, path.name, reason)
    return target


def save_model(
    model: keras.Model, path: Path, contract: ModelContract | None, *, key: str | None = None
) -> Path:
    """Write a network and what it means; the file is there whole or not at all.

    A network that trained in mixed precision is saved as the float32 network it is: how to compute
    is the choice of who loads it (``graph.with_precision``).

    Returns:
        The file written, by the rule of ``output_path``.

    Raises:
        DataError: The file cannot be written.
    """
    target = output_path(path, key=key)
    if any(layer.compute_dtype != layer.variable_dtype for layer in model.layers):
        model = with_precision(model, "float32")
    if not key:
        with replacing(target) as temporary:
            _write_archive(model, temporary, contract)
        return target
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "model.keras"
        _write_archive(model, plain, contract)
        sealed = encryption.encrypt(plain.read_bytes(), key)
    with replacing(target) as temporary:
        temporary.write_bytes(sealed)
    return target


def load_model(path: Path, *, key: str | None = None) -> tuple[keras.Model, ModelContract | None]:
    """The network of a model file, and what it means where the file says so.

    A ``.hdf5`` of TAO holds a network without its meaning: its layers are recognised by name.

    Raises:
        ModelError: There is no such file, its key is missing or wrong, or it cannot be read.
    """
    found = find_model(path)
    if found.suffix in HDF5_SUFFIXES:
        return network_from_hdf5(found), None
    if found.suffix == ".keras":
        return _read_archive(found, found)
    try:
        sealed = found.read_bytes()
    except OSError as error:
        raise ModelError(f"{found} cannot be read: {error.strerror}") from error
    plain = encryption.decrypt(sealed, key, source=str(found))
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "model.keras"
        archive.write_bytes(plain)
        return _read_archive(archive, found)


def _check_suffix(path: Path) -> None:
    if path.suffix not in KERAS_SUFFIXES:
        raise ModelError(
            f"{path} is not the name of a Keras model: it should end in .keras, .tlt or .hdf5"
        )


def _write_archive(model: keras.Model, path: Path, contract: ModelContract | None) -> None:
    keras.saving.save_model(model, path)
    if contract is not None:
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(CONTRACT_MEMBER, json.dumps(contract.to_dict(), indent=1))


def _read_archive(archive: Path, named: Path) -> tuple[keras.Model, ModelContract | None]:
    """Read the zip ``archive``; errors speak of ``named``, the user's file."""
    contract = _read_contract(archive, named)
    try:
        model = keras.saving.load_model(archive, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        if "Lambda" in str(error) or "unsafe" in str(error):
            raise ModelError(
                f"{named} holds Python code (a Lambda layer), which could do anything on this"
                " machine; rebuild the network without it"
            ) from error
        reason = str(error).strip().split("\n")[0].rstrip(". ")
        raise ModelError(f"{named} cannot be read as a Keras 3 model: {reason}") from error
    if not isinstance(model, keras.Model):
        raise ModelError(f"{named} holds a {type(model).__name__}, not a model")
    return model, contract


def _read_contract(archive: Path, named: Path) -> ModelContract | None:
    try:
        with zipfile.ZipFile(archive) as members:
            broken = members.testzip()
            if broken is not None:
                raise ModelError(f"{named} is damaged ({broken}); copy or download it again")
            if CONTRACT_MEMBER not in members.namelist():
                return None
            note: Any = json.loads(members.read(CONTRACT_MEMBER))
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ModelError(
            f"{named} is not a whole .keras file (a zip); it was cut short, or is something else"
        ) from error
    except OSError as error:
        raise ModelError(f"{named} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ModelError(f"{CONTRACT_MEMBER} inside {named} is not JSON: {error}") from error
    try:
        return ModelContract.from_dict(note)
    except ModelError as error:
        raise ModelError(f"{CONTRACT_MEMBER} inside {named}: {error}") from error
