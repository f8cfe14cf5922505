"""What of a program's values may be shown: bounded, and without secrets.

The one rule for what is recorded because of a switch such as ``include_args`` rather than
by the program itself. Nothing here raises, waits for a device, or walks through large data.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

MAX_TEXT_CHARACTERS = 1_024
"""The longest text; what is cut off is told."""

MAX_ELEMENTS = 256
"""How many elements the lists and dictionaries of one value have in all."""

MAX_DEPTH = 4
"""How deep lists and dictionaries are followed."""

REDACTED = "<redacted>"
"""What stands in the place of a secret."""

_SECRET_WORD = re.compile(
    "apikey|auth|authorization|bearer|cookies?|credentials?|csrf|jwt|passphrase|passwd|passwords?"
    "|pwd|secrets?"
)
_KIND_OF_KEY = re.compile("access|account|api|encryption|master|private|secret|service|signing|ssh")
# Tokens of models, not of accounts.
_KIND_OF_TOKEN = re.compile(
    "bos|cls|eos|first|image|last|mask|max|min|new|next|pad|per|prev|previous|sep|special|stop|unk"
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_NAME = re.compile(r"""([A-Za-z_][\w-]*)['"]?\s*[=:]\s*""")
_VALUE = re.compile(r"""(?:(?:Bearer|Basic)\s+)?(?:"[^"]*"?|'[^']*'?|[^\s,;&)}\]'"]+)""")
_SECRET_TEXT = re.compile(
    r"\b(?:Bearer\s+[\w.~+/=-]{12,}|(?:sk|rk)[-_][\w-]{16,}|gh[opsur]_\w{16,}|github_pat_\w{16,}"
    r"|hf_\w{16,}|xox[abprs]-[\w-]{10,}|AKIA[0-9A-Z]{12,}|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?)"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*",
    re.DOTALL,
)


@functools.lru_cache(maxsize=1_024)
def is_secret(name: str) -> bool:
    """Whether a value of this name is not for others to see: ``password``, ``api_key``,
    ``accessToken``, ``Authorization``; but not ``max_tokens`` or ``eos_token``.
    """
    words = [word.lower() for word in _WORD.findall(name)]
    for before, word in zip(["", *words], words, strict=False):
        is_key = word == "key" and _KIND_OF_KEY.fullmatch(before)
        if is_key or _SECRET_WORD.fullmatch(word):
            return True
    is_token = words[-1:] == ["token"]
    return is_token and not _KIND_OF_TOKEN.fullmatch("".join(words[-2:-1]))


def text(value: str, max_characters: int = MAX_TEXT_CHARACTERS) -> str:
    """``value`` without secrets, and cut to ``max_characters``."""
    shown = value[:max_characters]
    shown = _SECRET_TEXT.sub(REDACTED, _without_named_secrets(shown))
    left_out = len(value) - max_characters
    return f"{shown}… ({left_out} more)" if left_out > 0 else shown


def _without_named_secrets(text: str) -> str:
    kept, begin = "", 0
    for name in _NAME.finditer(text):
        value = _VALUE.match(text, name.end())
        if value and name.start() >= begin and is_secret(name[1]):
            kept += text[begin : name.end()] + REDACTED
            begin = value.end()
    return kept + text[begin:]


def shown(value: Any, name: str = "") -> Any:
    """``value`` as an attribute: numbers and short texts as they are, lists and dictionaries
    bounded, arrays and tensors by their shape, unread, everything else by its ``repr``.

    :param name: what the program calls it; the value of a secret is not looked at.
    """
    return REDACTED if is_secret(name) else _Showing().value(value, 0)


def shown_arguments(
    names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a call, those by position under the ``names`` of their parameters."""
    named = list(names[: len(args)]) + [""] * (len(args) - len(names))
    showing = _Showing()
    return (
        [showing.named(name, value, 1) for name, value in zip(named, args, strict=True)],
        {name: showing.named(name, value, 1) for name, value in kwargs.items()},
    )


class _Showing:
    """One attribute's worth of values."""

    def __init__(self) -> None:
        self._elements_left = MAX_ELEMENTS

    def named(self, name: str, value: Any, depth: int) -> Any:
        return REDACTED if is_secret(name) else self.value(value, depth)

    def value(self, value: Any, depth: int) -> Any:
        try:
            return self._value(value, depth)
        except Exception:  # the object's own code: its repr, its shape, its iteration
            return f"<unprintable {type(value).__name__} object>"

    def _value(self, value: Any, depth: int) -> Any:
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, str):
            return text(value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return f"<{len(value)} bytes>"
        if isinstance(value, (dict, list, tuple, set, frozenset)):
            return self._collection(value, depth)
        shape = getattr(value, "shape", None)
        if isinstance(shape, tuple):  # torch's sizes are tuples too
            return _shape(value, shape)
        return text(repr(value))

    def _collection(self, value: Any, depth: int) -> Any:
        if depth >= MAX_DEPTH:
            return f"<{type(value).__name__} of {len(value)}>"
        if isinstance(value, dict):
            entries = {}
            for count, (key, element) in enumerate(value.items()):
                if not self._admits():
                    entries["…"] = f"{len(value) - count} more"
                    break
                name = text(key if isinstance(key, str) else repr(key))
                entries[name] = self.named(name, element, depth + 1)
            return entries
        elements: list[Any] = []
        for count, element in enumerate(value):
            if not self._admits():
                elements.append(f"… ({len(value) - count} more)")
                break
            elements.append(self.value(element, depth + 1))
        return elements

    def _admits(self) -> bool:
        self._elements_left -= 1
        return self._elements_left >= 0


def _shape(value: Any, shape: tuple[int, ...]) -> Any:
    if shape == () and str(getattr(value, "device", "cpu")) == "cpu" and hasattr(value, "item"):
        return value.item()
    dtype = getattr(value, "dtype", None)
    kind = "" if dtype is None else f", dtype={dtype}"
    return f"<{type(value).__name__} shape={tuple(shape)}{kind}>"
