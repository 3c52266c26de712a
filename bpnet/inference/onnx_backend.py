"""Networks in ONNX files, run by ONNX Runtime: ours, NVIDIA's deployable, anybody's PAF network."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as failures

from bpnet.errors import ModelError
from bpnet.files import make_folder
from bpnet.inference.description import Describe, describe_model
from bpnet.inference.preprocess import to_tensor
from bpnet.inference.providers import cache_folder, check_provider, choose_provider, provider_list
from bpnet.inference.tensors import Tensor, complete_contract, in_batches, make_maps
from bpnet.pose.contract import ModelContract
from bpnet.pose.maps import PoseMaps

METADATA_KEY = "bpnet"
FAILURES = (
    failures.Fail,
    failures.InvalidArgument,
    failures.InvalidGraph,
    failures.InvalidProtobuf,
    failures.NoSuchFile,
    failures.NotImplemented,
    failures.RuntimeException,
)
# It gives float biases of int8 convolutions a scale of their own, which float16 cannot hold: the
# maps of an int8+fp16 graph came out wrong by a tenth. Ours need none.
LEFT_OUT = ["WeightBiasQuantization"]  # of ONNX Runtime's optimisers
# x86 without VNNI adds products of uint8 and int8 in 16 bits, which overflow where activations have
# both signs: the maps of a MobileNetV3 were off by 10 % in place of 2.5 %. So: exact sums, slower.
EXACT_SUMS = "session.x64quantprecision"
TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}


class OnnxBackend:
    """A session of ONNX Runtime and how to feed it. Any number of threads may call it at once.

    Attributes:
        contract: what the network is; ``height`` and ``width`` where the graph fixes them.
        batch: images a run where the graph fixes it, else None.
        runs_on: cpu, cuda, tensorrt or openvino.
    """

    def __init__(
        self,
        path: Path,
        *,
        data: bytes | None = None,
        describe: Describe | None = None,
        stage: int | None = None,
        threads: int | None = None,
        provider: str = "auto",
    ) -> None:
        """Open ``path``, or ``data`` where the file was encrypted.

        Raises:
            ModelError: The file is not a PAF network in ONNX, or nobody says what it is.
            MissingLibraryError: The provider is not there, or cannot start.
        """
        self._path = path
        self._session, self.runs_on = _open_session(path, data, threads, provider)
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in TYPES:
            found = ", ".join(f"{each.name} {each.type} {each.shape}" for each in inputs)
            raise ModelError(f"{path}: expected one input of four axes, found {found or 'none'}")
        contract = _read_contract(self._session, path) or describe_model(path, describe)
        self._type = TYPES[inputs[0].type]
        image = Tensor(inputs[0].name, tuple(inputs[0].shape))
        outputs = [Tensor(each.name, tuple(each.shape)) for each in self._session.get_outputs()]
        self.batch: int | None = image.shape[0] if isinstance(image.shape[0], int) else None
        self.contract: ModelContract = complete_contract(
            contract, path, image, outputs, stage=stage
        )

    def predict(self, images: NDArray[np.uint8]) -> list[PoseMaps]:
        """The maps of each of ``images``, (N, H, W, 3) uint8 RGB."""
        most = self.batch or len(images)
        return in_batches(images, self._run, least=self.batch or 1, most=most)

    def _run(self, images: NDArray[np.uint8]) -> list[PoseMaps]:
        contract = self.contract
        try:
            heatmaps, pafs = self._session.run(
                [contract.heatmap_output, contract.paf_output],
                {contract.input_name: to_tensor(images, contract, self._type)},
            )
        except FAILURES as error:
            size = "x".join(str(side) for side in images.shape[:3])
            raise ModelError(f"{self._path} failed on images {size}: {error}") from error
        height, width = images.shape[1:3]
        return make_maps(heatmaps, pafs, contract, self._path, size=(height, width))


def parse_contract(text: str, path: Path) -> ModelContract:
    """The contract that the ONNX file ``path`` has in its metadata, as JSON.

    Raises:
        ModelError: It is damaged.
    """
    try:
        return ModelContract.from_dict(json.loads(text))
    except ValueError as error:
        raise ModelError(f"{path}: its metadata is not JSON: {error}") from error
    except ModelError as error:
        raise ModelError(f"{path}: {error}; export it again") from error


def _read_contract(session: Any, path: Path) -> ModelContract | None:
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    return None if text is None else parse_contract(text, path)


def _open_session(
    path: Path, data: bytes | None, threads: int | None, asked: str
) -> tuple[Any, str]:
    """A session, and the provider that it runs on."""
    provider = choose_provider(asked, onnxruntime.get_available_providers())
    source = str(path) if data is None else data
    if provider == "tensorrt":
        make_folder(cache_folder())
    try:
        precision = _precision(source, path) if provider == "tensorrt" else "fp32"
        providers = provider_list(provider, threads=threads, precision=precision)
        session = start_session(source, _options(threads), providers)
    except FAILURES as error:
        raise ModelError(f"{path} is not an ONNX model that can run: {error}") from error
    return session, check_provider(asked, provider, session, path)


def start_session(source: str | bytes, options: Any, providers: Any) -> Any:
    """A session of a file or its content; with exact sums where ONNX Runtime can have them.

    It cannot where two nodes share their INT8 weights: then it refuses the whole graph.
    """
    said: dict[str, Any] = {"providers": providers, "disabled_optimizers": LEFT_OUT}
    options.add_session_config_entry(EXACT_SUMS, "1")
    try:
        return onnxruntime.InferenceSession(source, options, **said)
    except failures.Fail:
        options.add_session_config_entry(EXACT_SUMS, "0")
        return onnxruntime.InferenceSession(source, options, **said)


def _options(threads: int | None) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    # Waiting threads sleep. Spinning, the default, takes the cores from reading, decoding and
    # drawing beside the network: with those busy, a run took 1.9 times as long on two cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads is not None:
        options.intra_op_num_threads = threads
    return options


def _precision(source: str | bytes, path: Path) -> str:
    """The precision that a file of ours says it has; fp32 for others."""
    options = _options(1)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    contract = _read_contract(session, path)
    return "fp32" if contract is None else contract.precision
