"""The packed slate: the bytes that rankers read, in any language. `FORMAT.md` beside this file is the specification.

Standard library only, so that a ranker that imports it loads nothing else.
"""
