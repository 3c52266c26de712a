"""What a bundle says of its network in other languages: a C++ header, and TAO's skeleton file."""

import json
from dataclasses import fields
from typing import Any

import numpy as np

from bpnet.decode import DecoderSettings
from bpnet.inference.results import pose_block
from bpnet.pose.contract import ModelContract
from bpnet.pose.skeleton import Skeleton


def model_header(contract: ModelContract, decoder: DecoderSettings) -> str:
    """``model.h``: the constants that the sources of ``deployment`` are compiled with."""
    skeleton = contract.skeleton
    limbs = ", ".join(f"{{{start}, {end}}}" for start, end in skeleton.limbs)
    settings = [
        f"    settings.{field.name} = {_literal(getattr(decoder, field.name))};"
        for field in fields(decoder)
    ]
    lines = [
        "// The network of this folder, and how its people are decoded. After a change: make.",
        "#pragma once",
        "",
        "#include <cstddef>",
        "",
        '#include "bpnet_pose.h"',
        "",
        "namespace model {",
        "",
        f"constexpr std::size_t KEYPOINTS = {len(skeleton.keypoints)};",
        f"constexpr std::size_t LIMB_COUNT = {len(skeleton.limbs)};",
        "// Start and end of each limb, keypoints from 0.",
        f"constexpr bpnet_pose_limb LIMBS[LIMB_COUNT] = {{{limbs}}};",
        "",
        f"constexpr char HEATMAP_OUTPUT[] = {_quoted(contract.heatmap_output)};",
        f"constexpr char PAF_OUTPUT[] = {_quoted(contract.paf_output)};",
        f"constexpr bool CHANNELS_FIRST = {_literal(contract.layout == 'nchw')};",
        f"constexpr double HEIGHT = {_literal(contract.height)};  // of the input, pixels",
        f"constexpr double HEATMAP_STRIDE = {contract.heatmap_stride!r};  // pixels a cell",
        f"constexpr double PAF_STRIDE = {contract.paf_stride!r};",
        "",
        "// bpnet_pose.h says what each one means.",
        "inline bpnet_pose_settings settings() {",
        "    bpnet_pose_settings settings;",
        "    bpnet_pose_default_settings(&settings);",
        *settings,
        "    return settings;",
        "}",
        "",
        "}  // namespace model",
    ]
    return "\n".join(lines) + "\n"


def skeleton_file(skeleton: Skeleton, label: str) -> dict[str, Any]:
    """TAO's pose JSON of a skeleton; ``Skeleton.load`` reads the same skeleton from it.

    Args:
        skeleton: The skeleton.
        label: Name of what has it, such as person.
    """
    names = skeleton.keypoints
    said = pose_block(skeleton, label)
    (category,) = said["categories"]
    category["skeleton_edge_names"] = [[names[start], names[end]] for start, end in skeleton.limbs]
    return {"name": skeleton.name, **said}


def _literal(value: bool | float | None) -> str:
    """A number as C++ writes it; a float with all digits that float32 holds."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else f"{np.float32(value)!s}F"


def _quoted(text: str) -> str:
    """A string literal of C++; JSON's escapes of ASCII are also its."""
    return json.dumps(text)
