"""What must hold for any bytes from outside: `targets` are the laws, `tests/corpus` the inputs that once broke one, or could.

    targets.py    one law per reader of foreign bytes
    samples.py    valid inputs, from which mutations start
    process.py    one target under libFuzzer
    __main__.py   the long, coverage-guided run (`make fuzz`)

The unit tests hold the same laws against the corpus and against a bounded number of generated inputs.
"""
