"""An engine in a process of its own, which can be killed and made anew.

    progress.py   when a model that has work counts as hung; pure
    wire.py       the frames between the two processes
    child.py      the process that holds the engine (`python -m streams.engines.hosting.child`)
    life.py       one such process, from its start to its end
    engine.py     `HostedEngine`: the engine as the worker sees it, whichever process is behind it

Why a process and not a thread: a call that hangs in native code cannot be ended, its thread would keep the model's memory (and
that of the GPU) beside the new one's, and a kernel that kills for memory takes the largest process, which is then not ours.
"""
