"""What thinks: entities, cognition profiles, trigger, SerenGPT, retrieval, blend, metrics, training.

Pure code: no Kafka, no Redis, no clock, no environment. It may be imported and tested without any of them.
"""
