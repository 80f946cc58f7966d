"""`seren bench serengpt`: one engine with one model, beside the same work done naively."""

from __future__ import annotations

import sys
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from models.serengpt.shape import SHAPES
from streams.cli.options import print_json
from streams.config import ENGINES

if TYPE_CHECKING:
    from models.serengpt.tokens import TitleTokenizer
    from models.serengpt.torch_engine import TorchEngine
    from streams.bench.figures import Figure, Meaning
    from streams.bench.serengpt import Load
    from streams.engines.named import LoadedEngine

_WRONG_USE = 2


class _Sides(NamedTuple):
    """The engine, the same where it is the one of torch, and its model in transformers where they are installed."""

    engine: LoadedEngine
    torch: TorchEngine | None
    naive: Any | None


@click.command("serengpt")
@click.option("--engine", type=click.Choice(ENGINES), default="ctranslate2", show_default=True)
@click.option(
    "--model", type=click.Path(exists=True, file_okay=False), help="A checkpoint folder; the shipped one if left out."
)
@click.option("--shape", type=click.Choice(sorted(SHAPES)), help="Random weights of this shape instead; torch only.")
@click.option("--users", type=click.IntRange(min=1), default=8, show_default=True)
@click.option("--titles", type=click.IntRange(1, 256), default=30, show_default=True, help="Imagined for each user.")
@click.option("--candidates", type=click.IntRange(1, 1024), default=100, show_default=True, help="Scored for each user.")
@click.option("--profile-tokens", type=click.IntRange(min=16), default=480, show_default=True)
@click.option(
    "--naive-titles", type=click.IntRange(min=1), default=4, show_default=True, help="Imagined naively, of one user."
)
@click.option("--runs", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="On the CPU.")
@click.option("--seed", type=int, default=7, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def serengpt(
    *,
    engine: str,
    model: str | None,
    shape: str | None,
    users: int,
    titles: int,
    candidates: int,
    profile_tokens: int,
    naive_titles: int,
    runs: int,
    threads: int,
    seed: int,
    as_json: bool,
) -> None:
    """Measure an engine: titles and scores by user, against transformers that read every prompt anew."""
    from rich.console import Console

    from models.pretrained import serengpt_folder
    from models.serengpt.tokens import TitleTokenizer
    from streams.bench.machine import machine
    from streams.bench.serengpt import make_load
    from streams.offline import Refusals, read_items
    from streams.recorded.logs import shipped_log

    if shape is not None and (engine != "torch" or model is not None):
        message = "--shape makes a model for --engine torch, without --model"
        raise click.UsageError(message)
    folder = Path(model) if model else serengpt_folder()
    with Console(stderr=True).status("Loading"):
        sides = _load(engine, folder, shape, threads=threads, profile_tokens=profile_tokens, seed=seed)
        tokenizer = TitleTokenizer.load(folder / "tokenizer.json")
        load = make_load(
            [item.title for item in read_items(shipped_log("online-retail"), Refusals())],
            tokenizer,
            users=users,
            candidates=candidates,
            imagined=titles,
            profile_tokens=profile_tokens,
            is_random=shape is not None,
            seed=seed,
        )
    with Console(stderr=True).status("Measuring"):
        where = machine()
        figures = _measured(sides, tokenizer, load, naive_titles=naive_titles, runs=runs)
        where["load_average_after"] = machine()["load_average"]
    about = {"engine": engine, "model_id": sides.engine.model_id, "runtime": sides.engine.runtime, "threads": threads}
    if as_json:
        values = [asdict(figure) | {"value": figure.value} for figure in figures]
        print_json(about | {"shape": shape, "seed": seed, "machine": where, "figures": values})
    else:
        _show(figures, about, where, naive=sides.naive is not None)
    sides.engine.close()


def _load(engine: str, folder: Path, shape: str | None, *, threads: int, profile_tokens: int, seed: int) -> _Sides:
    from streams.engines.named import load_engine

    if shape is not None:
        return _random(shape, threads=threads, profile_tokens=profile_tokens, seed=seed)
    loaded = load_engine(engine, str(folder), threads=threads, prompt_tokens=profile_tokens)
    if _missing():
        return _Sides(loaded, None, None)
    import torch

    from models.serengpt.torch_engine import TorchEngine, placed
    from streams.bench.naive import stored_model

    torch.set_num_threads(threads)
    device, precision = placed("cpu" if engine == "ctranslate2" else "")
    naive = stored_model(folder, device=device, precision=precision)
    return _Sides(loaded, loaded if isinstance(loaded, TorchEngine) else None, naive)


def _random(name: str, *, threads: int, profile_tokens: int, seed: int) -> _Sides:
    """Both sides with the same random weights, and the shipped tokenizer: its ids are the first of the vocabulary."""
    if _missing():
        click.echo(f"error: --shape needs {' and '.join(_missing())}: pip install 'seren[torch]'", err=True)
        sys.exit(_WRONG_USE)
    import torch

    from models.pretrained import serengpt_folder
    from models.serengpt.prompt import PROMPT_VERSION
    from models.serengpt.tokens import TitleTokenizer
    from models.serengpt.torch_engine import TorchEngine, placed
    from streams.bench.naive import network_of, random_model

    torch.set_num_threads(threads)
    device, precision = placed("")
    model = random_model(SHAPES[name], device=device, precision=precision, seed=seed)
    engine = TorchEngine(
        network_of(model, SHAPES[name]),
        TitleTokenizer.load(serengpt_folder() / "tokenizer.json"),
        model_id=f"{name}@random-{seed}",
        prompt_version=PROMPT_VERSION,
        prompt_tokens=profile_tokens,
    )
    return _Sides(engine, engine, model)


def _missing() -> list[str]:
    return [name for name in ("torch", "transformers", "safetensors") if find_spec(name) is None]


def _measured(sides: _Sides, tokenizer: TitleTokenizer, load: Load, *, naive_titles: int, runs: int) -> list[Figure]:
    from streams.bench import serengpt as work
    from streams.bench.figures import Figure, repeated

    model, keeps_prefixes = f"{sides.engine.model_id}, {sides.engine.runtime}", isinstance(sides.engine, work.KeepsPrefixes)
    meanings = work.meanings(load, model, keeps_prefixes=keeps_prefixes)
    meanings |= _naive_meanings(load, naive_titles) if sides.naive is not None else {}
    if sides.torch is not None:
        from streams.bench.roofline import roofline, roofline_meanings

        meanings |= roofline_meanings(sides.torch.network, samples=load.imagined)
        together = load.prompts[: sides.torch.batching.room(max(map(len, load.prompts)))]

    def measure() -> dict[str, float]:
        found = work.through_engine(sides.engine, tokenizer, load)
        if sides.naive is not None:
            found |= _naive(sides, load, naive_titles, found)
        if sides.torch is not None:
            found |= roofline(sides.torch.network, together, samples=load.imagined)
        return found

    work.warm(sides.engine, load)
    figures = repeated(measure, meanings, n=len(load.digests), runs=runs)
    what, memory = _device_memory(sides)
    if memory is not None:
        figures.append(Figure(name="device memory", unit="MiB", what=what, n=1, runs=(memory,)))
    return figures


def _device_memory(sides: _Sides) -> tuple[str, float | None]:
    """What is known of the GPU's memory: of an engine in this process its peak; of one in another what is in use."""
    if sides.naive is None:
        return "", None
    from streams.bench.roofline import peak_memory_mib, used_memory_mib

    if sides.torch is not None:
        return "most at any time, both sides", peak_memory_mib(sides.torch.network)
    return "in use at the end, by all processes", used_memory_mib()


def _naive_meanings(load: Load, titles: int) -> dict[str, Meaning]:
    from streams.bench.figures import Meaning

    return {
        "naive score": Meaning("pairs/s", f"transformers, one reading for each of {len(load.candidates)} pairs of one user"),
        "naive imagine": Meaning("users/s", f"transformers, one generate for each title, from {titles} titles of one user"),
        "score, times naive": Meaning("ratio", "pairs a second"),
        "imagine, times naive": Meaning("ratio", "users a second"),
        "difference to naive": Meaning("nats", "largest of the log-probabilities of that user's candidates"),
    }


def _naive(sides: _Sides, load: Load, titles: int, engine: dict[str, float]) -> dict[str, float]:
    from streams.bench.naive import imagined_naively, scored_naively
    from streams.bench.serengpt import scores

    scored_naively(sides.naive, load.prompts[:1], load.candidate_ids[:1])  # the first call is slower
    logprobs, score_s = scored_naively(sides.naive, load.prompts[:1], load.candidate_ids)
    imagine_s = imagined_naively(sides.naive, load.prompts[:1], titles=titles)
    pairs, users = len(logprobs) / score_s, titles / load.imagined / imagine_s
    found = [scored.logprob for scored in scores(sides.engine, load)[0]]
    return {
        "naive score": pairs,
        "naive imagine": users,
        "score, times naive": engine["score"] / pairs,
        "imagine, times naive": engine["imagine"] / users,
        "difference to naive": max(abs(ours - theirs) for ours, theirs in zip(found, logprobs, strict=True)),
    }


def _show(figures: list[Figure], about: dict[str, Any], where: dict[str, Any], *, naive: bool) -> None:
    from streams.cli.tables import show_table

    rows = [
        (figure.name, f"{figure.value:,.{0 if figure.value >= 100 else 3}f}", figure.unit, str(len(figure.runs)), figure.what)
        for figure in figures
    ]
    caption = (
        f"medians of the runs; {about['runtime']}, {about['threads']} threads; {where['cpu']}, {where['cores']} cores, "
        f"commit {where['commit'] or 'unknown'}, load {where['load_average'][0]} and {where['load_average_after'][0]} after"
    )
    if not naive:
        caption += "; not beside the naive way, which needs seren[torch]"
    show_table("seren bench serengpt", ("figure", "value", "unit", "runs", "what"), rows, caption=caption)
