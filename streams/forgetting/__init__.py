"""A user is forgotten: the order from outside, and what the owner of the partition does."""
