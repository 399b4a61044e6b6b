"""Ids that others give: of alarms, receivers and requests."""

import re

UUID_FORM = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
"""The text form of a UUID (RFC 9562, section 4). Python's UUID() takes far more, and would make one id of several."""
