"""What this machine makes of seren: throughput, sizes and latencies, as `seren bench` prints them.

    machine.py    where it was measured
    figures.py    a number with what it measured, its n and its runs
    workload.py   the shipped log, decoded and routed beforehand
    amplified.py  the shipped log as millions of events of 100,000 users
    loading.py    topics of a real Kafka, filled beforehand
    profiles.py   the profile update alone, the engine without servers, bytes of profiles
    stores.py     the engine with a real Redis, publishing and reading slates
    workers.py    a worker process behind the embedded broker
    drain.py      our worker on a real Kafka that was filled beforehand
    peers/        the same beside Quix Streams, Bytewax, Faust and plain aiokafka (`make bench-peers`)
    scale.py      what an event costs with 10 thousand to 10 million users (`make bench-scale`)
    hostile.py    what hostile records cost the others, in time from an event to its profile (`--only hostile`)
    judging.py    SerenGPT, retrieval, a whole answer

Throughput is per core: events divided by the CPU seconds of the process that works, which other programs disturb less than
wall time. Latencies are wall time. Nothing here judges a number.
"""
