"""Reads what the CLI prints back into the messages of the contract."""

from typing import TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message

from tests.acceptance.harness.process import Result

AnyMessage = TypeVar("AnyMessage", bound=Message)


def parsed(result: Result, kind: type[AnyMessage]) -> AnyMessage:
    """The response that `-o json` printed; a field that the contract does not have is an error."""
    return json_format.Parse(result.stdout, kind())
