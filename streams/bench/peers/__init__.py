"""Our worker beside its peers on a real Kafka: `make bench-peers`, or `python -m streams.bench.peers --help`.

    rounds.py    who runs, in which order, and what came out
    stage.py     the servers and the log, and everybody on them
    report.py    the table, the JSON
    picture.py   the picture

What a peer does is a file each, run by the Python of an environment of their own (infra/bench/requirements.txt), with
`fold.py` for the work, `task.py` for the clock: quix_streams.py bytewax_flow.py aiokafka_redis.py faust_table.py counting.py
"""
