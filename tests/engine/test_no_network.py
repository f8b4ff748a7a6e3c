# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing reaches another machine: not in the tests, and in the extension only where the animator asked."""

from __future__ import annotations

import socket
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.no_network.sitecustomize import NetworkUseError, is_local, taken

ELSEWHERE = "192.0.2.1"
"""An address kept free for examples (RFC 5737)."""


def send_to(address: tuple[str, int]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"", address)


@pytest.mark.parametrize(
    "reach",
    [
        lambda: socket.create_connection((ELSEWHERE, 80), 0.1),
        lambda: socket.getaddrinfo("example.org", 80),
        lambda: socket.getaddrinfo(host="example.org", port=80),
        lambda: send_to((ELSEWHERE, 53)),
        lambda: urllib.request.urlopen("http://example.org", timeout=0.1),
    ],
)
def test_the_tests_cannot_reach_another_machine(
    reach: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(NetworkUseError, match="without a network"):
        reach()
    assert len(taken()) == 1


def test_what_a_caller_swallows_is_still_known() -> None:
    code = f"""
import socket
try:
    socket.create_connection(({ELSEWHERE!r}, 80), 0.1)
except BaseException:
    pass
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert [attempt.partition(" (")[0] for attempt in taken()] == [f"getaddrinfo {ELSEWHERE!r}"]


def test_this_machine_can_be_reached(tmp_path: Path) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        socket.create_connection(server.getsockname(), 5).close()
        socket.create_connection(("localhost", server.getsockname()[1]), 5).close()
    if hasattr(socket, "AF_UNIX"):
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
            server.bind(str(tmp_path / "socket"))
            server.listen()
            client.connect(str(tmp_path / "socket"))
    assert is_local("::1") and is_local(None) and is_local(b"127.0.0.1") and not is_local("10.0.0.1")
    with pytest.raises(urllib.error.URLError):  # nobody answers, which is not a refusal
        urllib.request.urlopen("http://127.0.0.1:9", timeout=0.1)


def test_the_manifest_says_what_the_network_is_for(repository: Path) -> None:
    """As Blender asks of extensions: one line, at most 64 characters, no full stop."""
    permissions = tomllib.loads((repository / "blender_manifest.toml").read_text("utf-8"))["permissions"]
    assert "Install Engine" in permissions["network"]
    assert all(len(reason) <= 64 and not reason.endswith(".") for reason in permissions.values())
