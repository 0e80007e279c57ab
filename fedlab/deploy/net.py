"""Addresses of servers: a name or an IP address, and a port."""

import ipaddress
import re
import socket

from fedlab.errors import UserError

# Of a name: letters, digits, hyphens, and the underscores of containers' names; the last part is no number, or what was
# meant is an IP address with a mistake in it.
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"({_LABEL}\.)*(?!\d+$){_LABEL}", re.IGNORECASE)
_LONGEST_NAME = 253
_PORTS = range(1, 65536)


def is_name(text: str) -> bool:
    """Tell whether a text can be the name of a host."""
    return len(text) <= _LONGEST_NAME and _NAME.fullmatch(text) is not None


def parse_address(text: str, *, option: str, default_port: int | None = None) -> str:
    """Return HOST:PORT, an IPv6 address in brackets; without a default, the port must be there.

    Raises:
        UserError: it is something else; `option` says where it stands.
    """
    if _is_ipv6(text):
        host, port = f"[{text}]", ""
    else:
        host, colon, port = text.rpartition(":") if re.search(r":[^\]]*$", text) else (text, "", "")
        if colon and not port:
            host = ""  # a colon without a port after it
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else ""
    number = default_port if not port and default_port else int(port) if port.isascii() and port.isdigit() else 0
    if not (_is_ipv6(bare) or is_name(host) or _is_ipv4(host)) or number not in _PORTS:
        accepted = "HOST:PORT" if default_port is None else "HOST or HOST:PORT"
        raise UserError(f"{option} {text!r}: expected {accepted}, such as lab.example.org:{default_port or 8000}")
    return f"{host}:{number}"


def _is_ipv4(text: str) -> bool:
    return _is_address(text, ipaddress.IPv4Address)


def _is_ipv6(text: str) -> bool:
    return _is_address(text, ipaddress.IPv6Address)


def _is_address(text: str, kind: type[ipaddress.IPv4Address | ipaddress.IPv6Address]) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


def free_port() -> int:
    """Return a port of this machine that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
