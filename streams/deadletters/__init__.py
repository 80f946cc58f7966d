"""Records that could not be used: what is buried of them, and how one comes back, once."""
