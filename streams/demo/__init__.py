"""`seren demo`: the whole walk on a recorded log, with servers, workers and a ranker's page, in one command.

servers.py   an embedded Redis and broker (or the real ones that it is given), and the two kinds of workers as processes
walk.py      the log in, at the pace of the workers; until every request is answered
report.py    what is in Redis afterwards, as the object of `--json` and as the page
"""
