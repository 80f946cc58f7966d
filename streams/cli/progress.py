"""A bar on standard error while somebody watches it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], None]  # told how much is done


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Advance]:
    """A bar for one piece of work; what it gives is told how much of it is done."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(escape(what), total=total)
        yield lambda count: bar.update(task, completed=count)
