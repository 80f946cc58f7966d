"""The picture of a result: `python -m streams.bench.peers.picture RESULT.json PICTURE.svg`, where matplotlib is."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot  # after the choice of what draws

OURS, THEIRS, BARE = "#1b6ca8", "#8a8f98", "#d5d8dc"
# The same result gives the same bytes: no date, and ids from a fixed seed.
mpl.rcParams.update({"svg.hashsalt": "seren", "svg.fonttype": "none", "font.size": 9})


def draw(result: dict[str, Any], path: Path) -> None:
    """Draws a result of either kind."""
    figure = {"peers": peers, "scale": scale}[result["kind"]](result)
    figure.text(0.01, 0.01, _where(result["machine"]), fontsize=6.5, color="#666666")
    figure.savefig(path, metadata={"Date": None})


def peers(result: dict[str, Any]) -> Any:
    """Events per second and core, the fastest on top. Whoever keeps no profile is pale, and cut off where others end."""
    ran = sorted((one for one in result["engines"] if one["events_per_core_s"]), key=lambda one: one["events_per_core_s"])
    values = [one["events_per_core_s"] for one in ran]
    names = [f"{one['name']}\n{one['keeps']}" for one in ran]
    colours = [OURS if one["name"].startswith("seren") else THEIRS if one["profiles"] else BARE for one in ran]
    end = 1.15 * max(one["events_per_core_s"] for one in ran if one["profiles"])
    figure, axes = pyplot.subplots(figsize=(8, 0.9 + 0.5 * len(ran)), layout="constrained")
    axes.barh(names, values, color=colours)
    for place, value in enumerate(values):
        cut = value > end
        text = f"{value:,.0f} " + ("\N{RIGHTWARDS ARROW}" if cut else "")
        axes.text(end if cut else value, place, f" {text}", va="center", ha="right" if cut else "left")
    axes.set_xlim(0, end)
    figure.suptitle("Events per second of CPU: the same profile update, the same Kafka topic", x=0.01, ha="left", fontsize=10)
    axes.set_xlabel("events/s per core; pale: keeps nothing")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    return _plain(figure, axes)


def scale(result: dict[str, Any]) -> Any:
    """Cost of an event by the number of users, and where their profiles are."""
    points = result["points"]
    users = [one["users"] for one in points]
    figure, axes = pyplot.subplots(figsize=(8, 3.6), layout="constrained")
    axes.plot(users, [one["cpu_us"] for one in points], marker="o", color=OURS, label="engine")
    axes.plot(users, [one["redis_cpu_us"] for one in points], marker="o", color=THEIRS, label="Redis")
    axes.axvline(result["max_users"], color=BARE, linestyle="--", label="profiles in the engine's memory")
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("users")
    axes.set_ylabel("us of CPU per event")
    axes.set_title("What an event costs by the number of users", loc="left")
    axes.legend(frameon=False)
    return _plain(figure, axes)


def _plain(figure: Any, axes: Any) -> Any:
    axes.spines[["top", "right"]].set_visible(False)
    figure.get_layout_engine().set(rect=(0, 0.05, 1, 0.95))
    return figure


def _where(machine: dict[str, Any]) -> str:
    return (
        f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}, commit {machine['commit']}, "
        f"{machine['date'][:10]}"
    )


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
