"""The real Kafka and Redis that the tests here run against; without them every test fails and says what to start.

Their addresses come from SEREN_TEST_KAFKA ("host:port") and SEREN_TEST_REDIS (a URL), else from what `make up` wrote.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis.asyncio
from aiokafka.admin import AIOKafkaAdminClient

ENV_FILE = Path(__file__).parents[2] / ".run" / "env"


def _address(test_variable: str, variable: str) -> str:
    """The address in the environment, taken out of it (a worker refuses SEREN_ variables that it does not know)."""
    if test_variable in os.environ:
        return os.environ.pop(test_variable)
    if ENV_FILE.exists():
        values = dict(line.split("=", 1) for line in ENV_FILE.read_text().splitlines() if "=" in line)
        if variable in values:
            return values[variable]
    pytest.fail(f"no {test_variable} and no .run/env: start real Kafka and Redis with 'make up'", pytrace=False)


def _check_listening(what: str, host: str, port: int) -> None:
    try:
        socket.create_connection((host, port), timeout=5.0).close()
    except OSError as error:
        pytest.fail(f"{what} at {host}:{port} does not answer ({error}): 'make down up' starts it afresh", pytrace=False)


@pytest.fixture(scope="session")
def kafka_bootstrap() -> str:
    """ "host:port" of a real Kafka."""
    address = _address("SEREN_TEST_KAFKA", "SEREN_KAFKA_BOOTSTRAP")
    host, port = address.rsplit(":", 1)
    _check_listening("Kafka", host, int(port))
    return address


@pytest.fixture(scope="session")
def redis_url() -> str:
    """URL of a real Redis that the tests may fill; they keep to a tenant of their own."""
    url = _address("SEREN_TEST_REDIS", "SEREN_REDIS_URL")
    parts = urlsplit(url)
    _check_listening("Redis", parts.hostname or "127.0.0.1", parts.port or 6379)
    return url


@pytest.fixture
async def real_redis(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of the real Redis."""
    client = redis.asyncio.Redis.from_url(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def kafka_admin(kafka_bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """An administrator of the real Kafka."""
    client = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await client.start()
    yield client
    await client.close()


@pytest.fixture
def unique() -> Callable[[str], str]:
    """A name that no other test and no earlier run has: for topics, groups and tenants on servers that are shared."""
    suffix = uuid.uuid4().hex[:12]
    return lambda name: f"{name}-{suffix}"
