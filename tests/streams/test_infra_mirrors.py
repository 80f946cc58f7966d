"""What infra/ repeats from the code, or from itself, is the same in every place."""

from __future__ import annotations

import re
from pathlib import Path

from streams.topics import TOPICS

INFRA = Path(__file__).parents[2] / "infra"
# Names of the node's settings that are different by nature: addresses and folders.
PLACES = {"node.id", "log.dirs", "controller.quorum.bootstrap.servers", "listeners", "advertised.listeners"}


def written_topics() -> dict[str, dict[str, str]]:
    """topics.yaml, of which only two levels of `name: value` are used."""
    topics: dict[str, dict[str, str]] = {}
    name = ""
    for line in (INFRA / "kafka" / "topics.yaml").read_text().splitlines():
        text = line.split("#")[0].rstrip()
        if found := re.fullmatch(r"  ([\w-]+):", text):
            name = found[1]
            topics[name] = {}
        elif found := re.fullmatch(r"    (\w+): (\S+)", text):
            topics[name][found[1]] = found[2]
        else:
            assert text in ("", "topics:"), f"topics.yaml: {line!r} is neither a topic nor one of its values"
    return topics


def test_topics_file_says_what_the_program_makes():
    expected = {}
    for name, topic in TOPICS.items():
        settings = {setting.replace(".", "_"): value for setting, value in topic.settings.items()}
        expected[name] = {"key": topic.key, "partitions": str(topic.partitions)} | settings
    assert written_topics() == expected


def test_compose_and_maven_name_one_kafka_version():
    image = re.search(r"image: apache/kafka:(\S+)", (INFRA / "compose.yaml").read_text())
    artefact = re.search(r"<kafka.version>(\S+)</kafka.version>", (INFRA / "kafka" / "pom.xml").read_text())
    assert image is not None
    assert artefact is not None
    assert image[1] == artefact[1]


def test_compose_gives_kafka_the_settings_of_the_local_node():
    lines = (INFRA / "kafka" / "server.properties").read_text().splitlines()
    named = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    local = {name: value for name, value in named.items() if name not in PLACES}
    found = re.findall(r"^      KAFKA_(\w+): (.+)$", (INFRA / "compose.yaml").read_text(), flags=re.MULTILINE)
    compose = {name.lower().replace("_", "."): value.strip('"') for name, value in found}
    assert {k: v for k, v in compose.items() if k in local.keys() - PLACES} == {
        k: v for k, v in local.items() if k not in PLACES
    }


def test_compose_publishes_ports_on_loopback_alone():
    published = re.findall(r'^      - "(.+):\d+"$', (INFRA / "compose.yaml").read_text(), flags=re.MULTILINE)
    assert len(published) == 2
    assert all(address.startswith("127.0.0.1:") for address in published)
