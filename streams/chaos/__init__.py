"""Real processes on a real Kafka and a real Redis, killed at random, and a verifier that knows every record.

    faults.py     what goes wrong, and when: decided by a seed before it begins
    servers.py    a Kafka and a Redis of its own, on loopback, that can be killed, cut off and started again
    fleet.py      worker processes and who starts them again
    records.py    what is fed: a recorded log again and again, with retries, and with records that are none
    feeder.py     feeds it, and remembers where the broker put every record
    watcher.py    looks all the time, and notes whatever goes backwards
    evidence.py   reads what is there in the end
    verifier.py   holds it against one sequential pass over the logs
    course.py     one run from its first record to its last check
    overload.py   ten times what the workers bear, and whether they recover

    python -m streams.chaos --minutes 15 --kills 100 --seed 1
    python -m streams.chaos.overload --minutes 10

What simulated worlds (`streams.simulation`) cannot show is shown here: Faust and its threads, aiokafka's groups, Kafka's and
Redis's own recovery. A seed decides the records and the faults; how processes interleave is the machine's.
"""
