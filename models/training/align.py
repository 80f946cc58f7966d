"""Preference alignment of a SerenGPT checkpoint: IPO, DPO or KTO against the checkpoint itself, or more fine-tuning, by LoRA.

    IPO    L = (h - 1 / (2 tau))^2 + 0.2 L_SFT,  h: how much more than the reference the model prefers the chosen title

TRL trains, PEFT adapts; `accelerate launch` spreads it over devices as it is. TRL means h per token of each title, not per
title as the formula of papers.md 1.5.5 reads: titles of different length then weigh alike, and 1 / (2 tau) is in nats a token.

The trainers want text. Prompts and titles are tokenised apart here and must not meet a tokenizer again
(`models.serengpt.tokens` says why), so each id goes in as a word of its own, "<17>", and comes out as the same id.

Knows nothing about where pairs come from. Needs the `train` extra.

Source: papers.md 1.5.5 and 1.5.6; Azar et al., "A general theoretical paradigm to understand learning from human preferences".
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import accelerate
import datasets
import msgspec
import torch
from msgspec import Struct
from peft import LoraConfig
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast, PrinterCallback, Qwen3ForCausalLM, TrainerCallback
from transformers.trainer_utils import get_last_checkpoint
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer

from models.errors import CheckpointError
from models.serengpt.checkpoint import TOKENIZER, Manifest, read_weights_checkpoint
from models.serengpt.prompt import prompt_ids, title_ids
from models.serengpt.tokens import END, PAD, TitleTokenizer
from models.training.convert import save_checkpoint
from models.training.preferences import Judged, Pair

Method = Literal["ipo", "dpo", "kto", "sft"]
ADAPTER = "adapter"  # folder of the LoRA weights: what leads from the reference to the aligned model
_UNFINISHED = "unfinished"
_SETTINGS = "settings.json"


@dataclass(frozen=True, kw_only=True)
class AlignPolicy:
    """How a checkpoint is aligned. Rank, alpha, dropout, batch and the share of L_SFT: papers.md 1.5.5 and 1.5.6."""

    method: Method = "ipo"
    tau: float = 0.5  # IPO: 1 / (2 tau) nats a token are aimed at between chosen and rejected; DPO and KTO: their beta
    sft_weight: float = 0.2  # of L_SFT on the chosen titles, beside IPO and DPO
    rank: int = 8
    alpha: int = 16
    dropout: float = 0.0
    steps: int = 60
    batch: int = 16  # pairs a step, over all devices
    learning_rate: float = 1e-3  # a hundred times the paper's, for a model 200 times smaller and few steps
    warm_up_steps: int = 10
    clip: float = 1.0  # largest norm of a step's gradient
    save_steps: int = 25  # between two states from which a stopped run goes on

    def __post_init__(self) -> None:
        for name in ("tau", "rank", "alpha", "steps", "batch", "learning_rate", "save_steps"):
            if getattr(self, name) <= 0:
                message = f"{name}: {getattr(self, name)}, must be above 0"
                raise ValueError(message)


class AlignStep(NamedTuple):
    """What a step tells whoever watches; `margin`: nats by which chosen titles gained on rejected ones, times tau."""

    step: int
    steps: int
    loss: float
    margin: float | None


class Aligned(Struct, frozen=True, kw_only=True):
    """What a run made. Losses are means over the first and the last tenth of the steps."""

    manifest: Manifest
    method: Method
    rows: int
    steps: int
    first_loss: float
    last_loss: float
    parameters_trained: int
    reference: str  # model_id of the checkpoint that it was aligned against


def align(
    base: Path,
    rows: Sequence[Pair] | Sequence[Judged],
    *,
    policy: AlignPolicy,
    seed: int,
    folder: Path,
    name: str,
    watch: Callable[[AlignStep], None],
) -> Aligned | None:
    """Aligns a checkpoint and writes the merged one, its conversion, and the adapter beside it.

    The reference is the checkpoint itself, with the adapter off; its log-probabilities are computed once, before the first
    step. A run that was stopped goes on from its last saved step when it is started again with the same arguments.

    Args:
        base: the supervised fine-tuned checkpoint.
        rows: pairs for IPO and DPO; judged titles for KTO and SFT (which learns the wanted ones).
        policy: every size and rate.
        seed: of the adapter's first weights and the order of rows.
        folder: gets the checkpoint.
        name: of the model.
        watch: is told of every step.

    Returns:
        What was made; None in all processes of a launch but the first.

    Raises:
        ValueError: there is nothing to learn from, or rows of the wrong kind.
        CheckpointError: `base` cannot be read, or `folder` holds an unfinished run of other arguments.
    """
    checkpoint = read_weights_checkpoint(base)
    taught = _taught(rows, policy.method, checkpoint.tokenizer, seed, policy.steps * policy.batch)
    unfinished = folder / _UNFINISHED
    _keep_settings(unfinished, {**asdict(policy), "seed": seed, "rows": len(taught), "reference": checkpoint.model_id})
    model = Qwen3ForCausalLM.from_pretrained(base, dtype=torch.float32)
    trainer = _trainer(model, taught, checkpoint.tokenizer, policy, seed, unfinished)
    watching = _Watching(watch)
    trainer.add_callback(watching)
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(unfinished)))
    if not trainer.accelerator.is_main_process:
        return None
    adapted = trainer.accelerator.unwrap_model(trainer.model)
    trained = sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)
    adapted.save_pretrained(folder / ADAPTER)
    written = Tokenizer.from_file(str(base / TOKENIZER))
    manifest = save_checkpoint(folder, adapted.merge_and_unload(), written, name=name)
    shutil.rmtree(unfinished)
    first, last = watching.ends()
    return Aligned(
        manifest=manifest,
        method=policy.method,
        rows=len(taught),
        steps=policy.steps,
        first_loss=first,
        last_loss=last,
        parameters_trained=trained,
        reference=checkpoint.model_id,
    )


def _taught(
    rows: Sequence[Pair] | Sequence[Judged], method: Method, tokenizer: TitleTokenizer, seed: int, most: int
) -> list[dict[str, Any]]:
    """Rows as the trainers take them, at most so many, in an order that the seed alone decides."""
    wanted_type = Pair if method in ("ipo", "dpo") else Judged
    if any(not isinstance(row, wanted_type) for row in rows):
        message = f"rows: {method} learns from {wanted_type.__name__}, got other rows"
        raise ValueError(message)
    found = [taught for row in rows if (taught := _row(row, method, tokenizer)) is not None]
    if not found:
        message = f"rows: 0 of {len(rows)} can be learned from by {method}, must be at least 1"
        raise ValueError(message)
    random.Random(seed).shuffle(found)  # noqa: S311 - an order, not a secret
    return found[:most]  # what no step would reach needs no reference


def _row(row: Pair | Judged, method: Method, tokenizer: TitleTokenizer) -> dict[str, Any] | None:
    """None for a row without visible titles, for a pair of titles that read the same, and in SFT for what was not wanted."""
    prompt = _words(prompt_ids(row.digest, tokenizer))
    if isinstance(row, Pair):
        chosen, rejected = title_ids(row.chosen, tokenizer), title_ids(row.rejected, tokenizer)
        if not chosen or not rejected or chosen == rejected:
            return None
        return {"prompt": prompt, "chosen": _answer(chosen, tokenizer), "rejected": _answer(rejected, tokenizer)}
    title = title_ids(row.title, tokenizer)
    if not title or (method == "sft" and not row.wanted):
        return None
    taught: dict[str, Any] = {"prompt": prompt, "completion": _answer(title, tokenizer)}
    return taught if method == "sft" else {**taught, "label": row.wanted}


def _words(ids: Sequence[int]) -> str:
    return " ".join(f"<{place}>" for place in ids)  # closed: the end's word is looked for inside of others, too


def _answer(ids: Sequence[int], tokenizer: TitleTokenizer) -> str:
    return " " + _words((*ids, tokenizer.ids[END]))


def id_tokenizer(tokenizer: TitleTokenizer) -> PreTrainedTokenizerFast:
    """A tokenizer that reads "<17>" as id 17; its end and padding are the checkpoint's."""
    words = WordLevel({f"<{place}>": place for place in range(tokenizer.size)}, unk_token=_words([tokenizer.ids[PAD]]))
    ids = Tokenizer(words)
    ids.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=ids,
        eos_token=_words([tokenizer.ids[END]]),
        pad_token=_words([tokenizer.ids[PAD]]),
        padding_side="left",
    )


def _trainer(
    model: Qwen3ForCausalLM,
    taught: list[dict[str, Any]],
    tokenizer: TitleTokenizer,
    policy: AlignPolicy,
    seed: int,
    unfinished: Path,
) -> Any:
    datasets.disable_progress_bars()
    arguments = _arguments(policy, seed, unfinished)
    given = {
        "model": model,
        "train_dataset": datasets.Dataset.from_list(taught),
        "processing_class": id_tokenizer(tokenizer),
        "peft_config": LoraConfig(
            r=policy.rank,
            lora_alpha=policy.alpha,
            lora_dropout=policy.dropout,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
    }
    if policy.method == "sft":
        return SFTTrainer(args=SFTConfig(**arguments, completion_only_loss=True), **given)
    arguments |= {"beta": policy.tau, "precompute_ref_log_probs": True}
    if policy.method == "kto":
        return KTOTrainer(args=KTOConfig(**arguments), **given)
    losses = ["ipo" if policy.method == "ipo" else "sigmoid", "sft"]
    return DPOTrainer(args=DPOConfig(**arguments, loss_type=losses, loss_weights=[1.0, policy.sft_weight]), **given)


def _arguments(policy: AlignPolicy, seed: int, unfinished: Path) -> dict[str, Any]:
    """What all trainers are told. The batch is shared out, so that more devices train the same model, only sooner."""
    on_gpu = torch.cuda.is_available()
    devices = accelerate.PartialState().num_processes
    return {
        "output_dir": str(unfinished),
        "per_device_train_batch_size": max(1, policy.batch // devices),
        "max_steps": policy.steps,
        "learning_rate": policy.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": policy.warm_up_steps,
        "max_grad_norm": policy.clip,
        "weight_decay": 0.0,
        "seed": seed,
        "data_seed": seed,
        "logging_steps": 1,
        "save_steps": policy.save_steps,
        "save_total_limit": 1,
        "max_length": None,  # prompts and titles are within their budgets already
        "bf16": on_gpu,
        "use_cpu": not on_gpu,
        "dataloader_pin_memory": on_gpu,
        "gradient_checkpointing": False,
        "report_to": "none",
        "disable_tqdm": True,
    }


def _keep_settings(unfinished: Path, settings: dict[str, Any]) -> None:
    """Writes what the run is made with, or refuses to go on with a run that was begun otherwise."""
    unfinished.mkdir(parents=True, exist_ok=True)
    kept, text = unfinished / _SETTINGS, msgspec.json.encode(settings)
    if kept.exists() and kept.read_bytes() != text:
        message = f"{unfinished} holds a run of other arguments, {kept.read_text()}; remove it, or choose another folder"
        raise CheckpointError(message)
    kept.write_bytes(text)


class _Watching(TrainerCallback):  # type: ignore[misc]
    """Hands the trainer's logs on, and remembers the losses."""

    def __init__(self, watch: Callable[[AlignStep], None]) -> None:
        self._watch = watch
        self._losses: list[float] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Called by the trainer."""
        if logs is None or "loss" not in logs or not state.is_world_process_zero:
            return
        self._losses.append(logs["loss"])
        self._watch(AlignStep(state.global_step, state.max_steps, logs["loss"], logs.get("rewards/margins")))

    def ends(self) -> tuple[float, float]:
        """Mean losses of the first and the last tenth; of a resumed run, of what it did itself."""
        tenth = max(1, len(self._losses) // 10)
        first, last = self._losses[:tenth], self._losses[-tenth:]
        return sum(first) / max(1, len(first)), sum(last) / max(1, len(last))
