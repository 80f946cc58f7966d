"""What `seren judge` reads and writes, and the labelled cases that a judge is held against."""
