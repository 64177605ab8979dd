"""One file from the network, whole and checked: the only place of the engine that asks for one.

Proxies and certificates are those of the environment (``HTTPS_PROXY``, ``SSL_CERT_FILE``).
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import ssl
import urllib.error
import urllib.request
from email.message import Message
from typing import IO, Any

import certifi

from deepseg_qgis import __version__
from deepseg_qgis.engine.control import Control
from deepseg_qgis.errors import NO_ROOM, DownloadError

TIMEOUT_S = 30.0
BLOCK_BYTES = 1 << 18
SHA256_HEADER = "X-Linked-ETag"
"""Where the hub says the SHA-256 of a file, before it leads to where the file lies."""
BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that name more certificates, beside those that OpenSSL knows of itself."""


def download(url: str, path: str, most_bytes: int, control: Control) -> str:
    """Write what is at an address to a path; return its SHA-256 in hex.

    Raises:
        DownloadError: it cannot be reached, is too large, broke off, or is not what was promised.
        Stopped: the user asked to.
    """
    headers = _Redirections()
    opener = urllib.request.build_opener(
        headers, urllib.request.HTTPSHandler(context=_certificates())
    )
    request = urllib.request.Request(url, headers={"User-Agent": f"DeepSeg/{__version__}"})  # noqa: S310 - of a closed list
    with open(path, "wb") as file:
        try:
            with opener.open(request, timeout=TIMEOUT_S) as answer:
                headers.note(answer.headers)
                sha256 = _copy(answer, file, most_bytes, control)
        except (OSError, http.client.HTTPException) as error:
            raise _unreachable(url, error) from error
    if headers.sha256 not in ("", sha256):
        raise DownloadError(
            f"{url} arrived damaged: its SHA-256 is not the one that the server promised. Run it "
            "again."
        )
    return sha256


class _Redirections(urllib.request.HTTPRedirectHandler):
    """Follows redirections and notes the SHA-256 that one of the answers names."""

    sha256 = ""

    def redirect_request(
        self, request: urllib.request.Request, *answer: Any
    ) -> urllib.request.Request | None:
        """Return the request that follows."""
        self.note(answer[3])
        return super().redirect_request(request, *answer)

    def note(self, headers: Message) -> None:
        """Note what the headers of an answer say."""
        tag = str(headers.get(SHA256_HEADER, "")).strip('"').lower()
        if re.fullmatch("[0-9a-f]{64}", tag):
            self.sha256 = self.sha256 or tag


def _certificates() -> ssl.SSLContext:
    """Return the certificates of the system, of certifi, and of the environment's variables."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    for name in BUNDLES:
        if os.path.isfile(os.environ.get(name, "")):
            context.load_verify_locations(os.environ[name])
    return context


def _copy(answer: Any, file: IO[bytes], most_bytes: int, control: Control) -> str:
    """Copy an answer to its end; return its SHA-256."""
    promised, done = int(answer.headers.get("Content-Length") or 0), 0
    digest = hashlib.sha256()
    while True:
        if max(promised, done) > most_bytes:
            raise DownloadError(
                f"{answer.url} is larger than expected ({max(promised, done):,} bytes; at most "
                f"{most_bytes:,} are taken). It is no file of weights."
            )
        block = answer.read(BLOCK_BYTES)
        if not block:
            break
        control.check()
        file.write(block)
        digest.update(block)
        done += len(block)
        control.progress(done / max(promised, done), f"Downloading ({done / 1e6:.0f} MB)")
    if done < promised:
        raise OSError(f"only {done:,} of {promised:,} bytes arrived")
    return digest.hexdigest()


def _unreachable(url: str, error: Exception) -> DownloadError | OSError:
    if isinstance(error, urllib.error.HTTPError):
        return DownloadError(
            f"{url} was not handed out: the server answered {error.code} ({error.reason}). Check "
            "whether a browser can open the address; it may ask for a login."
        )
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return error
    reason = getattr(error, "reason", None) or error
    return DownloadError(
        f"{url} could not be downloaded ({reason}). Check the network connection and, behind a "
        "proxy, the variable HTTPS_PROXY. Or download the file elsewhere and name it under "
        "'Pretrained encoder weights' of 'Train a model'."
    )
