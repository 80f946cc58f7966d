"""What a run prints in its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from streams.chaos.verifier import Check


def show_counts(counts: Mapping[str, int], seconds: Mapping[str, float]) -> None:
    """What happened, and how long each part took."""
    for name, count in sorted(counts.items()):
        if count:
            click.echo(f"  {name:<62} {count:>12,}")
    for name, lasted_s in seconds.items():
        click.echo(f"  {name + ', s':<62} {lasted_s:>12,.1f}")


def show_checks(checks: Sequence[Check]) -> bool:
    """Each check with its failures, and the line that closes them; whether all passed."""
    for one in checks:
        click.echo(f"{'ok  ' if one.passed else 'FAIL'}  {one.name} ({one.looked_at:,})")
        for failure in one.failures:
            click.echo(f"        {failure}")
    passed = sum(one.passed for one in checks)
    click.echo(f"{passed} passed, {len(checks) - passed} failed")
    return passed == len(checks)
