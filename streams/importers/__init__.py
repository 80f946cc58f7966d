"""Makes recorded logs from public data sets; knows nothing about Kafka, Redis or the engine."""
