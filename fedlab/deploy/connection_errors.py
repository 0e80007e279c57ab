"""Connection errors as text: why a node cannot reach its server. Flower only reports the class of the error."""

import socket
import ssl
from collections.abc import Iterator
from typing import TypeVar

import httpx
from flwr.supercore.error import FlowerError

_Error = TypeVar("_Error", bound=BaseException)

_UNKNOWN_KEY = 2004  # Flower's error code for a node that it cannot activate
# OpenSSL's X509_V_ERR_...
_NOT_YET_VALID, _EXPIRED, _OTHER_NAME, _OTHER_ADDRESS = 9, 10, 62, 64
_UNAUTHORIZED, _UNAVAILABLE = 401, 503


def reason_of(error: BaseException | None, *, ca: str | None, insecure: bool) -> str | None:
    """Return why a request to the server failed, None if the error has another cause.

    `ca` is the file with the authority's certificate, if one was given; an `insecure` node does not use TLS.
    """
    if (answer := _find(error, httpx.HTTPStatusError)) is not None:
        return _of_answer(answer.response)
    if _find(error, httpx.TransportError) is None:
        return None
    if (certificate := _find(error, ssl.SSLCertVerificationError)) is not None:
        return _of_certificate(certificate, ca)
    if (tls := _find(error, ssl.SSLError)) is not None:
        return _of_tls(tls)
    return _of_connection(error, insecure=insecure)


def is_refusal(error: BaseException | None) -> bool:
    """Tell whether a request failed because the server does not accept the node's signature."""
    answer = _find(error, httpx.HTTPStatusError)
    return answer is not None and answer.response.status_code == _UNAUTHORIZED


def _of_answer(response: httpx.Response) -> str:
    said = FlowerError.from_json(response.text)
    if said is not None and said.code == _UNKNOWN_KEY:
        return "it does not know this node's key, or has revoked it: run `flwr supernode register NODE.pub` there"
    if response.status_code == _UNAUTHORIZED:
        return "it does not accept this node: its key was revoked or is required and missing, or a clock is wrong"
    if response.status_code == _UNAVAILABLE:
        return "its SuperLink is down"
    return f"it answers {response.status_code}" + (f": {said.message}" if said is not None else "")


def _of_connection(error: BaseException | None, *, insecure: bool) -> str:
    if _find(error, socket.gaierror) is not None:
        return "its host name is not known here"
    if _find(error, httpx.TimeoutException) is not None:
        return "it does not answer"
    if _find(error, httpx.ConnectError) is not None:
        system = _find(error, OSError)
        return f"it cannot be reached: {(system and system.strerror) or error}"
    hint = ": if it requires TLS, give --key and --ca instead of --insecure" if insecure else ""
    return f"it closes the connection without an answer{hint}"


def _of_certificate(error: ssl.SSLCertVerificationError, ca: str | None) -> str:
    if error.verify_code == _NOT_YET_VALID:
        return "its certificate is not valid yet: is the clock of this machine right?"
    if error.verify_code == _EXPIRED:
        return "its certificate has expired: run `fedlab deploy keys` there to renew it"
    if error.verify_code in (_OTHER_NAME, _OTHER_ADDRESS):
        return "its certificate is for other names: run `fedlab deploy keys --host NAME` there to add this one"
    if ca is None:
        return "this machine does not know the authority of its certificate: give --ca, the ca.pem of the server's keys"
    return f"its certificate was not issued by the authority in {ca}: give --ca, the ca.pem of the server's keys"


def _of_tls(error: ssl.SSLError) -> str:
    if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"):
        return "it does not speak TLS: give another port, or --insecure if this is a network of your own"
    return f"TLS fails: {error.strerror or error}".partition(" (_ssl.c")[0]


def _find(error: BaseException | None, kind: type[_Error]) -> _Error | None:
    return next((each for each in _chain(error) if isinstance(each, kind)), None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its chain of causes."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
