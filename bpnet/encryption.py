"""Model files that only their key opens.

A file is ``BPNETENC1``, 16 bytes of salt, 12 bytes of nonce, then the content under AES-256-GCM,
whose key scrypt makes of the user's. A wrong key or a changed byte is noticed, never decoded.
"""

import os
from pathlib import Path
from typing import Any

from bpnet.errors import MissingLibraryError, ModelError

MAGIC = b"BPNETENC1"
SALT_SIZE = 16  # bytes
NONCE_SIZE = 12  # bytes
HEADER_SIZE = len(MAGIC) + SALT_SIZE + NONCE_SIZE
SCRYPT_COST = 2**15  # 32 MiB and about 0.1 s a file

SUFFIXES = (".tlt", ".etlt")  # of encrypted files, ours and NVIDIA's
NVIDIA_FILES = (
    "NVIDIA's encrypted .tlt and .etlt files cannot be read by open code, but NVIDIA publishes "
    "BodyPoseNet as plain ONNX (deployable_onnx_v1.0.1 on NGC), which evaluate and inference run, "
    "and training starts from a .hdf5 of TAO 5"
)


def missing_model(path: Path) -> ModelError:
    """The error that says that the model file ``path`` is not there."""
    said = f"the model {path} does not exist; check the path"
    if path.suffix.lower() in SUFFIXES:
        said += f" ({NVIDIA_FILES})"
    return ModelError(said)


def is_encrypted(data: bytes) -> bool:
    """Whether ``data`` begins as a file that ``encrypt`` wrote."""
    return data.startswith(MAGIC)


def encrypt(data: bytes, key: str) -> bytes:
    """``data`` as a file that only ``key`` opens."""
    if not key:
        raise ValueError("the key is empty")
    salt, nonce = os.urandom(SALT_SIZE), os.urandom(NONCE_SIZE)
    header = MAGIC + salt + nonce
    return header + bytes(_cipher(key, salt).encrypt(nonce, data, header))


def decrypt(data: bytes, key: str | None, *, source: str = "the model file") -> bytes:
    """What ``encrypt`` was given; ``source`` names the file in errors.

    Raises:
        ModelError: The key is wrong or missing, or the file is damaged or not one of ours.
    """
    if not is_encrypted(data):
        raise ModelError(f"{source} is not a file that bpnet encrypted; {NVIDIA_FILES}")
    if not key:
        raise ModelError(f"{source} is encrypted: give its key with -k, --key_file or BPNET_KEY")
    if len(data) <= HEADER_SIZE:
        raise ModelError(f"{source} is cut short at byte {len(data)}; copy it again")
    header = data[:HEADER_SIZE]
    salt, nonce = header[len(MAGIC) : -NONCE_SIZE], header[-NONCE_SIZE:]
    cipher = _cipher(key, salt)
    from cryptography.exceptions import InvalidTag

    try:
        return bytes(cipher.decrypt(nonce, data[HEADER_SIZE:], header))
    except InvalidTag:
        raise ModelError(f"{source} does not open: the key is wrong or the file damaged") from None


def _cipher(key: str, salt: bytes) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
    except ModuleNotFoundError as error:
        said = "encrypted model files need the library cryptography: pip install cryptography"
        raise MissingLibraryError(said) from error
    derived = Scrypt(salt=salt, length=32, n=SCRYPT_COST, r=8, p=1).derive(key.encode())
    return AESGCM(derived)
