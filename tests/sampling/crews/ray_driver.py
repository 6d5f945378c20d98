"""Drives a crew of Ray actors; run as a program of its own, which prints one line of JSON.

`kill FOLDER ADDRESS`: rows computed by one local process, then by two actors of which one is killed in the middle, the
generator's folder deleted before they start. `errors FOLDER ADDRESS`: what actors refuse. `hang FOLDER ADDRESS`: tells
the actors' processes and computes until it is killed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterable
from dataclasses import replace
from itertools import count
from pathlib import Path

from magnet_service.errors import MagnetError
from magnet_service.sampling import Rows
from magnet_service.sampling.crews.local import local_crew
from magnet_service.sampling.crews.opening import open_crew
from magnet_service.sampling.crews.recipe import Recipe
from magnet_service.sampling.crews.team import Team
from magnet_service.sampling.crews.words import parse_workers
from tests.sampling.crews.parts import gone, joined, recipe, spans

ROWS = 64 * 16
# The last one's rows are so many bytes that Ray keeps them in memory of its own.
SPANS = [*spans(ROWS), (ROWS, ROWS + 1088)]


def on_ray(given: Recipe, address: str, told: list[str]) -> Team:
    crew = open_crew(parse_workers(f"ray:{address}"), given, told.append)
    assert isinstance(crew, Team)
    return crew


def digest(parts: Iterable[tuple[int, Rows]]) -> list[str]:
    return [hashlib.sha256(data).hexdigest() for data in joined(parts)]


def kill(folder: Path, address: str) -> dict[str, object]:
    given = recipe(folder)
    alone = local_crew(given, 1)
    wanted = digest(alone.compute(SPANS))
    alone.close()
    told: list[str] = []
    crew = on_ray(given, address, told)
    shutil.rmtree(folder)
    while len(crew.present) < crew.size:
        list(crew.compute(spans(64 * 2)))
    pids = [presence.pid for presence in crew.present]
    found = []
    for number, part in enumerate(crew.compute(SPANS)):
        found.append(part)
        if number == 0:
            os.kill(pids[0], signal.SIGSTOP)  # whatever it has now, it will not answer
        if number == 8:
            os.kill(pids[0], signal.SIGKILL)
    pids += [presence.pid for presence in crew.present]
    size = crew.size
    crew.close()
    # Ray's memory may be given to others once the cluster is left: rows are not to lie in it.
    owned = all(rows.latents.flags.owndata and rows.log_volumes.flags.owndata for _, rows in found)
    return {"one": wanted, "two": digest(found), "owned": owned, "size": size, "pids": pids, "told": told}


def errors(folder: Path, address: str) -> dict[str, object]:
    import ray

    ray.init(address=address, namespace="tests", log_to_driver=False)
    given = recipe(folder)
    narrow = replace(given, engine=replace(given.engine, max_memory=1_000))
    foreign = replace(given, spec=replace(given.spec, generator_digest="0" * 64))
    other = replace(given, stamp={**given.stamp, "torch": "1.0"})
    found = {}
    for name, one in {"narrow": narrow, "foreign": foreign, "other": other}.items():
        told: list[str] = []
        crew = open_crew(parse_workers("ray:2"), one, told.append)
        try:
            list(crew.compute(spans(ROWS)))
        except MagnetError as error:
            found[name] = [type(error).__name__, error.reason, str(error), *told]
        finally:
            crew.close()
    return {**found, "still": ray.is_initialized()}


def hang(folder: Path, address: str) -> dict[str, object]:
    crew = on_ray(recipe(folder), address, [])
    said = False
    for _ in crew.compute((start, start + 4096) for start in count(step=4096)):
        if len(crew.present) == 2 and not said:
            pids = [presence.pid for presence in crew.present]
            assert not any(gone(pid) for pid in pids)
            print(json.dumps({"pids": pids}), flush=True)
            said = True
    return {}


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](Path(sys.argv[2]), sys.argv[3])))
