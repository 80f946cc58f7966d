"""The engine in a small world that a seed decides: a fake clock, broker, Redis and model around the real workers.

`world.simulate(seed)` runs one world: what users do, which worker dies, freezes or loses its partitions, when Redis or the
broker goes away, and in which order everything that takes time is done. Then everything heals, what is left is worked off, and
the end is compared with one pass over the same records (`oracle`). The same seed is the same world, in every process.

    python -m streams.simulation --seeds 100000 --first 0
    python -m streams.simulation --seed 4711

What is real: the agents, `Partition`, the checkpoint, the ledger, the retries, the stores with their packed bytes. What stands
in: Faust with its group protocol (`workers`, `broker`), Redis with its Lua (`keyspace`, held against a real Redis by a test),
SerenGPT (`model`), and the event loop, whose time jumps (`loop`).
"""
