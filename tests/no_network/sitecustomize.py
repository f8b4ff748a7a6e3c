# SPDX-License-Identifier: GPL-3.0-or-later
"""Refuses every way out of this machine: the tests load it, and Python does in each process they start.

Python imports a module of this name by itself where it finds one (docs.python.org, `site`);
`tests/conftest.py` puts this folder on the path of child processes. What was refused is noted in the file
that `$KINESICS_NETWORK_LOG` names, so that a caller which swallows the error is found too.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import os
import socket
import sys
from typing import Any

LOG_VARIABLE = "KINESICS_NETWORK_LOG"
UNIX = getattr(socket, "AF_UNIX", None)
ELSEWHERE = ("198.51.100.1", 9)
"""An address for documentation (RFC 5737), which is nobody's."""


_real_getaddrinfo, _real_connect = socket.getaddrinfo, socket.socket.connect


class NetworkUseError(BaseException):
    """A test, or what it tests, wanted to reach another machine; not for any `except Exception`."""


def is_local(host: object) -> bool:
    """Whether a host is this machine: its own name, a loopback address, or nothing at all."""
    if isinstance(host, bytes | bytearray):
        host = host.decode("ascii", "replace")
    if not isinstance(host, str):
        return host is None
    if host in ("", "localhost", socket.gethostname()):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback or host in own_addresses()
    except ValueError:
        return False


@functools.cache
def own_addresses() -> frozenset[str]:
    """What this machine is called by itself and by others; Ray's parts talk to each other by it."""
    found: set[str] = set()
    with contextlib.suppress(OSError):
        found.update(str(entry[4][0]) for entry in _real_getaddrinfo(socket.gethostname(), None))
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wanted:
        _real_connect(wanted, ELSEWHERE)  # which sends nothing, and shows the address that others would see
        found.add(str(wanted.getsockname()[0]))
    return frozenset(found)


def refuse(what: str) -> None:
    """Note what was wanted, and end the attempt."""
    if log := os.environ.get(LOG_VARIABLE):
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"{what} ({os.path.basename(sys.argv[0] or sys.executable)})\n")
    raise NetworkUseError(f"the tests run without a network, but {what} was wanted")


def is_harmless(wanted: socket.socket, method: str) -> bool:
    """Whether a socket's address is a path, or nothing is sent: programs so ask for their own address."""
    return wanted.family == UNIX or (wanted.type == socket.SOCK_DGRAM and method != "sendto")


def taken() -> list[str]:
    """What was refused here and in child processes since the last call."""
    log = os.environ[LOG_VARIABLE]
    with open(log, "r+", encoding="utf-8") as file:
        attempts = file.read().splitlines()
        file.truncate(0)
    return attempts


def guard(owner: Any, name: str, place: int) -> None:
    """Let a function through only where its argument at `place` is an address or host of this machine."""
    real = getattr(owner, name)

    def guarded(*arguments: Any, **named: Any) -> Any:
        wanted = arguments[place] if -len(arguments) <= place < len(arguments) else named.get("host")
        host = wanted[0] if isinstance(wanted, tuple) else wanted
        if not (is_local(host) or (owner is not socket and is_harmless(arguments[0], name))):
            refuse(f"{name} {host!r}")
        return real(*arguments, **named)

    setattr(owner, name, guarded)


for method, position in (("connect", 1), ("connect_ex", 1), ("sendto", -1)):
    guard(socket.socket, method, position)
for function in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr"):
    guard(socket, function, 0)
