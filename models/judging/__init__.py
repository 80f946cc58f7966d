"""The judge: how serendipitous an item would be to a person, in any domain, from a few lines about both.

Knows nothing about catalogues, profiles or events: what it is told of the person is all it has.
"""
