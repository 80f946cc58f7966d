"""Recorded logs: their files, what is read out of them, and the way of one into Kafka."""
