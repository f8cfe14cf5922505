"""What is shown of arguments, results and messages."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import numpy
import pytest

from lumitrace import _redaction
from lumitrace._redaction import MAX_DEPTH, MAX_ELEMENTS, MAX_TEXT_CHARACTERS, REDACTED


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "db_password",
        "passwd",
        "api_key",
        "apiKey",
        "X-API-Key",
        "OPENAI_API_KEY",
        "token",
        "access_token",
        "accessToken",
        "hf_token",
        "Authorization",
        "auth",
        "client_secret",
        "private_key",
        "cookie",
        "credentials",
    ],
)
def test_T27_names_of_secrets_are_known(name: str) -> None:
    assert _redaction.is_secret(name)
    assert _redaction.shown("open sesame", name) == REDACTED


@pytest.mark.parametrize(
    "name",
    [
        "",
        "max_tokens",
        "input_tokens",
        "token_count",
        "token_ids",
        "eos_token",
        "next_token",
        "tokenizer",
        "author",
        "key",
        "cache_key",
        "pin_memory",
        "secretary",
    ],
)
def test_T27_names_of_models_are_no_secrets(name: str) -> None:
    assert not _redaction.is_secret(name)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer abcdefghijklmnop", "abcdefghijklmnop"),
        ("curl -H 'Authorization: Basic dXNlcjpwYXNz'", "dXNlcjpwYXNz"),
        ("postgres://user:hunter2@host/db", "hunter2"),
        ("key sk-abcdefghijklmnopqrstuvwxyz is used", "abcdefghijklmnopqrstuvwxyz"),
        ("ghp_abcdefghijklmnopqrstuvwxyz012345", "abcdefghijklmnop"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl", "c2lnbmF0dXJl"),
        ("Login(user='bob', password='hunter2')", "hunter2"),
        ('{"api_key": "hunter2", "n": 1}', "hunter2"),
        ("-----BEGIN RSA PRIVATE KEY-----\nhunter2", "hunter2"),
    ],
)
def test_T27_texts_that_hold_secrets_lose_them(text: str, secret: str) -> None:
    shown = _redaction.text(text)
    assert secret not in shown
    assert REDACTED in shown


def test_T27_other_texts_stay_as_they_are() -> None:
    text = "a basic understanding of max_tokens=512 at http://localhost:4318/v1/traces"
    assert _redaction.text(text) == text


def test_T27_secrets_within_arguments_are_left_out() -> None:
    args, kwargs = _redaction.shown_arguments(
        ["user", "password"],
        ["bob", "hunter2", 3],
        {"headers": {"Authorization": "hunter2", "accept": "*/*"}, "api_key": "hunter2"},
    )
    assert args == ["bob", REDACTED, 3]
    assert kwargs == {
        "headers": {"Authorization": REDACTED, "accept": "*/*"},
        "api_key": REDACTED,
    }


def test_T27_long_wide_and_deep_values_are_bounded() -> None:
    long = _redaction.shown("x" * 1_000_000)
    assert len(long) < MAX_TEXT_CHARACTERS + 50
    assert long.endswith("more)")
    wide = _redaction.shown({"rows": list(range(1_000_000))})["rows"]
    assert len(wide) == MAX_ELEMENTS
    assert wide[-1] == f"… ({1_000_000 - MAX_ELEMENTS + 1} more)"
    endless: list[Any] = []
    endless.append(endless)
    deep = _redaction.shown(endless)
    for _ in range(MAX_DEPTH - 1):
        (deep,) = deep
    assert deep == ["<list of 1>"]
    assert _redaction.shown(b"\0" * 1_000_000) == "<1000000 bytes>"
    assert len(_redaction.shown(OrderedDict((i, i) for i in range(1_000)))) == MAX_ELEMENTS + 1


def test_T27_arrays_are_told_by_their_shape_and_not_read() -> None:
    class Tensor:
        shape = (32, 10)
        dtype = "float32"
        device = "cuda:0"

        def __repr__(self) -> str:
            raise AssertionError("was read")

        item = tolist = __repr__

    assert _redaction.shown(Tensor()) == "<Tensor shape=(32, 10), dtype=float32>"
    assert _redaction.shown(numpy.zeros((3, 4))) == "<ndarray shape=(3, 4), dtype=float64>"
    assert _redaction.shown(numpy.float32(0.5)) == 0.5
    Tensor.shape = ()  # type: ignore[assignment]
    assert _redaction.shown(Tensor()) == "<Tensor shape=(), dtype=float32>"


def test_T27_a_repr_that_fails_is_harmless() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    class Endless:
        def __repr__(self) -> str:
            return repr(self)

    assert _redaction.shown([Broken()]) == ["<unprintable Broken object>"]
    assert _redaction.shown(Endless()) == "<unprintable Endless object>"
    assert "lock" in _redaction.shown(threading.Lock())


def test_T27_numbers_and_their_kind_are_kept() -> None:
    values = [None, True, 3, 0.5, float("inf"), "text"]
    shown = _redaction.shown(values)
    assert shown == values
    assert [type(value) for value in shown] == [type(value) for value in values]
