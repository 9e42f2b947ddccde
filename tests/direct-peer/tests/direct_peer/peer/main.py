"""Runs one check against the lock that looks for its controller on LOCK_PORT."""

import asyncio
import logging
import os
import sys

import bonds
import form
import hogs
import malformed
from world import World

CHECKS = {**form.CHECKS, **bonds.CHECKS, **malformed.CHECKS, **hogs.CHECKS}


async def run(name: str) -> None:
    world = await World.start(int(os.environ["LOCK_PORT"]))
    await asyncio.wait_for(CHECKS[name](world), 120)
    print(f"PASSED {name}", flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=os.environ.get("PEER_LOG", "CRITICAL"))
    asyncio.run(run(sys.argv[1]))
