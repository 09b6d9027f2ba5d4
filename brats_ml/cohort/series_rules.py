"""Decide by the headers of MR series which modality each one is, and which one to take for a modality.

The rules are tables: a user adds patterns in params.yaml, and no code changes.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from brats_ml.cohort.modalities import MODALITIES, Modality

# Why a series is left out, by a pattern of its description, protocol or sequence. Makers abbreviate in the same way in
# every language: ep2d and dwi for diffusion, swi and swan for susceptibility, tof for angiography.
LEFT_OUT: Mapping[str, str] = {
    "a localizer": r"\b(loc|localizer|localiser|scout|survey|topogram|plan(ning)?|calib\w*|asset|smartbrain)",
    "diffusion": r"\b(dwi|dti|diff\w*|adc|trace\w*|ep2d|fa map|b0|b1000|resolve)",
    "susceptibility": r"(\bswi|\bswan|venobold|\bt2\*|t2.?star|\bhemo\b|\bgre\b|\bffe\b|mip_?swi|pha_images)",
    "perfusion or function": r"\b(perf\w*|dsc|dce|asl|cbf|cbv|mtt|ttp|bold|fmri|permeab\w*)",
    "angiography": r"\b(tof|mra|angio\w*|cow|mip|venogra\w*)",
    "spectroscopy": r"\b(svs|csi|spectro\w*|press)\b",
    "computed from other series": r"\b(sub|subtract\w*|mpr|reformat\w*|reform|recon_?3d|fused|fusion)\b",
}
DERIVED = "computed from other series"
CONTRAST = r"(\bgd\b|gad|\bkm\b|\bmdc\b|\bce\b|t1ce|t1c\b|post|contrast|kontrast|contraste|\+ ?c\b|\bc\+|\+gd|enhanc)"
NO_CONTRAST = r"(\bpre\b|nativ|without|w/o|ohne|\bsans\b|senza|\bsin\b|non.?contrast|unenhanced|\-c\b)"
# The text of a modality; FLAIR comes first, since T2 FLAIR and T1 FLAIR name both.
NAMES: Mapping[str, str] = {
    "t1 flair": r"t1.{0,12}flair|flair.{0,6}t1",
    "flair": r"(flair|dark.?fluid|\btirm\b)",
    "t2": r"(\bt2|t2w|\bt2_|_t2)",
    "t1": r"(\bt1|t1w|_t1|mprage|mp.?rage|bravo|\bspgr|fspgr|\btfl|\bvibe|\btfe\b|\bspace.?t1)",
}
# Patterns of the user by modality, or by `left_out`.
Patterns = Mapping[Literal["flair", "t1", "t1ce", "t2", "left_out"], Sequence[str]]
BY_TEXT, BY_PHYSICS, BY_BOTH, IN_CONFLICT = 0.8, 0.6, 0.95, 0.3
# A series that covers less than this share of the longest one of its modality is taken only if there is no other.
COVERAGE_SHARE = 0.8


@dataclass(frozen=True)
class SeriesFacts:
    """What the headers say of a series; nothing in it names a patient.

    Attributes:
        number: The series number, which names the series in every message.
        text: Description, protocol and sequence name, in one line.
        image_type: The values of ImageType.
        echo_ms: Echo time, None if it is not given.
        repetition_ms: Repetition time.
        inversion_ms: Inversion time.
        agent: Whether a contrast agent is given; None if the headers do not say.
        slices: The number of slices.
        spacing_mm: Voxel size within a slice, and the distance of slices.
        coverage_mm: Extent along the normal of the slices.
        fault: Why the series cannot be converted, None if it can.
        flags: What a person should know, such as burnt-in annotations.
    """

    number: int
    text: str
    image_type: tuple[str, ...] = ()
    echo_ms: float | None = None
    repetition_ms: float | None = None
    inversion_ms: float | None = None
    agent: bool | None = None
    slices: int = 0
    spacing_mm: tuple[float, ...] = ()
    coverage_mm: float = 0.0
    fault: str | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judged:
    """What a series is.

    Attributes:
        facts: The series.
        modality: The modality that it may be, None if it is left out.
        confidence: From 0 to 1.
        reason: Why, in one clause.
        chosen: Whether it is taken for its modality.
    """

    facts: SeriesFacts
    modality: Modality | None
    confidence: float
    reason: str
    chosen: bool = False


@dataclass(frozen=True)
class Choice:
    """The series of a study.

    Attributes:
        judged: Every series, in the order of their numbers.
        unclear: The numbers of the series that a person has to look at.
    """

    judged: tuple[Judged, ...]
    unclear: tuple[int, ...] = field(default=())

    def of(self, modality: Modality) -> Judged | None:
        """Return the series that is taken for a modality."""
        return next((one for one in self.judged if one.chosen and one.modality == modality), None)


def judge(facts: SeriesFacts, more: Patterns | None = None) -> Judged:
    """Return what a series is by its own headers.

    Args:
        facts: The series.
        more: Patterns of the user by modality, or by `left_out`. They decide before the rules, but over no fault.
    """
    if facts.fault is not None:
        return Judged(facts, None, 1.0, facts.fault)
    text = facts.text.lower()
    for name, patterns in (more or {}).items():
        if any(re.search(pattern, text, re.IGNORECASE) for pattern in patterns):
            modality = None if name == "left_out" else name
            return Judged(facts, modality, 1.0, "a pattern of params.yaml")
    if "DERIVED" in facts.image_type and "NORM" not in facts.image_type and "MPR" in facts.image_type:
        return Judged(facts, None, 0.9, DERIVED)
    for reason, pattern in LEFT_OUT.items():
        if re.search(pattern, text):
            return Judged(facts, None, 0.9, reason)
    return _by_name_and_physics(facts, text)


def _by_name_and_physics(facts: SeriesFacts, text: str) -> Judged:
    named = next((name for name, pattern in NAMES.items() if re.search(pattern, text)), None)
    kind, physical = ("t1" if named == "t1 flair" else named), _physical(facts)
    if kind is None and physical is None:
        return Judged(facts, None, 0.0, "neither its description nor its times name a modality")
    if kind is None or physical is None or kind == physical:
        confidence = BY_BOTH if kind == physical else BY_TEXT if kind else BY_PHYSICS
        reason = "description and times" if kind == physical else "description" if kind else "times"
    else:
        confidence, reason = IN_CONFLICT, f"its description says {kind}, and its times say {physical}"
    found = kind or physical
    if found != "t1":
        return Judged(facts, "flair" if found == "flair" else "t2", confidence, reason)
    says, denies = re.search(CONTRAST, text) is not None, re.search(NO_CONTRAST, text) is not None
    if says and facts.agent is False and not denies:
        return Judged(facts, "t1ce", min(confidence, IN_CONFLICT), "described with contrast agent, and none is given")
    with_agent = bool(facts.agent) or (says and not denies)
    if facts.agent and denies:
        return Judged(facts, "t1", min(confidence, IN_CONFLICT), "described without contrast agent, and one is given")
    return Judged(facts, "t1ce" if with_agent else "t1", confidence, reason)


def _physical(facts: SeriesFacts) -> str | None:
    """Return `flair`, `t2` or `t1` by echo, repetition and inversion times; the limits are the usual ones of 1.5-3 T.

    Source:
        Bushberg et al. 2012, The Essential Physics of Medical Imaging, 3rd ed., chapter 12: T1 weighting has short echo
        and repetition times, T2 weighting long ones, and FLAIR an inversion that nulls fluid.
    """
    echo, repetition, inversion = facts.echo_ms, facts.repetition_ms, facts.inversion_ms
    if echo is None or repetition is None:
        return None
    if inversion and 1600 <= inversion <= 3200 and echo >= 60:
        return "flair"
    if echo >= 60 and repetition >= 2000 and not inversion:
        return "t2"
    if echo < 30 and (repetition < 1200 or (inversion and 400 <= inversion <= 1300)):
        return "t1"
    return None


def choose(
    series: Sequence[SeriesFacts],
    *,
    minimum_confidence: float,
    more: Patterns | None = None,
    stated: Mapping[Modality, int] | None = None,
) -> Choice:
    """Return which series is taken for each modality, and which ones a person has to look at.

    Of two candidates, the one counts that covers the head; then the one with the smaller voxels.

    Args:
        series: All series of a study.
        minimum_confidence: A series below it is never chosen.
        more: Patterns of the user, as in `judge`.
        stated: The series number that a person states for a modality.

    Raises:
        KeyError: A stated number is not among the series.
    """
    judged = {one.number: judge(one, more) for one in sorted(series, key=lambda one: one.number)}
    for modality, number in (stated or {}).items():
        judged[number] = Judged(judged[number].facts, modality, 1.0, "stated by the user")
    unclear = [number for number, one in judged.items() if _needs_a_look(one, minimum_confidence)]
    if _contrast_is_open(list(judged.values())):
        # Which of two T1 was taken after the contrast agent must not be guessed.
        unclear += [number for number, one in judged.items() if one.modality == "t1" and number not in unclear]
    for modality in MODALITIES:
        candidates = [one for number, one in judged.items() if one.modality == modality and number not in unclear]
        if candidates:
            best = _best(candidates)
            judged[best.facts.number] = replace(best, chosen=True)
    return Choice(tuple(judged.values()), tuple(sorted(unclear)))


def _needs_a_look(one: Judged, minimum: float) -> bool:
    return one.confidence < minimum and one.facts.fault is None


def _contrast_is_open(judged: Sequence[Judged]) -> bool:
    plain = [one for one in judged if one.modality == "t1" and one.reason != "stated by the user"]
    if len(plain) < 2 or any(one.modality == "t1ce" for one in judged):
        return False
    return not any(re.search(NO_CONTRAST, one.facts.text.lower()) for one in plain) and not any(
        one.facts.agent is False for one in plain
    )


def _best(candidates: Sequence[Judged]) -> Judged:
    longest = max(one.facts.coverage_mm for one in candidates)
    whole = [one for one in candidates if one.facts.coverage_mm >= COVERAGE_SHARE * longest]
    return min(
        whole,
        key=lambda one: (one.confidence < 1, math.prod(one.facts.spacing_mm), -one.confidence, one.facts.number),
    )
