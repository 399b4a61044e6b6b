"""ReceiverService: one receiver's status, settings, role, outputs and tokens, for its own operators."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from hotspare.v1 import output_pb2, receiver_service_pb2, receiver_service_pb2_grpc, token_pb2
from hotspare_model.errors import field_invalid
from hotspare_receiver.clock import Clock
from hotspare_receiver.hot_spare import HotSpare
from hotspare_receiver.path import AlarmPath
from hotspare_receiver.services import outputs as output_messages
from hotspare_receiver.services import settings as settings_messages
from hotspare_receiver.services.output_verbs import OutputVerbs
from hotspare_receiver.services.requests import (
    check_etag,
    check_name,
    mask_paths,
    page_size,
    page_token,
    read_page_token,
)
from hotspare_receiver.services.streams import Changes, Ends
from hotspare_receiver.snapshot import OutputConfig
from hotspare_receiver.status import StatusBoard
from hotspare_receiver.store.outputs import OutputStore, StoredOutput
from hotspare_receiver.store.settings import Settings, SettingsStore
from hotspare_receiver.store.tokens import StoredToken, TokenRole
from hotspare_receiver.tokens import LONGEST_VALIDITY, Tokens
from hotspare_rpc.logs import log_event
from hotspare_rpc.wire import duration_from_proto, role_from_proto, timestamp_to_proto

LEAST_INTERVAL = 0.1
"""Seconds between two messages of WatchStatus at least: the contract's ten times a second."""

LEAST_VALIDITY = timedelta(minutes=1)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the service works on."""

    tokens: Tokens
    ends: Ends
    changes: Changes
    board: StatusBoard
    settings: SettingsStore
    hot_spare: HotSpare
    outputs: OutputStore
    path: AlarmPath
    clock: Clock


class ReceiverServicer(OutputVerbs, receiver_service_pb2_grpc.ReceiverServiceServicer):
    """Serves ReceiverService."""

    _parts: Parts

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def GetStatus(self, request: Any, context: Any) -> receiver_service_pb2.GetStatusResponse:
        """How this receiver is."""
        self._parts.tokens.admit(context, TokenRole.VIEWER)
        return receiver_service_pb2.GetStatusResponse(status=await self._parts.board.status())

    def WatchStatus(self, request: Any, context: Any) -> AsyncIterator[receiver_service_pb2.WatchStatusResponse]:
        """The same, again at every change."""
        operator = self._parts.tokens.admit(context, TokenRole.VIEWER)
        return self._parts.ends.guard(self._statuses(), operator)

    async def _statuses(self) -> AsyncGenerator[receiver_service_pb2.WatchStatusResponse, None]:
        while True:
            changed = self._parts.changes.next
            yield receiver_service_pb2.WatchStatusResponse(status=await self._parts.board.status())
            await asyncio.sleep(LEAST_INTERVAL)
            await changed.wait()

    async def GetSettings(self, request: Any, context: Any) -> receiver_service_pb2.GetSettingsResponse:
        """The settings, without the ARC key."""
        self._parts.tokens.admit(context, TokenRole.VIEWER)
        return receiver_service_pb2.GetSettingsResponse(
            settings=settings_messages.settings_to_proto(self._parts.settings)
        )

    async def UpdateSettings(
        self, request: receiver_service_pb2.UpdateSettingsRequest, context: Any
    ) -> receiver_service_pb2.UpdateSettingsResponse:
        """Change what the mask names."""
        parts = self._parts
        operator = parts.tokens.admit(context, TokenRole.ADMIN)
        paths = mask_paths(request.update_mask, settings_messages.SETTABLE, settings_messages.LATER)

        def change() -> tuple[Settings, str]:
            after = settings_messages.changed_settings(parts.settings, request.settings, paths)
            if after != (parts.settings.settings, parts.settings.arc_key):
                check_etag(request.settings.etag, parts.settings.etag)
            return after

        if await parts.hot_spare.configure(change, operator.name, confirmed=request.confirmed):
            names = ",".join(sorted(paths))
            log_event(_log, logging.INFO, "settings_changed", operator=operator.name, fields=names)
        return receiver_service_pb2.UpdateSettingsResponse(settings=settings_messages.settings_to_proto(parts.settings))

    async def EnableHotSpare(
        self, request: receiver_service_pb2.EnableHotSpareRequest, context: Any
    ) -> receiver_service_pb2.EnableHotSpareResponse:
        """Take a role."""
        operator = self._parts.tokens.admit(context, TokenRole.ADMIN)
        role = role_from_proto(request.role)
        if role is None:
            raise field_invalid("role", "must be HOST, SPARE_1, SPARE_2 or SPARE_3")
        joined = await self._parts.hot_spare.enable(
            role, operator.name, promote=request.promote, confirmed=request.confirmed
        )
        return receiver_service_pb2.EnableHotSpareResponse(member=joined.member)

    async def DisableHotSpare(
        self, request: receiver_service_pb2.DisableHotSpareRequest, context: Any
    ) -> receiver_service_pb2.DisableHotSpareResponse:
        """Give the role up."""
        operator = self._parts.tokens.admit(context, TokenRole.ADMIN)
        disabled = await self._parts.hot_spare.disable(operator.name, confirmed=request.confirmed)
        return receiver_service_pb2.DisableHotSpareResponse(
            cloud_told=disabled.cloud_told,
            ended_members=disabled.ended_members,
            cleared_records=disabled.cleared_records,
        )

    # Outputs.

    async def CreateOutput(
        self, request: receiver_service_pb2.CreateOutputRequest, context: Any
    ) -> receiver_service_pb2.CreateOutputResponse:
        """Make an output, and open its link."""
        operator = self._parts.tokens.admit(context, TokenRole.OPERATOR)
        config = output_messages.output_from_proto(request.output)
        stored = await self._parts.outputs.create(config, self._parts.clock.wall())
        self._outputs_changed("output_created", config.name, operator.name)
        return receiver_service_pb2.CreateOutputResponse(output=self._shown(stored))

    async def ListOutputs(
        self, request: receiver_service_pb2.ListOutputsRequest, context: Any
    ) -> receiver_service_pb2.ListOutputsResponse:
        """The outputs by name."""
        self._parts.tokens.admit(context, TokenRole.VIEWER)
        size = page_size(request.page_size, 100)
        after = read_page_token(request.page_token, "outputs") or ""
        names = sorted(name for name in self._parts.outputs.outputs if name > str(after))
        shown = [self._shown(self._parts.outputs.outputs[name]) for name in names[:size]]
        more = page_token("outputs", names[size - 1]) if len(names) > size else ""
        return receiver_service_pb2.ListOutputsResponse(outputs=shown, next_page_token=more)

    async def UpdateOutput(
        self, request: receiver_service_pb2.UpdateOutputRequest, context: Any
    ) -> receiver_service_pb2.UpdateOutputResponse:
        """Change what the mask names."""
        operator = self._parts.tokens.admit(context, TokenRole.OPERATOR)
        asked = request.output
        paths = mask_paths(request.update_mask, output_messages.SETTABLE, output_messages.LATER)

        def change(existing: StoredOutput) -> OutputConfig:
            after = output_messages.changed_output(existing.config, asked, paths)
            if after != existing.config:
                check_etag(asked.etag, existing.etag)
            return after

        stored = await self._parts.outputs.update(asked.name, change)
        self._outputs_changed("output_changed", asked.name, operator.name)
        return receiver_service_pb2.UpdateOutputResponse(output=self._shown(stored))

    async def DeleteOutput(
        self, request: receiver_service_pb2.DeleteOutputRequest, context: Any
    ) -> receiver_service_pb2.DeleteOutputResponse:
        """Delete an output, and close its link."""
        operator = self._parts.tokens.admit(context, TokenRole.OPERATOR)
        await self._parts.outputs.delete(request.name, lambda existing: check_etag(request.etag, existing.etag))
        self._outputs_changed("output_deleted", request.name, operator.name)
        return receiver_service_pb2.DeleteOutputResponse()

    def _shown(self, stored: StoredOutput) -> output_pb2.Output:
        seen = {output.name: output for output in self._parts.path.snapshot().outputs}
        return output_messages.output_to_proto(stored, seen.get(stored.config.name))

    def _outputs_changed(self, event: str, name: str, operator: str) -> None:
        log_event(_log, logging.INFO, event, output=name, operator=operator)
        self._parts.path.set_outputs(self._parts.outputs.configs)
        self._parts.changes.notify()

    # Tokens.

    async def CreateToken(
        self, request: receiver_service_pb2.CreateTokenRequest, context: Any
    ) -> receiver_service_pb2.CreateTokenResponse:
        """Make a token; its secret is shown in this answer alone."""
        operator = self._parts.tokens.admit(context, TokenRole.ADMIN)
        name = check_name("name", request.name, also="@")
        if request.role not in {int(role) for role in TokenRole}:
            raise field_invalid("role", "must be ADMIN, OPERATOR, VIEWER or FEED")
        validity = duration_from_proto(request.validity) if request.HasField("validity") else None
        if request.HasField("validity") and (validity is None or not LEAST_VALIDITY <= validity <= LONGEST_VALIDITY):
            raise field_invalid("validity", "must be 1 minute to 10 years")
        role = TokenRole(request.role)
        subscriptions = tuple(check_name("subscriptions", text) for text in request.subscriptions)
        if role is TokenRole.FEED and not subscriptions:
            raise field_invalid("subscriptions", "a token with the role FEED names what it may open")
        token, secret = await self._parts.tokens.create(name, role, validity, subscriptions)
        log_event(_log, logging.INFO, "token_created", name=name, role=token.role.name, operator=operator.name)
        return receiver_service_pb2.CreateTokenResponse(token=token_to_proto(token), secret=secret)

    async def ListTokens(
        self, request: receiver_service_pb2.ListTokensRequest, context: Any
    ) -> receiver_service_pb2.ListTokensResponse:
        """All tokens by name, without their secrets."""
        self._parts.tokens.admit(context, TokenRole.ADMIN)
        size = page_size(request.page_size, 1000)
        start = read_page_token(request.page_token, "tokens")
        tokens = self._parts.tokens.listed()
        if start is not None:
            name, _, number = str(start).rpartition("\n")
            tokens = [token for token in tokens if (token.name, token.token_id) > (name, int(number or 0))]
        shown = tokens[:size]
        more = ""
        if len(tokens) > size:
            more = page_token("tokens", f"{shown[-1].name}\n{shown[-1].token_id}")
        return receiver_service_pb2.ListTokensResponse(
            tokens=[token_to_proto(token) for token in shown], next_page_token=more
        )

    async def RevokeToken(
        self, request: receiver_service_pb2.RevokeTokenRequest, context: Any
    ) -> receiver_service_pb2.RevokeTokenResponse:
        """Revoke a token; its streams end."""
        operator = self._parts.tokens.admit(context, TokenRole.ADMIN)
        token = await self._parts.tokens.revoke(request.name)
        log_event(_log, logging.WARNING, "token_revoked", name=request.name, operator=operator.name)
        return receiver_service_pb2.RevokeTokenResponse(token=token_to_proto(token))


def token_to_proto(token: StoredToken) -> token_pb2.Token:
    """A token as it is shown."""
    message = token_pb2.Token(
        name=token.name,
        role=token_pb2.TokenRole.ValueType(int(token.role)),
        create_time=timestamp_to_proto(token.created),
        subscriptions=token.subscriptions,
    )
    if token.expires is not None:
        message.expire_time.CopyFrom(timestamp_to_proto(token.expires))
    if token.revoked is not None:
        message.revoke_time.CopyFrom(timestamp_to_proto(token.revoked))
    if token.last_used is not None:
        message.last_use_time.CopyFrom(timestamp_to_proto(token.last_used))
    return message
