"""Settings of HTTP/2 that server and channel share. Measured with grpcio 1.85; tests keep them so."""

from typing import Any, TypeAlias

Options: TypeAlias = tuple[tuple[str, Any], ...]

MESSAGE_LIMIT = 4 * 1024 * 1024
"""Bytes of one message, in and out. What can be larger goes in chunks of at most 1 MiB."""

KEEPALIVE_MS = 2000
"""A silent peer is asked after this time, and is lost after as long again without an answer."""

FASTEST_PING_MS = 500
"""A server takes pings this fast; below its clients' KEEPALIVE_MS, or it ends them with `too_many_pings`."""

MESSAGE_OPTIONS: Options = (
    ("grpc.max_receive_message_length", MESSAGE_LIMIT),
    ("grpc.max_send_message_length", MESSAGE_LIMIT),
)

KEEPALIVE_OPTIONS: Options = (
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_MS),
    # Not in the documentation. Without it an unanswered ping counts as lost only after a minute.
    ("grpc.http2.ping_timeout_ms", KEEPALIVE_MS),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.keepalive_permit_without_calls", 1),
)
