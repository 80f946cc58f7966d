"""A Redis server and a Kafka-protocol broker on loopback, for a demo or a quick test without any set-up.

Knows nothing about topics' meaning, profiles or slates. Importing this package starts and imports nothing.
"""
