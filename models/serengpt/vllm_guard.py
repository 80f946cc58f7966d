"""Lets vLLM's processes die with the worker that started them, however it died.

vLLM's engine process outlives a parent that was killed, and keeps its memory and its GPU. vLLM calls `die_with_parent` at the
start of each of its processes (the entry point `vllm.general_plugins`); the kernel does the rest. Processes that are not ours
are left alone. Imports nothing of vLLM.
"""

from __future__ import annotations

import ctypes
import os
import signal

OWNER = "SEREN_ENGINE_OWNER"  # a variable: the process id of the worker whose engine this is
_PR_SET_PDEATHSIG = 1  # prctl(2)


def die_with_parent() -> None:
    """Has the kernel kill this process when the thread that started it ends; in the owner itself, nothing.

    Raises:
        OSError: the kernel refuses.
    """
    owner = os.environ.get(OWNER)
    if owner is None or owner == str(os.getpid()):
        return
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if parent == 1 or os.getppid() != parent:  # it died before it was asked for
        os.kill(os.getpid(), signal.SIGKILL)
