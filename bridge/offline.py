"""A process without a network, on Linux: a namespace of its own that holds the loopback alone.

It imports nothing that starts threads: a process that has some cannot leave its user's namespace.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from contextlib import suppress

__all__ = ["leave_network"]

NEW_USER, NEW_NET = 0x10000000, 0x40000000  # flags of unshare(2)
GET_FLAGS, SET_FLAGS, UP = 0x8913, 0x8914, 1  # of netdevice(7)


def leave_network() -> bool:
    """True if this process and its children reach no address but their own from now on; False where the
    system does not let it."""
    try:
        unshare = ctypes.CDLL(None, use_errno=True).unshare
    except AttributeError:
        return False
    user, group = os.geteuid(), os.getegid()
    if unshare(NEW_NET) != 0:
        if unshare(NEW_USER | NEW_NET) != 0:
            return False
        with suppress(OSError):
            _map("setgroups", "deny")
            _map("uid_map", f"{user} {user} 1")
            _map("gid_map", f"{group} {group} 1")
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
        name = struct.pack("16sH14s", b"lo", 0, b"")
        flags = struct.unpack("16sH14s", fcntl.ioctl(device, GET_FLAGS, name))[1]
        fcntl.ioctl(device, SET_FLAGS, struct.pack("16sH14s", b"lo", flags | UP, b""))
    return True


def _map(name: str, text: str) -> None:
    with open(f"/proc/self/{name}", "w") as file:
        file.write(text)
