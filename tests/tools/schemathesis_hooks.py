"""Hooks of schemathesis."""

import itertools
import re

import schemathesis

numbers = itertools.count()


@schemathesis.hook
def before_call(context, case, kwargs):
    """Makes each valid `Idempotency-Key` another one.

    A key that came before is answered with the former reply, and what that names may have ended since.
    """
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and re.fullmatch("[!-~]{1,240}", key):
        case.headers["Idempotency-Key"] = f"{key}-{next(numbers)}"
