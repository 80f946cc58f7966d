"""What a worker tells of itself: metrics, health, spans, and the endpoint that shows them."""
