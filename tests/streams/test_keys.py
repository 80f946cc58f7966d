from hypothesis import given
from hypothesis import strategies as st

from streams import keys

TEXT = st.text(max_size=20) | st.text(alphabet="%{}|:a\n\x00", max_size=8)


def hash_tag(key: str) -> str:
    """What Redis Cluster hashes: the text between the first `{` and the first `}` after it."""
    start = key.index("{") + 1
    return key[start : key.index("}", start)]


@given(TEXT, TEXT, TEXT)
def test_keys_of_one_user_share_the_hash_tag_for_any_text(tenant: str, user: str, surface: str) -> None:
    tag = f"{keys.escape(tenant)}|{keys.escape(user)}"
    names = (keys.slate_key(tenant, user, surface), keys.why_key(tenant, user, surface), keys.profile_key(tenant, user))
    assert {hash_tag(name) for name in names} == {tag}
    assert all(name.count("{") == name.count("}") == 1 for name in names)


@given(st.tuples(TEXT, TEXT, TEXT), st.tuples(TEXT, TEXT, TEXT))
def test_keys_of_different_triples_never_collide(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    def names(tenant: str, user: str, surface: str) -> set[str]:
        return {keys.slate_key(tenant, user, surface), keys.why_key(tenant, user, surface)}

    assert len(names(*one)) == 2
    assert (names(*one) == names(*other)) == (one == other)
    assert one == other or not names(*one) & names(*other)


def test_keys_of_partition_and_of_user_with_its_name_differ() -> None:
    of_user = {keys.profile_key("t", "p3"), keys.slate_key("t", "p3", "due"), keys.why_key("t", "p3", "checkpoint")}
    assert not of_user & {keys.checkpoint_key("t", 3), keys.due_key("t", 3)}


@given(TEXT)
def test_escape_leaves_only_what_redis_can_carry(text: str) -> None:
    escaped = keys.escape(text)
    escaped.encode()
    assert not set(escaped) & set("{}|:")
    assert all(" " <= character != "\x7f" for character in escaped)


def test_escape_writes_reserved_characters_as_percent_codes() -> None:
    assert keys.escape("%{}|:\t\x7f\ud800é") == "%25%7B%7D%7C%3A%09%7F%ED%A0%80é"
