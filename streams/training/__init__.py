"""Training as pieces of work: the stages of the small SerenGPT in order, and refreshes that follow each other."""
