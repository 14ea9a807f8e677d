"""Recorded sound."""

import io
import wave
from pathlib import Path

import numpy as np

from . import _file
from ._arrays import Array


def read_wav(path: str | Path) -> tuple[Array, int]:
    """Read a WAV file of integers (PCM, 8, 16, 24 or 32 bits).

    Args:
        path: The file.

    Returns:
        The sound, from -1 to 1 in float32, ``[samples]`` or, for several channels,
        ``[samples, channels]``; and the samples per second.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is cut short or is of another format.

    Example:
        >>> import jaxspike.data, pathlib, tempfile, wave
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.wav"
        >>> with wave.open(str(path), "wb") as file:
        ...     file.setparams((1, 2, 8000, 0, "NONE", ""))
        ...     file.writeframes(bytes([0, 0, 0, 64]))
        >>> jaxspike.data.read_wav(path)
        (array([0. , 0.5], dtype=float32), 8000)
    """
    content = Path(path).read_bytes()
    try:
        stream = io.BytesIO(content)
        with wave.open(stream) as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            start = stream.tell()
    except (wave.Error, EOFError, RuntimeError) as e:
        why = f": {e}" if str(e) else ""
        raise _file.damaged(path, 0, f"it is not a WAV file of integers{why}") from e
    announced, there = int.from_bytes(content[start - 4 : start], "little"), len(content) - start
    why = f"its header announces {announced} bytes, but {there} follow"
    _file.require(path, there >= announced, len(content), why)
    if rest := announced % (channels * width):
        _file.complete(path, start + announced - rest, rest, channels * width, "last sample")
    _file.require(path, rate > 0, 0, "it has 0 samples per second")
    raw = content[start : start + announced]
    _file.require(path, 1 <= width <= 4, 0, f"samples of {8 * width} bits are not read")
    if width == 3:  # as the upper bytes of 32 bits
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        raw, width = wide.tobytes(), 4
    values = np.frombuffer(raw, "u1" if width == 1 else f"<i{width}").astype(np.float64)
    values = (values - 128 * (width == 1)) / 2 ** (8 * width - 1)
    return values.reshape((-1, channels) if channels > 1 else -1).astype(np.float32), rate
