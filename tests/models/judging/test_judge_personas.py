"""Laws of the judge on people and items written by hand, with what anyone would say of the pair.

same: just like what they have, so wanted and expected. bridged: of a kind that they never had, and tied by its words to what
they like. stray: of a kind that they never had, and tied to nothing. disliked: like what they rated low.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pytest

from models.judging.judge import judge
from models.judging.meaning import Meaning
from models.judging.pairs import Judgement, Offer, Past, Person
from models.judging.policy import JudgePolicy
from models.judging.portrait import Portrait
from models.pretrained import words_folder

POLICY = JudgePolicy()
MEANING = Meaning.load(words_folder())


class Persona(NamedTuple):
    name: str
    person: Person
    same: tuple[Offer, ...]
    bridged: tuple[Offer, ...]
    stray: tuple[Offer, ...]
    disliked: tuple[Offer, ...]


def _had(*rows: str, rating: float | None = None) -> tuple[Past, ...]:
    """Rows of `title / category`."""
    return tuple(Past(title=title, category=category, rating=rating) for title, category in map(_cut, rows))


def _offers(*rows: str) -> tuple[Offer, ...]:
    return tuple(Offer(title=title, category=category) for title, category in map(_cut, rows))


def _cut(row: str) -> tuple[str, str]:
    title, _, category = row.partition(" / ")
    return title, category


PERSONAS = (
    Persona(
        "space films, no romance",
        Person(
            history=(
                *_had("Star Trek: First Contact (1996) / Sci-Fi|Action", "Apollo 13 (1995) / Drama|Adventure", rating=5.0),
                *_had("Star Wars: A New Hope (1977) / Sci-Fi|Action", "Alien (1979) / Sci-Fi|Horror", rating=4.5),
                *_had("Notting Hill (1999) / Comedy|Romance", "Pretty Woman (1990) / Comedy|Romance", rating=1.0),
            )
        ),
        same=_offers("Star Trek: Nemesis (2002) / Sci-Fi|Action", "Star Wars: Return of the Jedi (1983) / Sci-Fi|Action"),
        bridged=_offers("Apollo 11: Mission to the Moon / Documentary", "The Story of Star Trek / Documentary"),
        stray=_offers("Cats (2019) / Musical", "Unforgiven (1992) / Western"),
        disliked=_offers("Runaway Bride (1999) / Comedy|Romance", "Sweet Home Alabama (2002) / Comedy|Romance"),
    ),
    Persona(
        "crime films, no horror, marks out of ten",
        Person(
            history=(
                *_had("The Godfather / Crime|Drama", "Goodfellas / Crime|Drama", "Heat / Crime|Thriller", rating=9.0),
                *_had("The Untouchables of Chicago / Crime|Drama", rating=10.0),
                *_had("Saw / Horror", "Hostel / Horror", rating=2.0),
            )
        ),
        same=_offers("Casino / Crime|Drama", "Scarface / Crime|Drama"),
        bridged=_offers("The Godfather: Music from the Film / Soundtrack", "Chicago / Musical"),
        stray=_offers("Free Willy / Family", "The Longest Yard / Sport"),
        disliked=_offers("Saw II / Horror", "The Grudge / Horror"),
    ),
    Persona(
        "detective novels",
        Person(
            history=(
                *_had("The Hound of the Baskervilles / Detective", "A Study in Scarlet / Detective", rating=5.0),
                *_had("Murder on the Orient Express / Detective", "The Sherlock Holmes Collection / Detective", rating=5.0),
                *_had("Twilight / Vampire romance", "New Moon / Vampire romance", rating=1.0),
            )
        ),
        same=_offers("The Valley of Fear / Detective", "Murder in Mesopotamia / Detective"),
        bridged=_offers("Building the Orient Express / Railways", "Sherlock Holmes's London Walks / Travel guides"),
        stray=_offers("Excel for Accountants / Computing", "Fly Fishing Basics / Sport"),
        disliked=_offers("Breaking Dawn / Vampire romance", "Eclipse / Vampire romance"),
    ),
    Persona(
        "science books",
        Person(
            history=(
                *_had("A Brief History of Time / Physics", "The Elegant Universe / Physics", "Cosmos / Astronomy"),
                *_had("Quantum Theory for Everyone / Physics", "The Physics of Music and Sound / Physics"),
                *_had("Horoscopes of the Year / Astrology", rating=1.0),
            )
        ),
        same=_offers("The Universe in a Nutshell / Physics", "Six Easy Pieces / Physics"),
        bridged=_offers("Quantum Night / Thrillers", "Music of the Cosmos / Classical records"),
        stray=_offers("Knitting Socks / Crafts", "Hedge Fund Wizards / Finance"),
        disliked=_offers("Horoscopes and You / Astrology", "Your Stars and Signs / Astrology"),
    ),
    Persona(
        "groceries of a home baker",
        Person(
            history=(
                *_had("Strong white bread flour 1.5 kg / Pantry > Flour", "Rye flour 1 kg / Pantry > Flour"),
                *_had("Dried yeast 7 g / Pantry > Baking", "Sourdough starter / Pantry > Baking"),
                *_had("Salted butter 250 g / Dairy > Butter", "Unsalted butter 250 g / Dairy > Butter"),
                *_had("Cola 2 l / Drinks > Soft drinks", rating=1.0),
            )
        ),
        same=_offers("Wholemeal bread flour 1.5 kg / Pantry > Flour", "Slightly salted butter 250 g / Dairy > Butter"),
        bridged=_offers("Sourdough proving basket / Kitchen > Bakeware", "Bread knife / Kitchen > Knives"),
        stray=_offers("Cat litter 10 l / Pets > Litter", "Car shampoo / Motoring > Care"),
        disliked=_offers("Cola zero 2 l / Drinks > Soft drinks", "Cherry cola 1 l / Drinks > Soft drinks"),
    ),
    Persona(
        "groceries, no ratings but one",
        Person(
            history=(
                *_had("Jasmine rice / Rice", "Coconut milk / Tins", "Green curry paste / Sauces", "Fish sauce / Sauces"),
                *_had("Thai basil / Herbs", "Lime leaves / Herbs"),
                *_had("Blue cheese / Cheese", rating=1.0),
            ),
            queries=("thai cooking",),
        ),
        same=_offers("Red curry paste / Sauces", "Basmati rice / Rice"),
        bridged=_offers("Thai cooking class voucher / Experiences", "Coconut ice cream / Frozen"),
        stray=_offers("Printer paper / Office", "Toilet cleaner / Household"),
        disliked=_offers("Stilton blue cheese / Cheese", "Gorgonzola cheese / Cheese"),
    ),
)


def _judged(persona: Persona, offers: Iterable[Offer]) -> list[Judgement]:
    portrait = Portrait(persona.person, POLICY.portrait, MEANING)
    return [judge(offer, portrait, None, POLICY) for offer in offers]


by_persona = pytest.mark.parametrize("persona", PERSONAS, ids=lambda persona: persona.name)


@by_persona
def test_more_of_the_same_is_relevant_and_expected(persona: Persona) -> None:
    same, stray, bridged = (_judged(persona, offers) for offers in (persona.same, persona.stray, persona.bridged))
    assert min(one.relevance for one in same) > max(one.relevance for one in stray) + 0.1
    assert max(one.unexpectedness or 0.0 for one in same) < min(one.unexpectedness or 0.0 for one in (*stray, *bridged))


@by_persona
def test_bridged_item_is_more_serendipitous_than_more_of_the_same_and_than_a_stray_one(persona: Persona) -> None:
    bridged = min(one.serendipity for one in _judged(persona, persona.bridged))
    assert bridged > max(one.serendipity for one in _judged(persona, persona.same))
    assert bridged > max(one.serendipity for one in _judged(persona, persona.stray))


@by_persona
def test_item_like_what_was_rated_low_is_not_relevant(persona: Persona) -> None:
    disliked = _judged(persona, persona.disliked)
    assert max(one.relevance for one in disliked) < POLICY.prior
    assert max(one.serendipity for one in disliked) < min(one.serendipity for one in _judged(persona, persona.bridged))


@by_persona
def test_judgement_of_a_persona_does_not_depend_on_where_the_item_is_written(persona: Persona) -> None:
    """Capitals, spaces and full-width letters are the same title."""
    plain = _judged(persona, persona.bridged)
    shouted = [Offer(title=f"  {offer.title.upper()} ", category=offer.category) for offer in persona.bridged]
    assert _judged(persona, shouted) == plain
