"""A skeleton file from a categories block, from labels, or from names alone."""

import argparse
import itertools
import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bpnet.commands.skeleton_graph import suggest_limbs
from bpnet.commands.skeleton_labels import find_category, read_people
from bpnet.commands.skeleton_repeated import LEAST_REPEATED, measure_sigmas, read_repeated
from bpnet.errors import DataError, SpecError
from bpnet.files import replacing
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataset import Category
from bpnet.spec.reader import parse_spec

logger = logging.getLogger(__name__)

KEPT = (  # of a category of somebody's file
    "supercategory",
    "id",
    "name",
    "keypoints",
    "skeleton",
    "skeleton_edge_names",
    "sigmas",
    "mirror",
    "derived",
    "colors",
)
WHOLE = 1 << 20  # bytes of a file that may be a category, or a list of them, and nothing else
INNER_LIST = re.compile(r"\[\s+([^][{}]*?)\s+\]")


def make_category(args: argparse.Namespace) -> dict[str, Any]:
    """The category of the new file: what ``source`` says, and then what the options say.

    Raises:
        SpecError: There are no keypoints or no limbs, or they disagree.
        DataError: A file cannot be used.
    """
    said = _checked(_read_category(args.source, args.category), args.source) if args.source else {}
    keypoints = [str(name) for name in said.get("keypoints", [])]
    for name in itertools.chain(*args.chain, *args.keypoints, (one[0] for one in args.derive)):
        if name not in keypoints:
            keypoints.append(name)
    if not keypoints:
        raise SpecError("no keypoints: name a file that has some, or give --chain or --keypoints")
    derived = dict(said.get("derived") or {})
    for name, *means in args.derive:
        derived[name] = means
    mirror = _mirror(args, said, keypoints)
    draft = Category(
        keypoints=keypoints,
        mirror=mirror,
        sigmas=_kept(said, "sigmas", keypoints),
        derived=derived or None,
    )
    skeleton = Skeleton.from_category(draft, "new")
    limbs = _limbs(args, said, skeleton)
    pairs = [(keypoints[a], keypoints[b]) for a, b in enumerate(skeleton.mirror) if a < b]
    category: dict[str, Any] = {
        "supercategory": said.get("supercategory", "person"),
        "id": said.get("id", 1),
        "name": said.get("name", args.name or "person"),
        "num_joints": len(keypoints),
        "keypoints": keypoints,
        "skeleton": [[a + 1, b + 1] for a, b in limbs],
        "skeleton_edge_names": [[keypoints[a], keypoints[b]] for a, b in limbs],
        "sigmas": _sigmas(args, skeleton),
        "mirror": [list(pair) for pair in pairs],
    }
    if skeleton.derived:
        category["derived"] = {name: list(means) for name, means in skeleton.derived.items()}
    if _kept(said, "colors", limbs):
        category["colors"] = said["colors"]
    return category


def write_skeleton(path: Path, category: dict[str, Any], name: str | None) -> None:
    """Write the file, in TAO's form; short lists stand on one line.

    Raises:
        DataError: It cannot be written.
    """
    content = {"pose_config_type": name or category["name"], "categories": [category]}
    text = json.dumps(content, indent=4, ensure_ascii=False)
    text = INNER_LIST.sub(lambda found: f"[{' '.join(found[1].split())}]", text)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _read_category(path: Path, wanted: str | None) -> dict[str, Any]:
    """The category of an annotation file, or of a file that is nothing but one or several.

    Raises:
        DataError: There is none with keypoints.
    """
    entries = None  # of an annotation file, which may be too large to read whole
    try:
        if path.stat().st_size < WHOLE:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
            entries = content if isinstance(content, list) else None
            if isinstance(content, dict) and "categories" not in content:
                entries = [content]
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    if entries is None:
        return find_category(path, wanted)
    named = [one for one in entries if isinstance(one, dict) and one.get("keypoints")]
    named = [one for one in named if wanted in (None, one.get("name"))]
    if len(named) != 1:
        raise DataError(f"{path}: expected one category with keypoints, found {len(named)}")
    return dict(named[0])


def _checked(said: dict[str, Any], path: Path) -> dict[str, Any]:
    """What we know of a category of somebody's file, if it is as it should be.

    Raises:
        SpecError: A value is of the wrong type.
    """
    known = {key: said[key] for key in KEPT if said.get(key) is not None}
    parse_spec(json.dumps(known), Category, source=f"category `{said.get('name')}` of {path}")
    return known


def _kept(said: dict[str, Any], key: str, items: Sequence[Any]) -> Any:
    """What the file says of ``key``, if it says it of as many as there are now."""
    value = said.get(key)
    return value if isinstance(value, list) and len(value) == len(items) else None


def _mirror(
    args: argparse.Namespace, said: dict[str, Any], keypoints: Sequence[str]
) -> list[list[str]] | None:
    """The file's pairs, else those by name, without the ones that --mirror pairs anew."""
    if not args.mirror:
        return said.get("mirror")
    by_name = Skeleton.from_category(
        Category(keypoints=list(keypoints), mirror=said.get("mirror")), "new"
    )
    anew = {name for pair in args.mirror for name in pair}
    kept = [
        [keypoints[a], keypoints[b]]
        for a, b in enumerate(by_name.mirror)
        if a < b and not {keypoints[a], keypoints[b]} & anew
    ]
    return [*kept, *args.mirror]


def _limbs(
    args: argparse.Namespace, said: dict[str, Any], skeleton: Skeleton
) -> list[tuple[int, int]]:
    """The limbs of the file, or suggested ones, and those of the options.

    Raises:
        SpecError: There are none, or one has an end that is no keypoint.
    """
    keypoints = list(skeleton.keypoints)
    limbs: list[tuple[int, int]] = []
    if args.suggest_limbs:
        if args.source is None:
            raise SpecError("--suggest_limbs needs an annotation file, to see what lies together")
        people = read_people(args.source, args.category).seen_as(skeleton)
        limbs += suggest_limbs(people, skeleton.mirror)
    elif said:
        file = Category(
            keypoints=keypoints,
            skeleton=said.get("skeleton") or [],
            skeleton_edge_names=said.get("skeleton_edge_names") or [],
        )
        limbs += Skeleton.from_category(file, "new").limbs
    for start, end in [
        *(pair for one in args.chain for pair in itertools.pairwise(one)),
        *args.limb,
    ]:
        for name in (start, end):
            if name not in keypoints:
                raise SpecError(f"--limb {start} {end}: there is no keypoint {name}")
        limb = (keypoints.index(start), keypoints.index(end))
        if limb not in limbs and limb[::-1] not in limbs:
            limbs.append(limb)
    if not limbs:
        raise SpecError(
            "no limbs: give --chain or --limb, or --suggest_limbs with an annotation file"
        )
    return limbs


def _sigmas(args: argparse.Namespace, skeleton: Skeleton) -> list[float]:
    """The measured ones, else those of the file, else COCO's by name, else the usual one."""
    if not args.repeated:
        return list(skeleton.sigmas)
    groups = read_repeated(args.repeated, skeleton.keypoints, category=args.category)
    found = measure_sigmas(groups, skeleton)
    measured = {name: sigma for name, (sigma, _) in found.items() if sigma > 0}
    few = [name for name in skeleton.keypoints if name not in measured]
    if few:
        logger.warning(
            "--repeated: fewer than %s labels, or copies of one, of %s; their sigmas are as before",
            LEAST_REPEATED,
            ", ".join(few),
        )
    return [
        round(measured[name], 4) if name in measured else sigma
        for name, sigma in zip(skeleton.keypoints, skeleton.sigmas, strict=True)
    ]
