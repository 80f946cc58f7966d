"""The long run: each target in a process of its own, mutations guided by which lines they reach (atheris, libFuzzer).

A target gets its share of the minutes. It fails when a law breaks, when an input takes longer than `INPUT_S`, or when the
process allocates `ALLOCATION_MIB` at once or grows past `PROCESS_MIB`; the input is then kept, to be named and put into
`tests/corpus`.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from streams.fuzz.samples import samples
from streams.fuzz.targets import TARGETS

INPUT_S = 10  # the slowest inputs of 64 KiB take half a second under instrumentation
ALLOCATION_MIB = 192  # a zstd window or xz dictionary may take 128
PROCESS_MIB = 1_024
INPUT_BYTES = 66_000  # a message of the bound and a bit
_EXECS = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
_GREW = re.compile(r"cov: (\d+) ft: (\d+)")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--minutes", type=click.FloatRange(0.1), default=10.0, show_default=True, help="In all, over the targets.")
@click.option("--target", "chosen", type=click.Choice(sorted(TARGETS)), multiple=True, help="These alone; may be repeated.")
@click.option("--corpus", type=click.Path(path_type=Path, file_okay=False), default=Path("tests/corpus"), show_default=True)
@click.option("--findings", type=click.Path(path_type=Path, file_okay=False), default=Path(".run/fuzz"), show_default=True)
def main(minutes: float, chosen: Sequence[str], corpus: Path, findings: Path) -> None:
    """Look for inputs that break a reader of foreign bytes."""
    targets = chosen or list(TARGETS)
    findings.mkdir(parents=True, exist_ok=True)
    results = [_run(name, minutes * 60 / len(targets), corpus, findings) for name in targets]
    failed = results.count(False)
    click.echo(f"{len(results) - failed} passed, {failed} failed")
    sys.exit(int(failed > 0))


def _run(target: str, seconds: float, corpus: Path, findings: Path) -> bool:
    """Fuzzes one target for some seconds and says whether it held."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        seeds = Path(folder)
        for number, sample in enumerate(samples()[target]):
            (seeds / f"sample-{number}").write_bytes(sample)
        folders = [str(seeds), *(str(path) for path in [corpus / target] if path.is_dir())]
        command = [sys.executable, "-m", "streams.fuzz.process", target]
        bounds = [f"-timeout={INPUT_S}", f"-malloc_limit_mb={ALLOCATION_MIB}", f"-rss_limit_mb={PROCESS_MIB}"]
        bounds += [f"-max_total_time={max(1, int(seconds))}", f"-max_len={INPUT_BYTES}", "-print_final_stats=1"]
        kept = findings / f"{target}-"
        whole = [*command, *bounds, f"-artifact_prefix={kept}", *folders]
        ended = subprocess.run(whole, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603 - ourselves
    told = ended.stdout + ended.stderr
    execs, grew = _EXECS.findall(told), _GREW.findall(told)
    reached = f"{grew[-1][0]} edges" if grew else "no coverage"
    click.echo(f"{target}: {int(execs[-1]) if execs else 0:,} execs, {reached}, {'ok' if not ended.returncode else 'FAILED'}")
    if ended.returncode:
        click.echo("\n".join(told.splitlines()[-40:]))
        click.echo(f"{target}: the input is kept under {kept}*")
    return ended.returncode == 0


if __name__ == "__main__":
    main()
