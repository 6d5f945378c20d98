"""Workers that are actors of a Ray cluster: one a device, on machines that need not share a disk."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import torch

from magnet_service.errors import MagnetError, Refused
from magnet_service.sampling.banks.rows import Rows, concatenate
from magnet_service.sampling.crews.crew import Span
from magnet_service.sampling.crews.ray_cluster import connected
from magnet_service.sampling.crews.recipe import Bench, Recipe
from magnet_service.sampling.crews.team import Presence, Team, WorkerDied

__all__ = ["Actor", "Station", "ray_crew"]

Answer = TypeVar("Answer", Presence, Rows)


def ray_crew(
    recipe: Recipe,
    address: str | None = None,
    count: int | None = None,
    tell: Callable[[str], None] | None = None,
) -> Team:
    """Starts workers that are actors of a Ray cluster.

    Ray runs whatever a driver sends it, and trusts who reaches its ports: keep those to yourself, or set its token
    (RAY_AUTH_MODE=token).

    Arguments:
        recipe: what they compute; the generator's files travel with it, once. Every machine of the cluster has this
            package, of the same versions of it, Python, torch and Ray.
        address: `HOST:PORT` of the cluster's head; None for the cluster that this process or machine belongs to.
        count: how many; None for one a GPU of the cluster, or for as many as its CPUs have room for with the recipe's
            threads. More than there is room for wait until there is.
        tell: given a line whenever a worker dies or is left out.

    Returns:
        The crew, whose workers load the recipe meanwhile. Close it; that leaves the cluster, unless this process
        belonged to it before.

    Raises:
        Refused: Ray is not installed (NOT_INSTALLED), no cluster answers (NO_CLUSTER, after 30 s at most for an
            address), or it has no device of the recipe's kind (NO_WORKERS).
        UnknownResource, DamagedData: as `Kept.carried`.

    Accuracy: rows equal those of one process bit for bit.
    Cost: some seconds to start, and a few hundred MB a worker for the libraries.
    """
    carried = recipe.carried()
    ray, leave = connected(address)
    try:
        kind, threads = torch.device(recipe.engine.device).type, recipe.engine.threads
        resource, each = ("GPU", 1) if kind == "cuda" else ("CPU", threads)
        rooms = [int(node["Resources"].get(resource, 0) // each) for node in ray.nodes() if node["Alive"]]
        if count is None and not any(rooms):
            raise Refused(
                f"the cluster has no machine with {each} {resource}: add one, or build with local workers.",
                reason="NO_WORKERS",
            )
        device, sharing = ("cuda:0", 1) if kind == "cuda" else (kind, max(1, *rooms, 1))
        held = ray.put(carried.on(device, sharing))
        made = ray.remote(num_cpus=threads, num_gpus=int(kind == "cuda"), max_restarts=0, max_task_retries=0)(Station)
        return Team(lambda _: Actor(ray, made.remote(held)), count or sum(rooms), tell=tell, ended=leave)
    except BaseException:
        leave()
        raise


class Station:
    """What runs in an actor's process.

    Arguments:
        recipe: on the actor's device.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._bench: Bench | None = None

    def load(self) -> Presence:
        """Loads the recipe; raises as `Recipe.bench`."""
        self._bench = self._recipe.bench()
        return Presence(socket.gethostname(), os.getpid())

    def rows(self, start: int, stop: int) -> Rows:
        """Rows start to stop - 1; raises as `Bench.rows`."""
        if self._bench is None:
            self._bench = self._recipe.bench()
        return self._bench.rows(start, stop)


class Actor:
    """One worker: an actor's handle in the driver; see `Hand`.

    Arguments:
        ray: the package.
        handle: of an actor that runs a `Station`.
    """

    def __init__(self, ray: Any, handle: Any) -> None:
        self._ray = ray
        self._handle: Any = handle
        self.ready: Future[Presence] = self._answer(handle.load.remote(), lambda presence: presence)

    def submit(self, span: Span) -> Future[Rows]:
        """Computes a span behind those before it."""
        # Ray's arrays lie in its store, which gives their memory to others once this process has left.
        return self._answer(self._handle.rows.remote(*span), lambda rows: concatenate([rows]))

    def close(self) -> None:
        """Kills the actor, which holds nothing that could be lost."""
        if self._handle is not None:
            self._ray.kill(self._handle)
            self._handle = None

    def _answer(self, reference: Any, copied: Callable[[Answer], Answer]) -> Future[Answer]:
        errors = self._ray.exceptions
        made: Future[Answer] = Future()

        def done(found: Future[Answer]) -> None:
            if not made.set_running_or_notify_cancel():
                return
            problem = found.exception()
            cause = getattr(problem, "cause", None)
            if problem is None:
                made.set_result(copied(found.result()))
            elif isinstance(cause, MagnetError):
                made.set_exception(cause)
            elif isinstance(problem, errors.RayError) and not isinstance(problem, errors.RayTaskError):
                made.set_exception(WorkerDied(_how(problem)))
            else:
                made.set_exception(problem)

        reference.future().add_done_callback(done)
        return made


def _how(problem: BaseException) -> str:
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    # The last line is an error of the actor's own code, or begins with what became of its process.
    last = lines[-1].partition(". ")[0] if lines else "Ray says no more"
    return f"died ({type(problem).__name__}: {last[:200]})"
