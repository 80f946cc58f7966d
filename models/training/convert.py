"""A trained checkpoint as files: the transformers folder, and beside it the int8 conversion that the light install runs.

Knows nothing about training. Needs the `train` extra.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import tempfile
from pathlib import Path

import ctranslate2
import msgspec
import torch
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from models.serengpt.checkpoint import MANIFEST, TOKENIZER, Manifest, make_manifest
from models.serengpt.tokens import END, PAD, STATIC

_QUANTISATION = "int8"  # of the weights, per row; activations are quantised per token as they come


def save_checkpoint(folder: Path, model: Qwen3ForCausalLM, tokenizer: Tokenizer, *, name: str) -> Manifest:
    """Writes `config.json`, `model.safetensors` (bf16), `tokenizer.json`, `tokenizer_config.json` and `ct2/`.

    Args:
        folder: made if it is not there; files of these names are replaced.
        model: in any precision; the conversion starts from the bf16 weights that are written, so all engines run the same.
        tokenizer: without added tokens.
        name: of the model; with the files' digests it becomes the engines' `model_id`.

    Returns:
        The SHA-256 of what the light install reads.
    """
    folder.mkdir(parents=True, exist_ok=True)
    half = Qwen3ForCausalLM(model.config).to(torch.bfloat16)
    half.load_state_dict(model.state_dict())
    half.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)  # it is written for the owner alone, and packages are built by others
    tokenizer.save(str(folder / TOKENIZER))
    _write_tokenizer_config(folder)
    _convert(folder, tokenizer)
    manifest = make_manifest(folder, name=name)
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    return manifest


def _write_tokenizer_config(folder: Path) -> None:
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": STATIC,
        "eos_token": END,
        "pad_token": PAD,
        "unk_token": PAD,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def _convert(folder: Path, tokenizer: Tokenizer) -> None:
    """The converter wants the delimiters as added tokens, so it reads a copy of the folder that has them."""
    with tempfile.TemporaryDirectory() as copied:
        for file in ("config.json", "model.safetensors"):
            shutil.copy(folder / file, copied)
        PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer.from_str(tokenizer.to_str()),
            bos_token=STATIC,
            eos_token=END,
            pad_token=PAD,
            unk_token=PAD,
        ).save_pretrained(copied)
        converter = ctranslate2.converters.TransformersConverter(copied)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            converter.convert(str(folder / "ct2"), quantization=_QUANTISATION, force=True)
