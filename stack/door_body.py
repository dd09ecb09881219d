"""Bodies of the ClickHouse door: bounded reading, decompression, multipart forms, compression of replies."""

from __future__ import annotations

import gzip
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, NamedTuple

import lz4.frame  # type: ignore[import-untyped]
import zstandard

from stack.door_errors import (
    BAD_ARGUMENTS,
    CANNOT_DECOMPRESS,
    CANNOT_READ_ALL_DATA,
    MEMORY_LIMIT_EXCEEDED,
    QUERY_IS_TOO_LARGE,
    UNKNOWN_COMPRESSION_METHOD,
    ClickHouseError,
)

READ_BYTES = 1 << 20  # one read from the socket: large enough that the calls cost nothing
# A compressed chunk is inflated in slices this small because one byte of zstd may become 32 KiB and one of
# gzip 1 KiB: the limit is checked between slices.
INFLATE_SLICE_BYTES = 1024
GZIP_LEVEL = 3  # ClickHouse's http_zlib_compression_level
ZSTD_LEVEL = 1  # replies are read on this machine: speed counts, size hardly
COMPRESS_BYTES_MIN = 1024  # below this a frame header costs more than it saves


class ByteBudget:
    """Bodies of all requests in memory together stay below `bytes_max`; whoever does not fit is told to retry."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._taken = 0
        self._lock = threading.Lock()

    def take(self, count: int) -> None:
        """Raises ClickHouseError (MEMORY_LIMIT_EXCEEDED) when the bytes do not fit."""
        with self._lock:
            if self._taken + count > self._bytes_max:
                raise ClickHouseError(
                    MEMORY_LIMIT_EXCEEDED, f"Request bodies in flight exceed {self._bytes_max} bytes; try again later"
                )
            self._taken += count

    def give_back(self, count: int) -> None:
        with self._lock:
            self._taken -= count


def raw_chunks(stream: IO[bytes], length: str | None, transfer_encoding: str, bytes_max: int) -> Iterator[bytes]:
    """The body as it travels. Raises ClickHouseError when it is malformed, cut short, or longer than `bytes_max`."""
    if transfer_encoding.lower() == "chunked":
        yield from _chunked(stream, bytes_max)
        return
    if transfer_encoding:
        raise ClickHouseError(BAD_ARGUMENTS, f"Unknown Transfer-Encoding {transfer_encoding!r}")
    if length is not None and not (length.isascii() and length.isdigit()):
        raise ClickHouseError(BAD_ARGUMENTS, f"Content-Length {length!r} is not a number")
    left = int(length or 0)
    if left > bytes_max:
        raise too_large(bytes_max)
    yield from _exactly(stream, left)


def too_large(bytes_max: int) -> ClickHouseError:
    return ClickHouseError(QUERY_IS_TOO_LARGE, f"Request body is larger than {bytes_max} bytes; send smaller batches")


def _exactly(stream: IO[bytes], left: int) -> Iterator[bytes]:
    while left:
        piece = stream.read(min(left, READ_BYTES))
        if not piece:
            raise ClickHouseError(CANNOT_READ_ALL_DATA, f"Request body ended {left} bytes early", 400)
        left -= len(piece)
        yield piece


def _chunked(stream: IO[bytes], bytes_max: int) -> Iterator[bytes]:
    total = 0
    while True:
        size_text = stream.readline(80).split(b";")[0].strip()
        try:
            size = int(size_text, 16)
        except ValueError:
            size = -1
        if size < 0:
            raise ClickHouseError(CANNOT_READ_ALL_DATA, f"Bad chunk size {size_text!r} in the request body", 400)
        if size == 0:
            while stream.readline(8192).strip():  # trailers mean nothing here
                pass
            return
        total += size
        if total > bytes_max:
            raise too_large(bytes_max)
        yield from _exactly(stream, size)
        if stream.readline(8).strip():
            raise ClickHouseError(CANNOT_READ_ALL_DATA, "A chunk of the request body is longer than it says", 400)


def read_body(chunks: Iterable[bytes], encoding: str, bytes_max: int, budget: ByteBudget) -> tuple[bytearray, int]:
    """The decompressed body and the bytes it took from the budget, which the caller gives back.

    Raises ClickHouseError for an unknown encoding, broken or cut data, or more than `bytes_max` bytes."""
    body = bytearray()
    taken = 0
    try:
        for piece in _decoded(chunks, encoding):
            if len(body) + len(piece) > bytes_max:
                raise too_large(bytes_max)
            budget.take(len(piece))
            taken += len(piece)
            body += piece
    except BaseException:
        budget.give_back(taken)
        raise
    return body, taken


_INFLATERS: dict[str, Callable[[], Any]] = {
    "lz4": lz4.frame.LZ4FrameDecompressor,
    "zstd": lambda: zstandard.ZstdDecompressor().decompressobj(),
    "gzip": lambda: zlib.decompressobj(zlib.MAX_WBITS | 16),
    "deflate": zlib.decompressobj,
}


def _decoded(chunks: Iterable[bytes], encoding: str) -> Iterable[bytes]:
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return chunks
    if encoding not in _INFLATERS:
        raise ClickHouseError(UNKNOWN_COMPRESSION_METHOD, f"Unknown compression method: {encoding}")
    return _inflated(chunks, encoding)


def _inflated(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    make = _INFLATERS[encoding]
    inflater = make()
    fed = False
    try:
        for chunk in chunks:
            for at in range(0, len(chunk), INFLATE_SLICE_BYTES):
                data = chunk[at : at + INFLATE_SLICE_BYTES]
                while data:
                    if inflater.eof:  # several frames in a row are one body
                        inflater = make()
                    yield inflater.decompress(data)
                    fed, data = True, inflater.unused_data if inflater.eof else b""
    except (RuntimeError, EOFError, zlib.error, zstandard.ZstdError) as error:
        raise ClickHouseError(CANNOT_DECOMPRESS, f"Cannot decompress the {encoding} body: {error}", 400) from error
    if fed and not inflater.eof:
        raise ClickHouseError(CANNOT_DECOMPRESS, f"The {encoding} body is cut short", 400)


class Part(NamedTuple):
    """One field of a multipart form; `is_file` when it came with a file name."""

    name: str
    content: bytes
    is_file: bool


def read_form(body: bytes | bytearray, content_type: str) -> list[Part]:
    """The fields of a multipart/form-data body. Raises ClickHouseError (BAD_ARGUMENTS) when it is malformed."""
    boundary = _attributes(content_type).get("boundary", "")
    if not boundary:
        raise ClickHouseError(BAD_ARGUMENTS, "multipart/form-data without a boundary")
    pieces = (b"\r\n" + bytes(body)).split(b"\r\n--" + boundary.encode("latin-1", "replace"))
    if not pieces[-1].startswith(b"--"):
        raise ClickHouseError(BAD_ARGUMENTS, "multipart/form-data body is cut short")
    parts = []
    for piece in pieces[1:-1]:
        head, separator, content = piece.partition(b"\r\n\r\n")
        lines = head.decode(errors="replace").split("\r\n")
        disposition = next((line for line in lines if line.lower().startswith("content-disposition:")), "")
        attributes = _attributes(disposition)
        if not separator or not attributes.get("name"):
            raise ClickHouseError(BAD_ARGUMENTS, "A part of the multipart/form-data body has no name")
        parts.append(Part(attributes["name"], content, "filename" in attributes))
    return parts


def _attributes(header: str) -> dict[str, str]:
    """name="value" pairs after the first semicolon of a header (names of tables and parameters: no escapes)."""
    found = {}
    for item in header.split(";")[1:]:
        name, _, value = item.strip().partition("=")
        found[name.strip().lower()] = value.strip().strip('"')
    return found


_DEFLATERS: dict[str, Callable[[bytes], bytes]] = {
    "lz4": lz4.frame.compress,
    "zstd": lambda data: zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(data),
    "gzip": lambda data: gzip.compress(data, GZIP_LEVEL),
    "deflate": lambda data: zlib.compress(data, GZIP_LEVEL),
}


def encode_reply(body: bytes, accept_encoding: str) -> tuple[bytes, str]:
    """The body in the first encoding of ours that the client accepts, and its name ('' when left alone)."""
    if len(body) < COMPRESS_BYTES_MIN:
        return body, ""
    accepted = set()
    for item in accept_encoding.lower().split(","):
        name, _, weight = item.partition(";")
        if weight.replace(" ", "") not in ("q=0", "q=0.0"):
            accepted.add(name.strip())
    for name, deflate in _DEFLATERS.items():
        if name in accepted:
            return deflate(body), name
    return body, ""
