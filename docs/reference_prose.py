"""Help texts and docstrings, which are plain text, as Markdown."""

import re

NAMES = re.compile(
    r"""^(?:
    --?[a-zA-Z][\w-]*(?:[=/][^\s]+)?            # an option, -k/--key
    | [\w./<>*{}\[\]~$@:+-]*[_/<>{}*=@~$][^\s]*  # a name, a path, a placeholder
    | [\w<>*-]+\.(?:json|jsonl|yaml|csv|html|md|onnx|keras|tlt|etlt|hdf5|engine|plan|trt|mp4|png|jpg
        |jpeg|h5|rejected)
    | \.[a-z]\w+ | [A-Z]+_[A-Z_]+ | https?://\S+
    )$""",
    re.VERBOSE,
)
LIKE_NAMES = {
    "and/or",
    "images/s",
    "*",
    "=",
    "/",
    "<=",
    ">=",
}  # words with such characters that are no names


def prose(text: str) -> str:
    """One paragraph: names of options, keys and files as code, no other Markdown."""
    parts = re.split(r"(``[^`]+``|`[^`]+`)", " ".join(text.split()))
    return "".join(
        f"`{part.strip('`')}`" if part.startswith("`") else _plain(part) for part in parts
    )


def cell(text: str) -> str:
    """Markdown that may stand in a table."""
    return text.replace("|", "\\|")


def code(text: str) -> str:
    """``text`` as code."""
    return f"`{text}`"


def _plain(text: str) -> str:
    return " ".join(_word(word) for word in text.split(" "))


def _word(word: str) -> str:
    found = re.fullmatch(r"(\(?)(.*?)([.,;:)]*)", word, flags=re.DOTALL)
    assert found is not None  # every part may be empty
    before, middle, after = found.groups()
    if middle.count("(") > middle.count(")") and after.startswith(")"):
        middle, after = middle + ")", after[1:]
    if middle not in LIKE_NAMES and NAMES.match(middle):
        return f"{before}`{middle}`{after}"
    return re.sub(r"([\\`*_\[\]<>])", r"\\\1", word)
