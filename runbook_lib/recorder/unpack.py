"""Unpacks the copy of a packed body, in small pieces, so that a bomb stays small here.

What is packed with brotli or zstd is read where a library for it is installed: the clients ask for
these only then.
"""

import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, Final

Unpack = Callable[[bytes], Iterator[bytes]]

_PIECE: Final = 1 << 20
_SLICE: Final = 32
"""Bytes given at once to a library without a limit of its own: some dozen MiB at the very most."""

_BROTLI: Final = ("brotli", "brotlicffi")
_ZSTD: Final = ("compression.zstd", "backports.zstd", "zstandard")


def unpacker(encoding: str) -> Unpack | None:
    """Give what unpacks an encoding, piece by piece; None where nothing here can.

    What is not packed as it says ends in a ValueError of the first piece that shows it.

    Args:
        encoding: Content-Encoding, lower case, as "gzip".
    """
    if encoding in ("gzip", "x-gzip"):
        return _zlib(31)
    if encoding == "deflate":
        return _zlib(15, otherwise=-15)
    if encoding == "br" and (library := _installed(_BROTLI)):
        return _sliced(_feed(library.Decompressor()))
    if encoding == "zstd" and (library := _installed(_ZSTD)):
        return _sliced(_frames(library))
    return None


def _installed(names: tuple[str, ...]) -> Any:
    for name in names:
        try:
            return import_module(name)
        except ImportError:
            continue
    return None


def _zlib(bits: int, otherwise: int | None = None) -> Unpack:
    """Unpack with zlib; *otherwise* is tried where the first bytes do not fit."""
    inflate = zlib.decompressobj(bits)
    begun = False

    def feed(chunk: bytes) -> Iterator[bytes]:
        nonlocal inflate, begun
        try:
            piece = inflate.decompress(chunk, _PIECE)
        except zlib.error as error:
            if begun or otherwise is None:
                raise ValueError("not packed so") from error
            inflate = zlib.decompressobj(otherwise)
            piece = _tried(inflate, chunk)
        begun = True
        while piece:
            yield piece
            piece = _tried(inflate, inflate.unconsumed_tail)

    def until_end(chunk: bytes) -> Iterator[bytes]:
        return iter(()) if inflate.eof else feed(chunk)  # what follows would pile up

    return until_end


def _tried(inflate: Any, chunk: bytes) -> bytes:
    try:
        piece: bytes = inflate.decompress(chunk, _PIECE)
    except zlib.error as error:
        raise ValueError("no more of it") from error
    return piece


def _sliced(unpack: Callable[[bytes], bytes]) -> Unpack:
    """Feed a library that has no limit in small slices; its own errors are foreign."""

    def feed(chunk: bytes) -> Iterator[bytes]:
        for start in range(0, len(chunk), _SLICE):
            try:
                piece = unpack(chunk[start : start + _SLICE])
            except Exception as error:  # each library has an error of its own
                raise ValueError("not packed so") from error
            if piece:
                yield piece

    return feed


def _feed(decompressor: Any) -> Callable[[bytes], bytes]:
    """Give the function of a decompressor, whatever its library calls it."""
    feed: Callable[[bytes], bytes] = getattr(decompressor, "process", None) or (
        decompressor.decompress
    )
    return feed


def _frames(library: Any) -> Callable[[bytes], bytes]:
    """Unpack zstd, of which a body may hold several frames, one after the other."""

    def fresh() -> Any:
        made = library.ZstdDecompressor()
        return made.decompressobj() if hasattr(made, "decompressobj") else made

    held = fresh()

    def feed(chunk: bytes) -> bytes:
        nonlocal held
        out = b""
        while chunk:
            if held.eof:
                held = fresh()
            out += held.decompress(chunk)
            chunk = held.unused_data if held.eof else b""
        return out

    return feed
