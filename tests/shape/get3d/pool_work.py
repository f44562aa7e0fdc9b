"""Work for tests of the pool, in a module of its own so that worker processes can import it quickly."""

import os
import time

from polyglyph.base.errors import DataError


def work(payload, ask, watch):
    """Do what the payload says; `watch` hears of two stages."""
    watch("unwrap")
    kind, value = payload
    if kind == "square":
        return [ask("square", number) for number in value], os.getpid()
    if kind == "sleep":
        time.sleep(value)
    if kind == "die":
        os._exit(value)
    watch("bake")
    if kind == "refuse":
        raise DataError(value, fix="none")
    if kind == "mistake":
        raise ZeroDivisionError(value)
    if kind == "sleep later":
        time.sleep(value)
    return value, os.getpid()
