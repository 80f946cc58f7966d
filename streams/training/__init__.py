"""The training of the small SerenGPT as one piece of work: its stages, in order."""
