"""The stubs describe the native module as it is."""

from __future__ import annotations

from pathlib import Path

from mypy import stubtest


def test_the_stubs_describe_the_native_module(tmp_path: Path) -> None:
    allowlist = tmp_path / "allowlist"
    allowlist.write_text("lumitrace._lumitrace.__all__\n")  # made by PyO3, of every name
    options = ["lumitrace._lumitrace", "--allowlist", str(allowlist)]
    assert stubtest.test_stubs(stubtest.parse_options(options)) == 0
