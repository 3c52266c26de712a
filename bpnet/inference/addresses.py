"""Addresses of streams as people may see them."""

import re

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# What follows such a word and "=" is a secret: query strings, paths of some recorders
# (user=admin_password=x_channel=1) and RTMP options (pubPasswd=x) write it so.
_SECRET = re.compile(
    r"([\w.%-]*(?:pass|pwd|psw|token|secret|key|auth|sig|cred|session|jwt)[\w.%-]*=)[^&\s\"'<>]*",
    re.IGNORECASE,
)
HIDDEN = "***"


def without_password(text: str) -> str:
    """An address, or a text that holds some, with ``***`` for every password and token.

    The user is kept, so that two cameras of one host can be told apart. Where it is unclear how far
    a password goes (one may hold ``/``, ``@`` or ``?`` that nobody encoded), more is hidden.
    """
    first = _ADDRESS.search(text)
    if first is None:
        return _SECRET.sub(rf"\g<1>{HIDDEN}", _without_credentials(text))
    if first.start() == 0:  # an address and nothing else: even a space is part of it
        hidden = first.group() + _without_credentials(text[first.end() :])
    else:
        hidden = re.sub(
            rf"({_ADDRESS.pattern})(\S*)",
            lambda found: found[1] + _without_credentials(found[2]),
            text,
        )
    return _SECRET.sub(rf"\g<1>{HIDDEN}", hidden)


def is_address(text: str) -> bool:
    """Whether it names something on a network, rather than a file."""
    return _ADDRESS.match(text) is not None and not text.lower().startswith("file://")


def _without_credentials(rest: str) -> str:
    """What follows ``scheme://``, without the password of ``user:password@``."""
    cut = min((at for at in map(rest.find, "?#") if at >= 0), default=len(rest))
    end = rest.rfind("@", 0, cut)
    if end < 0:  # none, or in a password with a question mark
        end = rest.rfind("@")
    colon = rest.find(":", 0, max(end, 0))
    if colon < 0:
        return rest
    return f"{rest[:colon]}:{HIDDEN}{rest[end:]}"
