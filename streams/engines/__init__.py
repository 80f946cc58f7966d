"""SerenGPT's engines by name, counted, bounded, followed from version to version, or behind an endpoint."""
