"""What a model file says of itself: enough to feed it and to read its maps without any spec."""

from dataclasses import asdict, dataclass, field
from typing import Any

from bpnet.errors import ModelError
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataloader import BpNetDataloader

TAO_SIZE = (256, 256)  # height and width, pixels


@dataclass(frozen=True)
class ModelContract:
    """Input, outputs and skeleton of a model; every model file of ours carries one.

    Attributes:
        skeleton: What its channels mean.
        heatmap_stride: Input pixels a heatmap cell.
        paf_stride: Input pixels a PAF cell.
        image_scale: Pixels (0..255) are divided by this, a number a channel.
        image_offset: Then this is subtracted.
        channel_order: rgb or bgr.
        layout: nhwc or nchw, of input and outputs.
        input_name: Name of the input.
        heatmap_output: Name of the output (…, K+1).
        paf_output: Name of the output (…, 2L).
        paf_cell_corners: The PAFs were trained on cell corners (TAO), not on cell centres.
        height: Of the input, pixels; None where any will do.
        width: Of the input, pixels; None where any will do.
        heatmap_threshold: Least score of a keypoint.
        paf_threshold: Least agreement of a PAF sample with its limb.
        precision: fp32, fp16, int8 or int8+fp16.
        extra: What else the writer says: parameters, versions, digests, the training spec, the data
            set and the AP on it, licences.
    """

    skeleton: Skeleton
    heatmap_stride: float = 8.0
    paf_stride: float = 8.0
    image_scale: tuple[float, float, float] = (256.0, 256.0, 256.0)
    image_offset: tuple[float, float, float] = (0.5, 0.5, 0.5)
    channel_order: str = "rgb"
    layout: str = "nhwc"
    input_name: str = "input_1"
    heatmap_output: str = "heatmap_out"
    paf_output: str = "paf_out"
    paf_cell_corners: bool = False
    height: int | None = None
    width: int | None = None
    heatmap_threshold: float = 0.1
    paf_threshold: float = 0.05
    precision: str = "fp32"
    extra: dict[str, str] = field(default_factory=dict)

    @classmethod
    def trained_on(cls, loader: BpNetDataloader, skeleton: Skeleton) -> "ModelContract":
        """The contract of a network that learns from the batches of ``loader``."""
        scale = loader.normalization_params.image_scale
        offset = loader.normalization_params.image_offset
        dims = loader.image_config.image_dims
        stride = dims.height / loader.pose_config.target_shape[0]
        return cls(
            skeleton=skeleton,
            heatmap_stride=stride,
            paf_stride=stride,
            image_scale=(scale[0], scale[1], scale[2]),
            image_offset=(offset[0], offset[1], offset[2]),
            extra={"trained_at": f"{dims.height}x{dims.width}"},
        )

    @property
    def usual_size(self) -> tuple[int, int]:
        """Height and width, pixels: the fixed ones, else those of training, else TAO's."""
        if self.height is not None and self.width is not None:
            return self.height, self.width
        height, _, width = self.extra.get("trained_at", "").partition("x")
        if height.isdecimal() and width.isdecimal():
            return int(height), int(width)
        return TAO_SIZE

    def to_dict(self) -> dict[str, Any]:
        """The contract as JSON can hold it."""
        return {**asdict(self), "skeleton": self.skeleton.to_dict()}

    @classmethod
    def from_dict(cls, said: dict[str, Any]) -> "ModelContract":
        """The contract that ``to_dict`` wrote; keys of later versions are passed over.

        Raises:
            ModelError: It is something else.
        """
        try:
            known = {name: said[name] for name in cls.__dataclass_fields__ if name in said}
            skeleton = Skeleton.from_dict(known.pop("skeleton"))
            for name in ("image_scale", "image_offset"):
                if name in known:
                    first, second, third = map(float, known[name])
                    known[name] = (first, second, third)
            extra = known.pop("extra", {})
            said_besides = {str(name): str(value) for name, value in extra.items()}
            contract = cls(skeleton=skeleton, extra=said_besides, **known)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(f"the model file's metadata is damaged: {error!r}") from error
        if contract.layout not in ("nhwc", "nchw") or contract.channel_order not in ("rgb", "bgr"):
            found = f"{contract.layout} and {contract.channel_order}"
            raise ModelError(f"expected layout nhwc or nchw and rgb or bgr, found {found}")
        return contract
