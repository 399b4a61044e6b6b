"""AccountService: ARC accounts, their keys, and the tokens of the cloud's operators."""

import logging
import re
import time
from datetime import timedelta

from hotspare.v1 import account_service_pb2, account_service_pb2_grpc, token_pb2
from hotspare_cloud.directory import DEFAULT_SUB_ACCOUNT, Directory
from hotspare_cloud.keys import DEFAULT_OVERLAP, LEAST_OVERLAP, MOST_OVERLAP
from hotspare_cloud.services.callers import ADMIN, ROLE_NAMES, VIEWER, Callers, Context
from hotspare_cloud.services.convert import optional_time, time_to_proto
from hotspare_cloud.services.paging import decode_number, decode_token, encode_token, page_size
from hotspare_cloud.store.base import TokenRow
from hotspare_model.errors import field_invalid
from hotspare_rpc.credentials import new_secret, sha256
from hotspare_rpc.logs import log_event
from hotspare_rpc.wire import duration_from_proto

ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
LONGEST_VALIDITY = timedelta(days=36_525)
TOKEN_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")

_log = logging.getLogger(__name__)


class AccountService(account_service_pb2_grpc.AccountServiceServicer):
    """See account_service.proto."""

    def __init__(self, callers: Callers, directory: Directory) -> None:
        self._callers = callers
        self._directory = directory

    async def CreateArcAccount(
        self, request: account_service_pb2.CreateArcAccountRequest, context: Context
    ) -> account_service_pb2.CreateArcAccountResponse:
        """See account_service.proto."""
        operator = self._callers.operator(context, ADMIN)
        check_id("arc_id", request.arc_id)
        names = list(dict.fromkeys(request.sub_accounts)) or [DEFAULT_SUB_ACCOUNT]
        for name in names:
            check_id("sub_accounts", name)
        key = new_secret()
        await self._directory.create_account(request.arc_id, sha256(key), names)
        log_event(_log, logging.INFO, "account_created", arc_id=request.arc_id, operator=operator.name)
        return account_service_pb2.CreateArcAccountResponse(account=self._account(request.arc_id), arc_key=key)

    async def GetArcAccount(
        self, request: account_service_pb2.GetArcAccountRequest, context: Context
    ) -> account_service_pb2.GetArcAccountResponse:
        """See account_service.proto."""
        self._callers.operator(context, VIEWER)
        return account_service_pb2.GetArcAccountResponse(account=self._account(request.arc_id))

    async def ListArcAccounts(
        self, request: account_service_pb2.ListArcAccountsRequest, context: Context
    ) -> account_service_pb2.ListArcAccountsResponse:
        """See account_service.proto."""
        self._callers.operator(context, VIEWER)
        size, after = page_size(request.page_size), decode_token("accounts", request.page_token)
        ids = [account.arc_id for account in self._directory.keys.accounts() if account.arc_id > after]
        return account_service_pb2.ListArcAccountsResponse(
            accounts=[self._account(arc_id) for arc_id in ids[:size]],
            next_page_token=encode_token("accounts", ids[size - 1]) if len(ids) > size else "",
        )

    async def CreateSubAccount(
        self, request: account_service_pb2.CreateSubAccountRequest, context: Context
    ) -> account_service_pb2.CreateSubAccountResponse:
        """See account_service.proto."""
        operator = self._callers.operator(context, ADMIN)
        check_id("sub_account", request.sub_account)
        await self._directory.create_sub_account(request.arc_id, request.sub_account)
        log_event(
            _log, logging.INFO, "sub_account_created", arc_id=request.arc_id, sub_account=request.sub_account,
            operator=operator.name,
        )  # fmt: skip
        return account_service_pb2.CreateSubAccountResponse(account=self._account(request.arc_id))

    async def RotateArcKey(
        self, request: account_service_pb2.RotateArcKeyRequest, context: Context
    ) -> account_service_pb2.RotateArcKeyResponse:
        """See account_service.proto."""
        operator = self._callers.operator(context, ADMIN)
        asked = duration_from_proto(request.overlap) if request.HasField("overlap") else DEFAULT_OVERLAP
        overlap = check_overlap(asked)
        key = new_secret()
        await self._directory.keys.rotate(request.arc_id, sha256(key), overlap, restart=request.restart)
        log_event(
            _log, logging.WARNING, "arc_key_rotated", arc_id=request.arc_id, overlap=overlap, restart=request.restart,
            operator=operator.name,
        )  # fmt: skip
        return account_service_pb2.RotateArcKeyResponse(account=self._account(request.arc_id), arc_key=key)

    async def EndArcKeyRotation(
        self, request: account_service_pb2.EndArcKeyRotationRequest, context: Context
    ) -> account_service_pb2.EndArcKeyRotationResponse:
        """See account_service.proto."""
        operator = self._callers.operator(context, ADMIN)
        await self._directory.end_key_rotation(request.arc_id, force=request.force)
        log_event(
            _log, logging.WARNING, "arc_key_rotation_ended", arc_id=request.arc_id, force=request.force,
            operator=operator.name,
        )  # fmt: skip
        return account_service_pb2.EndArcKeyRotationResponse(account=self._account(request.arc_id))

    def _account(self, arc_id: str) -> account_service_pb2.ArcAccount:
        account = self._directory.keys.account(arc_id)
        return account_service_pb2.ArcAccount(
            arc_id=arc_id,
            sub_accounts=sorted(group.row.sub_account for group in self._directory.groups(arc_id)),
            create_time=time_to_proto(account.created_at),
            old_key_expire_time=optional_time(self._directory.keys.old_key_until(arc_id)),
        )

    async def CreateOperatorToken(
        self, request: account_service_pb2.CreateOperatorTokenRequest, context: Context
    ) -> account_service_pb2.CreateOperatorTokenResponse:
        """See account_service.proto."""
        operator = self._callers.operator(context, ADMIN)
        if not TOKEN_NAME.fullmatch(request.name):
            raise field_invalid("name", "must be 1 to 64 characters of A-Z a-z 0-9 . _ @ -")
        if request.role not in ROLE_NAMES:
            raise field_invalid("role", "must be ADMIN, OPERATOR or VIEWER")
        validity = duration_from_proto(request.validity) if request.HasField("validity") else None
        if request.HasField("validity") and (validity is None or not timedelta(0) < validity <= LONGEST_VALIDITY):
            raise field_invalid("validity", "must be a span of more than 0 s, and at most 100 years")
        now, secret = time.time(), new_secret()
        token = TokenRow(
            name=request.name,
            role=request.role,
            sha256=sha256(secret),
            created_at=now,
            expires_at=now + validity.total_seconds() if validity else None,
            revoked_at=None,
        )
        await self._directory.tokens.create(token)
        log_event(
            _log, logging.INFO, "token_created", name=token.name, role=ROLE_NAMES[token.role], operator=operator.name
        )
        return account_service_pb2.CreateOperatorTokenResponse(token=_token(token), secret=secret)

    async def ListOperatorTokens(
        self, request: account_service_pb2.ListOperatorTokensRequest, context: Context
    ) -> account_service_pb2.ListOperatorTokensResponse:
        """See account_service.proto."""
        self._callers.operator(context, ADMIN)
        size, start = page_size(request.page_size), decode_number("tokens", request.page_token)
        tokens = self._directory.tokens.all()
        return account_service_pb2.ListOperatorTokensResponse(
            tokens=[_token(token) for token in tokens[start : start + size]],
            next_page_token=encode_token("tokens", str(start + size)) if len(tokens) > start + size else "",
        )

    async def RevokeOperatorToken(
        self, request: account_service_pb2.RevokeOperatorTokenRequest, context: Context
    ) -> account_service_pb2.RevokeOperatorTokenResponse:
        """See account_service.proto."""
        operator = self._callers.operator(context, ADMIN)
        token = await self._directory.tokens.revoke(request.name)
        log_event(_log, logging.WARNING, "token_revoked", name=request.name, operator=operator.name)
        return account_service_pb2.RevokeOperatorTokenResponse(token=_token(token))


def check_id(field: str, value: str) -> None:
    """Raise HotspareError FIELD_INVALID unless the value is fit for an id."""
    if not ID.fullmatch(value):
        raise field_invalid(field, "must be 1 to 64 characters of A-Z a-z 0-9 . _ -")


def check_overlap(overlap: timedelta | None) -> timedelta:
    """How long both keys are to be valid. Raises HotspareError FIELD_INVALID."""
    if overlap is None or not LEAST_OVERLAP <= overlap <= MOST_OVERLAP:
        raise field_invalid("overlap", "must be from 1 minute to 90 days")
    return overlap


def _token(token: TokenRow) -> token_pb2.Token:
    return token_pb2.Token(
        name=token.name,
        role=token_pb2.TokenRole.ValueType(token.role),
        create_time=time_to_proto(token.created_at),
        expire_time=optional_time(token.expires_at),
        revoke_time=optional_time(token.revoked_at),
    )
