"""The score log: what SerenGPT answered, under the name of what it was asked, so that nobody has to ask it twice.

    record.py   one answer on the wire, and what makes it believable
    log.py      the bounded memory of answers, and those that have to go to the topic yet
    engine.py   an engine that asks the log first
    file.py     the log in a file, for replays
    topic.py    the log on `seren-scores`: what a worker reads of it when it starts

Why a title is the grain. A slate's candidates move with the catalogue while its prompt stays; whole answers would miss for one
new item among sixty. So scores are kept by prompt and found by title, and only the titles that are not there are asked. What
goes to the topic is what was asked in one call, because a record for each title would cost more than the title.
"""
