"""The profiling stage: its configuration, the models behind it, and what their answers become."""
