"""`seren label`: a page on this machine on which a person decides about samples and pairs.

    decisions.py    the file of one person's decisions, whole after every one of them
    session.py      which question is next, and what was decided
    server.py       the page over HTTP, for this machine and this person alone
    view.py         a question as the page shows it
    label.html, label.css, label.js

Knows nothing about how questions were chosen or what becomes of the decisions.
"""
