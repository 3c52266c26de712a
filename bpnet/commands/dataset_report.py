"""What ``bpnet dataset_convert --dry_run`` says about a dataset."""

import argparse

from bpnet.commands.conversion import Conversion, name_some
from bpnet.data.dataset_check import Finding, check_dataset
from bpnet.data.image_check import check_images, find_missing
from bpnet.data.masks import draw_mask, needs_mask
from bpnet.data.storage import address, is_folder, is_remote, join
from bpnet.data.summary import summary_text
from bpnet.errors import DataError, ExitCode
from bpnet.spec.dataset import DataSection, DatasetSpec


def check(args: argparse.Namespace, spec: DatasetSpec, section: DataSection) -> int:
    """Print what is wrong and what would be converted, as comments; 1 if something is wrong.

    Raises:
        DataError: The annotation file has faults, all of which are named.
    """
    conversion = Conversion(args, spec, section)
    findings = check_dataset(conversion.dataset, spec)
    findings += _check_regions(conversion) if args.generate_masks else []
    findings += _check_files(args, spec, section, conversion)
    try:
        conversion.make_plan({})
        _print_comment(summary_text(conversion.plan.summary))
    except DataError as error:
        findings.append(Finding(True, str(error)))
    for kind, fatal in (("errors", True), ("warnings", False)):
        sentences = [one.sentence for one in findings if one.error == fatal]
        _print_comment(f"{kind}: {len(sentences)}")
        _print_comment(name_some(sentences))
    return ExitCode.FAILED if any(one.error for one in findings) else ExitCode.DONE


def _check_regions(conversion: Conversion) -> list[Finding]:
    """Draws every mask, for the segmentations that cannot be drawn."""
    findings = []
    for image in conversion.dataset.images:
        if needs_mask(image):
            try:
                draw_mask(image)
            except DataError as error:
                findings.append(Finding(True, f"image {image.id}: {error}"))
    return findings


def _check_files(
    args: argparse.Namespace, spec: DatasetSpec, section: DataSection, conversion: Conversion
) -> list[Finding]:
    """The image files: that they exist, and with --check_files that they can be decoded."""
    folder = join(spec.root_directory_path, section.images_root_dir_path)
    images = conversion.dataset.images
    try:
        if not is_folder(folder):
            return [Finding(False, f"the image folder {address(folder)} does not exist yet")]
        if args.check_files:
            faults = check_images(images, folder, workers=args.workers)
        elif is_remote(folder):  # a request a file; whoever asks for it gets it
            return [Finding(False, "the image files were not looked at; --check_files does")]
        else:
            faults = find_missing(images, folder)
    except OSError as error:
        raise DataError(f"{address(folder)} cannot be read: {error.strerror or error}") from error
    return [Finding(True, fault.sentence) for fault in faults.values()]


def _print_comment(text: str) -> None:
    for line in text.splitlines():
        print(f"# {line}")
