"""What can go wrong in a way a user can mend, and the exit code of each.

Raise one of these with a single sentence that names the file, line or key, what was expected,
what was found and what to do. ``cli.main`` prints the sentence and exits; anything else is a bug.
"""

import enum


class ExitCode(enum.IntEnum):
    """The exit codes of every ``bpnet`` command."""

    DONE = 0
    FAILED = 1  # a named failure, also when some of many inputs failed
    USAGE = 2
    BELOW_BASELINE = 3  # AP fell below the baseline
    EXPORT_REJECTED = 4
    INTERRUPTED = 130
    TERMINATED = 143


class BpnetError(Exception):
    """A failure with a sentence for the user."""

    exit_code = ExitCode.FAILED


class SpecError(BpnetError):
    """A spec, skeleton or command-line value that says something impossible."""


class DataError(BpnetError):
    """An image, annotation, mask or record file that cannot be used."""


class ModelError(BpnetError):
    """A model file that cannot be read, or does not fit what it is used for."""


class MissingLibraryError(BpnetError):
    """A library that the command needs and this machine lacks; the sentence says how to get it."""


class ExportRejectedError(BpnetError):
    """An exported model that strays too far from the network it came from."""

    exit_code = ExitCode.EXPORT_REJECTED
