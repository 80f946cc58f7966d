"""Starting a Kafka client, and telling a broker that is away from one that is there and refuses us.

Knows nothing about trying again (`streams.agents.retry`) or what the client is for.
"""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaClient, AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import errors as kafka
from aiokafka.conn import create_conn

from models.errors import BrokerError, BrokerUnavailable

# Of one try to start: ten times what a broker under full load takes. Faust's own bound for a producer is 20 minutes, for which
# a broker that froze and came back would not be noticed.
START_S = 30.0

# No further try makes these good: credentials, rights, or a broker of another age.
_REFUSALS: tuple[type[kafka.KafkaError], ...] = (
    kafka.AuthenticationFailedError,
    kafka.AuthenticationMethodNotSupported,
    kafka.ClusterAuthorizationFailedError,
    kafka.IllegalSaslStateError,
    kafka.IncompatibleBrokerVersion,
    kafka.SaslAuthenticationFailed,
    kafka.UnrecognizedBrokerVersion,
    kafka.UnsupportedSaslMechanismError,
    kafka.UnsupportedVersionError,
)


async def start(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """One try to start a client; after an error the same client may be started again.

    Raises:
        BrokerUnavailable: no broker can be reached; try again.
        BrokerError: a broker is there and refuses us; the message says why.
    """
    connections: AIOKafkaClient = client.client if isinstance(client, AIOKafkaProducer) else client._client  # noqa: SLF001
    try:
        async with asyncio.timeout(START_S):
            await client.start()
    except (kafka.KafkaError, OSError) as error:
        refusal = error if isinstance(error, _REFUSALS) else await _refusal(connections)
        kind = BrokerUnavailable if refusal is None else BrokerError
        message = f"Kafka at {', '.join(f'{host}:{port}' for host, port, _ in connections.hosts)}: {refusal or error!r}"
        raise kind(message) from error


async def _refusal(connections: AIOKafkaClient) -> kafka.KafkaError | None:
    """Why a broker refuses us, if one does: aiokafka logs that and says of everything that no broker can be reached."""
    for host, port, _ in connections.hosts:
        try:
            async with asyncio.timeout(START_S):
                connection = await create_conn(host, port, **_identity(connections))
        except _REFUSALS as error:
            return error
        except (kafka.KafkaError, OSError):
            continue
        connection.close()
    return None


def _identity(connections: AIOKafkaClient) -> dict[str, object]:
    """How the client presents itself, as its own `bootstrap` does."""
    return {
        name: getattr(connections, f"_{name}")
        for name in (
            "client_id",
            "request_timeout_ms",
            "ssl_context",
            "security_protocol",
            "sasl_mechanism",
            "sasl_plain_username",
            "sasl_plain_password",
            "sasl_kerberos_service_name",
            "sasl_kerberos_domain_name",
            "sasl_oauth_token_provider",
        )
    }
