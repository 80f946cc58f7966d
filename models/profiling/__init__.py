"""What a language model reads of a user and infers about them, beside the rule-made tags of `models.profiles`.

Source: papers.md 1.3 and 2.2.

    compression.py   behaviours as few lines of text, and those lines read back

Pure: the model stands behind a port. Knows nothing about topics, HTTP or stores.
"""
