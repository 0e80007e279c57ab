"""Network addresses of servers: a host name or IP address, and a port."""

import ipaddress
import re
import socket

from fedlab.errors import UserError

# A host name: letters, digits, hyphens, and underscores as in names of containers. The last part must not be a number:
# then the text is probably a mistyped IP address.
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"({_LABEL}\.)*(?!\d+$){_LABEL}", re.IGNORECASE)
_LONGEST_NAME = 253
_PORTS = range(1, 65536)


def is_name(text: str) -> bool:
    """Tell whether a text is a valid host name."""
    return len(text) <= _LONGEST_NAME and _NAME.fullmatch(text) is not None


def parse_address(text: str, *, option: str, default_port: int | None = None) -> str:
    """Return HOST:PORT, with an IPv6 address in brackets; without `default_port` the text must have a port.

    Raises:
        UserError: the text is not an address; `option` is the option that it was given to.
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
    """Return a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
