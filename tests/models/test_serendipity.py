"""Definition 1 and the strict and loose flags (papers.md 1.2), judged on hand-made windows."""

from __future__ import annotations

from typing import Any

import pytest

from models.entities import Event, Item, fingerprint
from models.profiles import Profile, item_features
from models.profiles.policy import WindowPolicy
from models.serendipity import flags

TODAY = 200


def profile_that_saw(*, category: str = "", brand: str = "", seller: str = "", visit_days: int = 3) -> Profile:
    """Visit days just before today, and one sight of each given name on the newest of them."""
    profile = Profile()
    profile.visit_days = [*range(TODAY - visit_days, TODAY), TODAY]
    for seen, name in ((profile.seen_categories, category), (profile.seen_brands, brand), (profile.seen_sellers, seller)):
        if name:
            seen[fingerprint(name)] = (TODAY - 1) << 16
    return profile


def judge(profile: Profile, kind: Any = "click", *, brand: str | None = "acme", seller: str | None = "shop") -> Any:
    item = Item(item_id="1", title="mug", category=("kitchen", "mugs"), brand=brand, seller=seller)
    event = Event(event_id="1", user_id="u", type=kind, ts_ms=TODAY * 86_400_000, item_id="1")
    return flags(profile, event, item_features(item, max_tag_bytes=48), TODAY, WindowPolicy())


@pytest.mark.parametrize(
    ("seen", "label", "strict", "loose"),
    [
        ({}, True, True, True),
        ({"category": "mugs"}, False, False, True),
        ({"brand": "acme"}, True, False, True),
        ({"seller": "shop"}, True, False, True),
        ({"brand": "acme", "seller": "shop"}, True, False, True),
        ({"category": "mugs", "brand": "acme"}, False, False, True),
        ({"category": "mugs", "brand": "acme", "seller": "shop"}, False, False, False),
    ],
)
def test_flags_label_looks_at_the_category_strict_at_all_three_and_loose_at_any(
    seen: dict[str, str], label: bool, strict: bool, loose: bool
) -> None:
    found = judge(profile_that_saw(**seen))
    assert (found.label, found.related_strict, found.related_loose) == (label, strict, loose)


@pytest.mark.parametrize(
    ("seen", "strict", "loose"),
    [({}, True, True), ({"category": "mugs"}, False, False), ({"category": "mugs", "brand": "acme"}, False, False)],
)
def test_flags_an_item_without_brand_and_seller_is_judged_by_its_category_alone(
    seen: dict[str, str], strict: bool, loose: bool
) -> None:
    found = judge(profile_that_saw(**seen), brand=None, seller=None)
    assert (found.related_strict, found.related_loose) == (strict, loose)


def test_flags_an_item_without_seller_is_judged_by_category_and_brand() -> None:
    found = judge(profile_that_saw(category="mugs"), seller=None)
    assert (found.related_strict, found.related_loose) == (False, True)
    found = judge(profile_that_saw(category="mugs", brand="acme"), seller=None)
    assert (found.related_strict, found.related_loose) == (False, False)


@pytest.mark.parametrize(
    ("kind", "known"),
    [
        ("click", True),
        ("purchase", True),
        ("expose", False),
        ("favourite", False),
        ("cart", False),
        ("cancel", False),
        ("hide", False),
    ],
)
def test_flags_only_clicks_and_purchases_have_a_label(kind: str, known: bool) -> None:
    found = judge(profile_that_saw(), kind)
    assert (found.label is True) is known
    assert found.related_strict


@pytest.mark.parametrize(("visit_days", "label"), [(0, None), (2, None), (3, True)])
def test_flags_too_few_visit_days_leave_the_label_unknown_and_the_flags_known(visit_days: int, label: bool | None) -> None:
    found = judge(profile_that_saw(visit_days=visit_days))
    assert (found.label, found.related_strict, found.visit_days) == (label, True, visit_days)


def test_flags_change_nothing() -> None:
    profile = profile_that_saw(category="mugs", brand="acme")
    before = (dict(profile.seen_categories), dict(profile.seen_brands), list(profile.visit_days))
    judge(profile)
    assert (profile.seen_categories, profile.seen_brands, profile.visit_days) == before
