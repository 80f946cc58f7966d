"""How good a part is, measured on a recorded log that it was not trained on. Knows nothing about files or the command line."""
