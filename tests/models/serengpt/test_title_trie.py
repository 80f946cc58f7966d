import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.entities import Digest
from models.errors import RequestError
from models.pretrained import serengpt_folder
from models.serengpt.engine import CatalogueTitles, ImagineRequest
from models.serengpt.prompt import title_ids
from models.serengpt.requests import check_imagine
from models.serengpt.tokens import TitleTokenizer
from models.serengpt.trie import TitleTrie, Tries

END = 1
SHIPPED = TitleTokenizer.load(serengpt_folder() / "tokenizer.json")
TITLES = st.dictionaries(st.lists(st.integers(2, 5), min_size=1, max_size=4).map(tuple), st.integers(0, 3), max_size=20)


def _written(trie: TitleTrie, path: tuple[int, ...] = ()) -> set[tuple[int, ...]]:
    """Everything that can be written when only allowed ids are."""
    found: set[tuple[int, ...]] = set()
    for token in trie.allowed(path).tolist():
        found |= {path} if token == END else _written(trie, (*path, token))
    return found


@given(TITLES)
def test_trie_lets_its_titles_be_written_and_nothing_else(titles: dict[tuple[int, ...], int]) -> None:
    assert _written(TitleTrie(titles, end=END)) == set(titles)


@given(TITLES, st.sets(st.integers(0, 3)))
def test_narrowed_trie_is_that_of_the_other_groups_or_the_whole(titles: dict[tuple[int, ...], int], avoided: set[int]) -> None:
    left = {title for title, group in titles.items() if group not in avoided}
    assert _written(TitleTrie(titles, end=END).narrowed(tuple(avoided))) == (left or set(titles))


def test_nothing_may_follow_what_no_title_begins_with_or_what_has_ended() -> None:
    trie = TitleTrie({(7, 8): 0}, end=END)
    assert [trie.allowed(path).tolist() for path in ((8,), (7, 9), (7, 8, 7), (7, 8, END))] == [[], [], [], []]


def test_trie_of_a_catalogue_holds_its_readable_titles_in_tokens() -> None:
    titles = CatalogueTitles.of([("RED Mug", 1), ("red mug", 2), ("\u200b", 3), ("wicker star", 4)])
    trie = TitleTrie.build(titles, SHIPPED)
    end = SHIPPED.ids["<|end|>"]
    assert len(trie) == 2
    assert trie.allowed(title_ids("red mug", SHIPPED)).tolist() == [end]
    assert trie.narrowed([4]).allowed(title_ids("wicker star", SHIPPED)).tolist() == []


def test_catalogues_with_the_same_titles_have_one_name_and_others_another() -> None:
    one = CatalogueTitles.of([("red mug", 1), ("bag", 2)])
    assert CatalogueTitles.of([("bag", 2), ("red mug", 1), ("bag", 2)]) == one
    names = {one.name, *(CatalogueTitles.of(pairs).name for pairs in ([("red mug", 1)], [("red mug", 2), ("bag", 2)], []))}
    assert len(names) == 4


def test_trees_are_built_once_for_each_of_the_last_two_catalogues() -> None:
    built: list[str] = []

    def build(titles: CatalogueTitles) -> TitleTrie:
        built.append(titles.titles[0])
        return TitleTrie.build(titles, SHIPPED)

    tries = Tries(build)
    catalogues = {name: CatalogueTitles.of([(name, 0)]) for name in ("a", "b", "c")}
    for name in ("a", "b", "a", "c", "a", "b"):
        tries.of(catalogues[name])
    assert built == ["a", "b", "c", "b"]  # "b" had made room for "c"


def test_catalogue_of_which_nothing_can_be_read_is_an_error_of_the_request() -> None:
    tries = Tries(lambda titles: TitleTrie.build(titles, SHIPPED))
    with pytest.raises(RequestError, match=r"within: 0 of 1 titles can be read, must be at least 1"):
        tries.of(CatalogueTitles.of([("\u200b", 0)]))


def test_engine_that_cannot_decode_within_a_catalogue_refuses_one() -> None:
    request = ImagineRequest(digest=Digest(), n=1, seed=1, within=CatalogueTitles.of([("red mug", 1)]))
    check_imagine(request, can_choose=True)
    with pytest.raises(RequestError, match=r"^within: catalogue [0-9a-f]{24}: this engine cannot decode within a catalogue$"):
        check_imagine(request)
