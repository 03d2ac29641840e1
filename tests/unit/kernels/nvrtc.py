"""CUDA's run-time compiler without a device, called directly."""

from __future__ import annotations

import ctypes
import functools
from importlib.metadata import files


@functools.cache
def library() -> ctypes.CDLL:
    """Load the compiler that the package nvidia-cuda-nvrtc brings."""
    paths = {
        path.name.partition(".so")[0]: path.locate() for path in files("nvidia-cuda-nvrtc") or ()
    }
    ctypes.CDLL(str(paths["libnvrtc-builtins"]))  # the compiler asks for it by its bare name
    return ctypes.CDLL(str(paths["libnvrtc"]))


def compile_cubin(source: str, options: tuple[str, ...], processor: str) -> tuple[bytes, str]:
    """Return the machine code and the intermediate text (PTX) of a source.

    Args:
        source: CUDA.
        options: of the compiler, less the processor.
        processor: for example "sm_90".

    Raises:
        AssertionError: it does not compile, or not without a warning; the compiler's words.
    """
    nvrtc = library()
    handle = ctypes.c_void_p()
    assert not nvrtc.nvrtcCreateProgram(
        ctypes.byref(handle), source.encode(), b"kernel.cu", 0, None, None
    )
    words = [option.encode() for option in (*options, f"--gpu-architecture={processor}")]
    failed = nvrtc.nvrtcCompileProgram(handle, len(words), (ctypes.c_char_p * len(words))(*words))
    said = _fetch("ProgramLog", handle).rstrip(b"\0\n").decode()
    assert (failed, said) == (0, ""), source
    result = _fetch("CUBIN", handle), _fetch("PTX", handle).rstrip(b"\0").decode()
    nvrtc.nvrtcDestroyProgram(ctypes.byref(handle))
    return result


def _fetch(what: str, handle: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    assert not getattr(library(), f"nvrtcGet{what}Size")(handle, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    assert not getattr(library(), f"nvrtcGet{what}")(handle, buffer)
    return buffer.raw
