"""The socket on which a server listens, and its address.

It needs no TensorFlow: the process that starts workers does not load it.
"""

import contextlib
import ctypes
import socket
import struct
import sys

from bert_tf.errors import UserError

# Connections that may wait to be accepted.
BACKLOG = 1024

_SO_ATTACH_FILTER = 26  # Linux'; `socket` does not name it.
# A filter for packets, of one instruction: return 0 bytes, so drop them all.
_DROP_ALL = struct.pack("=HBBI", 0x06, 0, 0, 0)


def bind(host: str, port: int) -> socket.socket:
    """Makes the server's socket. Nobody can connect before it listens.

    Args:
        host: name or address of this machine.
        port: the port; 0 for any that is free.

    Raises:
        UserError: the port is in use, or the host is not this machine.
    """
    return _bound(host, port, "port")


def _bound(host, port, setting, *options):
    """A socket that has a port, and options of sockets."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        # Without the protocol asyncio does not set TCP_NODELAY, and each
        # answer would take 40 ms.
        listener = socket.socket(family, kind, protocol)
        # So that the port can be used again right after a server has ended.
        for option in (socket.SO_REUSEADDR, *options):
            listener.setsockopt(socket.SOL_SOCKET, option, 1)
        listener.bind(address)
    except OSError as error:
        raise cannot_listen(host, port, error, setting) from None
    return listener


def reserve(host: str, port: int, is_shared: bool) -> socket.socket:
    """Makes a socket that keeps a port for gRPC, whose library makes its own.

    It does not listen. Others that do can have the port at the same time.

    Args:
        host: name or address of this machine.
        port: the port; 0 for any that is free.
        is_shared: whether several processes will listen there.

    Raises:
        UserError: the port is in use, or the host is not this machine.
    """
    reserved = _bound(host, port, "grpc_port")
    if not is_shared:
        return reserved
    # Only sockets that all have this option may listen on one port. It would
    # also let a second server in, so the socket above was without it.
    port = reserved.getsockname()[1]
    reserved.close()
    return _bound(host, port, "grpc_port", socket.SO_REUSEPORT)


def target_of(reserved: socket.socket) -> str:
    """Returns "host:port" of a socket that `reserve` made."""
    host, port = reserved.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def stop_listening(listener: socket.socket) -> None:
    """Lets nobody connect any more; connections that wait can be accepted.

    A limit of 0 connections that wait means 1 to Linux, and that one would be
    lost when the socket is closed. So Linux drops what arrives for the socket:
    who connects tries again a second later, and is refused or finds the next
    server.

    Args:
        listener: a socket that listens.
    """
    listener.listen(0)
    program = ctypes.create_string_buffer(_DROP_ALL)
    settings = struct.pack("@HP", 1, ctypes.addressof(program))
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # A system may not have filters.
            listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, settings)


def cannot_listen(
    host: str, port: int, error: OSError, setting: str = "port"
) -> UserError:
    """The error of an address on which this process cannot listen."""
    return UserError(f"`host`={host} `{setting}`={port}: {error.strerror}")


def address_of(listener: socket.socket, scheme: str = "http") -> str:
    """Returns the URL of a socket that `bind` made."""
    host, port = listener.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}:{port}"
