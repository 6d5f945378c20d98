"""What each preset would draw: its rho, k and bank with the reasons, or why it would be refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from magnet_service.errors import MagnetError
from magnet_service.registry.banks import bank_command
from magnet_service.registry.conditions import bank_flag
from magnet_service.registry.generators import HeldGenerator
from magnet_service.registry.pages import Plan
from magnet_service.sampling import Base, Preset, ResampledDraw, Resolved, Result, SampleRequest
from magnet_service.sampling.presets import preset_base

__all__ = ["PresetOutlook", "preset_outlooks", "preset_requests"]


@dataclass(frozen=True, kw_only=True)
class PresetOutlook:
    """One preset, settled as a draw of one row would be.

    Attributes:
        preset: which.
        resolved: the draw with the reasons for its bank, k and rho; None where it is refused.
        ess, khat, largest_weight: what its weights are worth; an ESS of 0 where it reads none.
        result: the verdict for the least need, 100 effective rows; None where it is refused.
        advice: the verdict in words, empty for OK.
        problem: why it is refused; empty where it is not.
        command: builds the bank that is missing, or one whose law is the base where another is corrected to it.
    """

    preset: Preset
    resolved: Resolved | None = None
    ess: float = 0.0
    khat: float | None = None
    largest_weight: float = 0.0
    result: Result | None = None
    advice: str = ""
    problem: str = ""
    command: str = ""


def preset_requests(described: SampleRequest) -> tuple[SampleRequest, ...]:
    """A draw of one row by each preset, of the bank and manifold that a draw names.

    Arguments:
        described: the draw whose bank is described; a domain of its base is UNIFORM's too.

    Returns:
        In the order of the presets.

    Raises:
        Nothing.

    Accuracy: exact.
    """
    return tuple(
        replace(
            described,
            preset=preset,
            rho=None,
            seed=0,
            base=None,
            ball_radius=described.ball_radius if preset_base(preset) is Base.UNIFORM else None,
            box=described.box if preset_base(preset) is Base.UNIFORM else None,
        )
        for preset in Preset
    )


def preset_outlooks(
    requests: Sequence[SampleRequest],
    plan: Callable[[SampleRequest], Plan],
    held: HeldGenerator | None,
) -> tuple[PresetOutlook, ...]:
    """Settles every preset as a draw would.

    Arguments:
        requests: from `preset_requests`.
        plan: settles a draw of the generator or the bank alone.
        held: the generator, of the condition described; None for a bank alone.

    Returns:
        One for each request.

    Raises:
        Nothing: a preset that is refused says so in its entry.

    Accuracy: as `Registry.plan`.
    """
    return tuple(_of(request, plan, held) for request in requests)


def _of(request: SampleRequest, plan: Callable[[SampleRequest], Plan], held: HeldGenerator | None) -> PresetOutlook:
    preset = request.preset or Preset.AS_TRAINED
    try:
        draw = plan(request).draw
    except MagnetError as error:
        return PresetOutlook(preset=preset, problem=error.message, command=error.metadata.get("command", ""))
    resolved, figures = draw.resolved, draw.diagnostics
    if not isinstance(draw, ResampledDraw):
        return PresetOutlook(preset=preset, resolved=resolved, result=draw.result, advice=draw.advice)
    command = None
    if held is not None and resolved.base_law != resolved.bank_law:
        one = replace(request, condition=held.condition)
        command = bank_command(held, one, bank_flag(held.card.conditions, held.condition))
    return PresetOutlook(
        preset=preset,
        resolved=resolved,
        ess=figures.ess,
        khat=figures.khat,
        largest_weight=figures.largest_weight,
        result=draw.result,
        advice=draw.advice,
        command=command or "",
    )
