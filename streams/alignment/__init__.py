"""The data of alignment: labels, judges, pairs, their files, and the page on which people decide."""
