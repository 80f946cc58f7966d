"""What a language model reads of a user and infers about them, beside the rule-made tags of `models.profiles`.

    compression.py   behaviours as few lines of text, and those lines read back
    pieces.py        what a question may rest on, numbered
    question.py      instructions and data as text; the answer's JSON schema
    model.py         the port; local.py: SerenGPT behind it
    answers.py       JSON to candidates, whatever the text
    relevance.py approval.py   which of them are believed
    stage.py         the walk through all of it

What a profile keeps of it, and when it asks, is `models.profiles.inference`. Source: papers.md 1.3 and 2.2. Knows nothing of
topics, HTTP or stores.
"""
