"""What SerenGPT is aligned with: Definition-1 samples, checked by a judge and by people, and pairs of titles.

    records.py      the two records that training reads
    dataset.py      labels as they came true -> samples: deduplicated, cut in time and by user
    card.py         what a set of samples is made of, for people

Knows nothing about files, topics or training.

Source: papers.md 1.4, 1.5.3 (Collaborative Data Intervention).
"""
