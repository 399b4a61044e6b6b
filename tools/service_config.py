"""Make the gRPC service config (deadlines, retries) from the comments of the RPCs.

Each RPC's comment has one line, here strictly read:

    Deadline: 5s. Retry: UNAVAILABLE.
    Deadline: none (stream). Retry: no.

Format: https://github.com/grpc/grpc/blob/master/doc/service_config.md and gRFC A6 (retries).
"""

import json
import re

from tools.contract import ProtoFile, Rpc
from tools.protos import PACKAGE, ContractError

_LINE = re.compile(
    r"Deadline: (?P<deadline>none \(stream\)|[1-9][0-9]*(?:\.[0-9]+)?s)\. Retry: (?P<retry>no|UNAVAILABLE)\."
)

# Within gRFC A6, which counts 5 attempts at most. Its jitter keeps the members of a group from coming back in
# step after a restart of the cloud.
RETRY_POLICY = {
    "maxAttempts": 4,
    "initialBackoff": "0.2s",
    "maxBackoff": "2s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


def method_config(rpc: Rpc) -> dict[str, object]:
    """Return the entry of one RPC; raise ContractError if its comment lacks the line or the line can't be."""
    where = f"{rpc.service}.{rpc.name}"
    lines = [line for line in rpc.comment.splitlines() if "Deadline:" in line or "Retry:" in line]
    match = _LINE.fullmatch(lines[0]) if len(lines) == 1 else None
    if match is None:
        raise ContractError(
            f"{where}: its comment needs exactly one line `Deadline: 5s. Retry: UNAVAILABLE.` or "
            f"`Deadline: none (stream). Retry: no.`, and has {lines or 'none'}"
        )
    endless = not match["deadline"].endswith("s")
    if endless and not rpc.streaming:
        raise ContractError(f"{where}: not a stream, so it needs a deadline")
    if match["retry"] != "no" and rpc.client_streaming:
        raise ContractError(f"{where}: a channel can't send a stream of requests again; its caller has to")
    config: dict[str, object] = {"name": [{"service": f"{PACKAGE}.{rpc.service}", "method": rpc.name}]}
    if not endless:
        config["timeout"] = match["deadline"]
    if match["retry"] != "no":
        config["retryPolicy"] = RETRY_POLICY
    return config


def service_config(files: tuple[ProtoFile, ...]) -> str:
    """Return the service config of all services as JSON; raise ContractError naming all wrong RPCs."""
    configs, problems = [], []
    for file in files:
        for service in file.services:
            for rpc in service.rpcs:
                try:
                    configs.append(method_config(rpc))
                except ContractError as problem:
                    problems.append(str(problem))
    if problems:
        raise ContractError("\n".join(problems))
    return json.dumps({"methodConfig": configs}, indent=2) + "\n"
