"""The BPE tokenizer of SerenGPT: learned from the titles, tags and facts that the train part of a log knew.

Knows nothing about events. Byte-level, so that any text has ids; with a catalogue of a few thousand short names nearly every
word becomes one token.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

from models.serengpt.tokens import SPECIAL_TOKENS, clean


def train_tokenizer(texts: Iterable[str], *, vocabulary: int) -> Tokenizer:
    """A tokenizer whose merges come from `texts`, deterministic in them and their order.

    Args:
        texts: titles, tags, facts and queries of the train part; repeats weigh.
        vocabulary: largest number of tokens, delimiters and the 256 bytes included.

    Returns:
        A tokenizer without added tokens: delimiters are in its vocabulary, and no text can produce them.
    """
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=True)
    tokenizer.decoder = ByteLevelDecoder()
    trainer = BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((clean(text) for text in texts), trainer)
    written = json.loads(tokenizer.to_str())
    written["added_tokens"] = []
    return Tokenizer.from_str(json.dumps(written))
