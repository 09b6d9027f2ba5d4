"""Credentials in addresses: recognise them, and remove them from all that is displayed or stored."""

import re

HIDDEN = "***"
# The part of an address before `@` (RFC 3986, userinfo). A key of S3 may contain `/`; a port is digits and then `/`.
_USERINFO = re.compile(r"(?<=://)(?:[^/\s'\"]*@|[^/\s:@'\"]*:(?!\d+(?:/|$))[^\s@'\"]*@)")
_PASSWORD = re.compile(r"://(?:[^/\s@]*:[^/\s]*@|[^/\s:@]*:(?!\d+(?:/|$))[^\s@]*@)")
_NAME_OR_TOKEN = re.compile(r"https?://[^/\s]*@", re.IGNORECASE)
_SECRET_VALUE = re.compile(
    r"(?<=[?&;#])([\w.-]*(?:token|password|passwd|secret|signature|credential|api[-_]?key|access[-_]?key)[\w.-]*=)"
    r"[^&;#\s'\"]+",
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """Return a text without the credentials of its addresses: users, passwords, tokens, signatures."""
    return _SECRET_VALUE.sub(rf"\1{HIDDEN}", _USERINFO.sub("", text))


def has_credentials(address: str) -> bool:
    """Return whether an address contains a password or what may be a token.

    The user of `ssh://git@host` is neither. That of `https://TOKEN@host` may be a token, as git's hosts take it.
    """
    return any(pattern.search(address) for pattern in (_PASSWORD, _NAME_OR_TOKEN, _SECRET_VALUE))
