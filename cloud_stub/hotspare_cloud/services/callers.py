"""Who calls: credentials of a call -> receiver, device or operator (S1)."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import grpc

from hotspare_cloud.directory import Directory
from hotspare_cloud.gateways import Gateway
from hotspare_cloud.group import Group
from hotspare_cloud.keys import EndStream, invalid_credentials
from hotspare_cloud.store.base import DeviceRow
from hotspare_model.errors import HotspareError, Reason
from hotspare_rpc.credentials import (
    read_bearer_token,
    read_device_credentials,
    read_operator,
    read_receiver_credentials,
)

ADMIN, OPERATOR, VIEWER = 1, 2, 3
"""Roles of tokens, as numbered in token.proto: each includes those with higher numbers."""

ROLE_NAMES = {ADMIN: "admin", OPERATOR: "operator", VIEWER: "viewer"}

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class ReceiverCaller:
    """A receiver that showed the ARC key."""

    arc_id: str
    receiver_id: str
    operator: str
    """The operator for whom it calls. Empty: for itself."""


@dataclass(frozen=True, slots=True)
class OperatorCaller:
    """An operator of the cloud."""

    name: str
    role: int


class Callers:
    """Reads the metadata of calls."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def receiver(self, context: Context) -> ReceiverCaller:
        """The receiver that calls. Raises HotspareError INVALID_CREDENTIALS."""
        metadata = context.invocation_metadata()
        shown = read_receiver_credentials(metadata)
        if shown is None:
            raise invalid_credentials()
        self._directory.keys.check(shown.arc_id, shown.arc_key, shown.receiver_id)
        return ReceiverCaller(shown.arc_id, shown.receiver_id, read_operator(metadata) or "")

    def lasting(self, context: Context, end: EndStream, *, by_token: bool = False) -> AbstractContextManager[None]:
        """Stands around a stream: `end` is called when the ARC key (X3) that opened it ends before it does; `by_token`:
        or the operator's token, where one is shown.

        Raises:
            HotspareError: INVALID_CREDENTIALS, TOKEN_EXPIRED: it has ended already.
        """
        metadata = context.invocation_metadata()
        # As `group` and the others read who calls. None but watches of groups take a token; whoever shows one besides
        # is not admitted by it elsewhere.
        token = read_bearer_token(metadata) if by_token else None
        if token is not None:
            return self._directory.tokens.lasting(token.secret, end)
        shown = read_receiver_credentials(metadata)
        if shown is None:
            return nullcontext()  # a device's, which is looked at with each batch
        return self._directory.keys.lasting(shown.arc_id, shown.arc_key, end)

    def device(self, context: Context) -> DeviceRow:
        """The device that calls. Raises HotspareError INVALID_CREDENTIALS."""
        shown = read_device_credentials(context.invocation_metadata())
        if shown is None:
            raise invalid_credentials()
        return self._directory.device(shown.arc_id, shown.device_id, shown.device_key)

    def gateway(self, context: Context) -> Gateway | None:
        """The receiver that calls as a gateway (D2); None where the call shows no ARC key, as a device's does.

        Raises:
            HotspareError: INVALID_CREDENTIALS, NOT_A_MEMBER.
        """
        if read_receiver_credentials(context.invocation_metadata()) is None:
            return None
        caller = self.receiver(context)
        gateway = Gateway(self._directory, caller.arc_id, caller.receiver_id)
        gateway.group()
        return gateway

    def operator(self, context: Context, least: int) -> OperatorCaller:
        """The operator of the cloud that calls, with at least the role `least`.

        Raises:
            HotspareError: INVALID_CREDENTIALS, TOKEN_EXPIRED, CALLER_NOT_ALLOWED.
        """
        shown = read_bearer_token(context.invocation_metadata())
        if shown is None:
            raise invalid_credentials()
        token = self._directory.tokens.check(shown.secret)
        if token.role not in ROLE_NAMES or token.role > least:
            raise HotspareError(
                Reason.CALLER_NOT_ALLOWED,
                f"this needs a token with the role {ROLE_NAMES[least]}",
                caller=ROLE_NAMES.get(token.role, "unknown"),
                required=ROLE_NAMES[least],
            )
        return OperatorCaller(token.name, token.role)

    def group(self, context: Context, least: int, arc_id: str, sub_account: str) -> tuple[Group, str]:
        """The group that a call is about, and the receiver that asks (empty for an operator of the cloud).

        A receiver's group is the one of its role; without one it is the named sub account of its own account.
        """
        if read_bearer_token(context.invocation_metadata()) is not None:
            self.operator(context, least)
            self._directory.keys.account(arc_id)
            return self._directory.group(arc_id, sub_account), ""
        caller = self.receiver(context)
        group = self._directory.group_of_member(caller.arc_id, caller.receiver_id)
        if group is None and not sub_account:
            group = self._directory.group_at_work(caller.arc_id, caller.receiver_id)
        if group is None:
            group = self._directory.group(caller.arc_id, sub_account)
        return group, caller.receiver_id

    def operator_name(self, context: Context, receiver_id: str) -> str:
        """Who wants what a call asks for, for the history (S5): the operator's name, or the receiver that asks."""
        metadata = context.invocation_metadata()
        shown = read_bearer_token(metadata)
        if shown is not None:
            return self._directory.tokens.check(shown.secret).name
        return read_operator(metadata) or f"receiver {receiver_id[:8]}"

    def member_group(self, caller: ReceiverCaller) -> Group:
        """The group in which a receiver holds its role, or works alone. Raises HotspareError NOT_A_MEMBER."""
        group = self._directory.group_at_work(caller.arc_id, caller.receiver_id)
        if group is None:
            raise HotspareError(Reason.NOT_A_MEMBER, "this receiver holds no role", receiver_id=caller.receiver_id)
        return group
