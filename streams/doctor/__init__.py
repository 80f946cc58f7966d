"""What `seren doctor` looks at."""
