"""Identifiers that sort by time."""

import secrets
import time


def new_click_id() -> str:
    """Returns a UUID version 7 (RFC 9562, 5.7) as 32 hexadecimal digits: the time in milliseconds, then chance.

    Rows with such keys are written side by side, and the key alone lists clicks newest first.
    """
    millis = time.time_ns() // 1_000_000
    chance = secrets.randbits(74)
    value = (millis & (1 << 48) - 1) << 80 | 0x7 << 76 | (chance >> 62) << 64 | 0b10 << 62 | chance & (1 << 62) - 1
    return f"{value:032x}"
