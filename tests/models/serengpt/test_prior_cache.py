from collections.abc import Sequence

from models.serengpt.prior import PriorCache, Title


class Counted:
    def __init__(self) -> None:
        self.asked: list[Title] = []

    def __call__(self, titles: Sequence[Title]) -> list[float]:
        self.asked.extend(titles)
        return [-float(sum(title)) for title in titles]


def test_prior_known_title_is_not_computed_again() -> None:
    compute = Counted()
    cache = PriorCache(compute, capacity=10)
    assert cache.of([(1,), (2, 3)]) == {(1,): -1.0, (2, 3): -5.0}
    assert cache.of([(2, 3), (4,)]) == {(2, 3): -5.0, (4,): -4.0}
    assert compute.asked == [(1,), (2, 3), (4,)]


def test_prior_over_capacity_forgets_the_title_used_longest_ago() -> None:
    compute = Counted()
    cache = PriorCache(compute, capacity=2)
    cache.of([(1,), (2,)])
    cache.of([(1,)])
    cache.of([(3,)])
    assert len(cache) == 2
    cache.of([(1,), (2,)])
    assert compute.asked == [(1,), (2,), (3,), (2,)]


def test_prior_more_titles_than_capacity_are_all_answered() -> None:
    assert len(PriorCache(Counted(), capacity=1).of([(n,) for n in range(1, 6)])) == 5
