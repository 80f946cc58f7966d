"""What moves: codecs, topics, agents, stores, the ranker's client, replay, the command line.

Importing this package imports none of it, so that `streams.client` never pulls in Faust.
"""
