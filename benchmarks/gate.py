"""Simulate the rule of the gate, brats_ml.promotion.decide with the thresholds of params.yaml, on Dice-like scores.

Usage: python benchmarks/gate.py [--histories N] [--trials N] [--jobs N] [--alternatives]. The defaults take some
minutes on two cores; `--histories 20 --trials 50` takes seconds and shows only that it runs.

A history is a first champion and 50 challengers, all equal in truth, judged on the same locked cases. Whoever is
promoted is the champion from then on. The ledger counts one look for each of them. A trial is one challenger with a
true gain, judged after the first champion. All scores come from a model of scores:

1. A case is more or less difficult for everyone: its logit is the mean of the region plus `difficulty` times a normal
   variable, of which the regions share 0.6 of the variance.
2. Each network adds noise of its own: most cases differ little (`small`), a share `big` of them much (`large`), by
   normal variables that the regions share by `shared`, in logits times `noise`.
3. In a share of cases and regions, `zeros`, every second network fails with Dice 0. In a share of cases, `absent`, the
   tumour does not enhance: ET is 1 from 0.8 of the networks and 0 from the others.
4. A true gain is one shift, up to Dice 1, of the regions in `gains`, such that the mean over regions rises by the gain.

Means, difficulty and zeros resemble the six real cases of docs/reference/results.md (WT 0.88, TC 0.73, ET 0.73; the
mean of the regions has a standard deviation of 0.11). There, too, two networks differ by 0.001 in most cases and by
0.05 in one. The amount of noise is a choice, since no training was repeated on many real cases. In `typical` the rule
of before sees a third of the gains of 0.02 on 70 cases. The other models ask whether the result depends on the choice.

- `any_false_promotion_of_50`: share of histories with at least one promotion; the largest of all models and sizes.
- `power_005_at_20`, `power_002_at_70`: share of trials with a gain of 0.05 or 0.02 that are promoted (`typical`).
- `promoted_optimism`: the last champion's mean Dice on the locked cases above the mean of all 51 equal networks
  (`typical`, the largest of the sizes).
- `random_guesser_passes`: share of survival models without any knowledge that pass as first champion of real patients,
  with as few locked patients as the gate accepts; the largest of all guessers.
- `..._error`: standard error of the simulation. `before_...`: the same with the rule of before, which promoted if the
  95 % percentile bootstrap interval of the mean difference was above zero, and a first survival model if its accuracy
  was that of the largest group.

With fewer than 8 cases no p-value of an exact test is below 0.005, so nothing is promoted against a champion.
"""

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from _frame import ROOT, report, table
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.stats import ttest_1samp, wilcoxon

from brats_ml.actions.gate_survival import compare, likelihood, uninformed
from brats_ml.cohort.clinical import GROUPS
from brats_ml.cohort.labels import REGIONS
from brats_ml.config import Params, load
from brats_ml.promotion import Comparison, decide
from brats_ml.survival.summary import AGE_ONLY_PROBABILITIES, PROBABILITIES

CHALLENGERS = 50
SIZES = (10, 20, 70)
SMALL_SIZES = (5, 6, 7, 8, 9)
GAINS = (0.0, 0.01, 0.02, 0.05)
GOALS = {"power_005_at_20": (20, 0.05), "power_002_at_70": (70, 0.02)}
LATE = 50  # looks of a worn set
LEVEL = 0.005  # of the alternatives
TRAINED_ON = 80  # patients
GUESSERS = ("uniform", "random", "certain")
RESAMPLES = 1000
Values = NDArray[np.float64]
Rule = Callable[[Values, Values, int], bool]  # of candidate and champion, shape (case, region), and of earlier looks


@dataclass(frozen=True)
class ScoreModel:
    """Parameters of the model of scores; see the top of this file. Lists are of WT, TC and ET."""

    means: tuple[float, ...] = (2.6, 1.9, 1.6)
    difficulty: tuple[float, ...] = (0.9, 1.3, 1.3)
    noise: tuple[float, ...] = (0.5, 0.8, 0.8)
    small: float = 0.25
    large: float = 2.0
    big: float = 0.2
    shared: float = 0.5
    zeros: tuple[float, ...] = (0.0, 0.02, 0.05)
    absent: float = 0.03
    gains: tuple[float, ...] = (1, 1, 1)


MODELS = {
    "typical": ScoreModel(),
    "normal noise": ScoreModel(small=1.0, large=1.0, noise=(0.35, 0.55, 0.55), zeros=(0, 0, 0), absent=0),
    "rare large noise": ScoreModel(big=0.1, large=4.0),
    "regions alike": ScoreModel(shared=1.0),
    "regions apart": ScoreModel(shared=0.0),
    "gain in ET alone": ScoreModel(gains=(0, 0, 3)),
    "many failures": ScoreModel(zeros=(0.02, 0.08, 0.15), absent=0.1),
}


def main() -> None:
    options, params = _options(), load(ROOT / "params.yaml")
    comparison = Comparison(**params.gate.segmentation.model_dump())
    rules = {"now": current_rule(comparison), "before": rule_before()}
    if options.alternatives:
        constant = Comparison(**vars(comparison) | {"half_level_looks": float("inf")})
        rules |= {
            "now, constant level": current_rule(constant),
            "Wilcoxon": rule_of(wilcoxon),
            "t": rule_of(ttest_1samp),
        }
    table([{"model": name, **vars(model)} for name, model in MODELS.items()], title="models of scores")
    nulls = _nulls(rules, options.histories, options.jobs)
    table(nulls, title=f"{CHALLENGERS} equal challengers in a row, {options.histories} histories each")
    powers = _powers(rules, options.trials, options.jobs)
    table(powers, title=f"share promoted by true gain, {options.trials} trials each")
    guesses = _guesses(params, options.trials)
    table(guesses, title=f"survival models that pass as first champion, {options.trials} trials each")
    report(**_figures(nulls, powers, guesses, options))


def current_rule(comparison: Comparison) -> Rule:
    """Return the rule of the gate itself."""

    def promotes(candidate: Values, champion: Values, looks: int) -> bool:
        pair = [dict(zip(REGIONS, scores.T, strict=True)) for scores in (candidate, champion)]
        return decide(*pair, floors={}, minimum_cases=1, comparison=comparison, looks=looks).verdict == "PROMOTE"

    return promotes


def rule_before() -> Rule:
    """Return the rule of before: the percentile bootstrap interval of the mean difference is above zero."""
    drawn: dict[int, Values] = {}

    def promotes(candidate: Values, champion: Values, _: int) -> bool:
        cases = len(candidate)
        if cases not in drawn:
            drawn[cases] = np.random.default_rng(0).multinomial(cases, np.full(cases, 1 / cases), RESAMPLES) / cases
        means = drawn[cases] @ (candidate - champion).mean(axis=1)
        return bool(np.partition(means, RESAMPLES // 40)[RESAMPLES // 40] > 0)

    return promotes


def rule_of(test: Callable[..., object]) -> Rule:
    """Return a one-sided test on the case means at `LEVEL`, with the floor on the mean of a region."""

    def promotes(candidate: Values, champion: Values, _: int) -> bool:
        differences = candidate - champion
        arguments = (0.0,) if test is ttest_1samp else ()
        found = test(differences.mean(axis=1), *arguments, alternative="greater")
        return bool(found.pvalue <= LEVEL and differences.mean(axis=0).min() > -0.03)

    return promotes


def draw(model: ScoreModel, networks: int, cases: int, random: np.random.Generator) -> Values:
    """Return scores of equal networks on the same cases, shape (network, case, region)."""
    one, all_of_them = (1, cases, 3), (networks, cases, 3)
    difficulty = np.sqrt(0.6) * random.normal(size=(1, cases, 1)) + np.sqrt(0.4) * random.normal(size=one)
    common, own = (_noise(model, shape, random) for shape in ((networks, cases, 1), all_of_them))
    noise = np.sqrt(model.shared) * common + np.sqrt(1 - model.shared) * own
    logit = np.array(model.means) + np.array(model.difficulty) * difficulty + np.array(model.noise) * noise
    dice = 1 / (1 + np.exp(-logit))
    failed = (random.random(one) < np.array(model.zeros)) & (random.random(all_of_them) < 0.5)
    absent = (random.random((1, cases, 1)) < model.absent) & (np.arange(3) == 2)
    return np.where(absent, random.random(all_of_them) < 0.8, np.where(failed, 0.0, dice))


def _noise(model: ScoreModel, shape: tuple[int, ...], random: np.random.Generator) -> Values:
    return random.normal(size=shape) * np.where(random.random(shape) < model.big, model.large, model.small)


def shift_for(model: ScoreModel, gain: float) -> Values:
    """Return the shift of each region that raises the mean by `gain`, although Dice ends at 1, shape (region,)."""
    dice, gains = draw(model, 1, 20_000, np.random.default_rng(1)), np.array(model.gains, dtype=np.float64)
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if (np.minimum(dice + middle * gains, 1) - dice).mean() < gain else (low, middle)
    return low * gains


def history(model: ScoreModel, cases: int, rules: Iterable[Rule], seed: int) -> list[tuple[int, float]]:
    """Return the number of promotions and the last champion's optimism for each rule, on the same scores."""
    scores = draw(model, 1 + CHALLENGERS, cases, np.random.default_rng([seed, cases]))
    found = []
    for promotes in rules:
        champion, promotions = 0, 0
        for challenger in range(1, 1 + CHALLENGERS):
            if promotes(scores[challenger], scores[champion], challenger):
                champion, promotions = challenger, promotions + 1
        found.append((promotions, float(scores[champion].mean() - scores.mean())))
    return found


def trial(model: ScoreModel, cases: int, rules: Iterable[Rule], seed: int, *, shift: Values, looks: int) -> list[bool]:
    """Return whether each rule promotes one challenger with a true gain."""
    champion, challenger = draw(model, 2, cases, np.random.default_rng([seed, cases, 7]))
    return [promotes(np.minimum(challenger + shift, 1), champion, looks) for promotes in rules]


def _nulls(rules: dict[str, Rule], histories: int, jobs: int) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    asked = [(name, size) for name in MODELS for size in (SMALL_SIZES if name == "typical" else ()) + SIZES]
    for name, size in asked:
        found = np.array(
            _parallel(history, jobs, ((MODELS[name], size, [*rules.values()], seed) for seed in range(histories)))
        )
        row: dict[str, object] = {"model": name, "cases": size}
        for index, rule in enumerate(rules):
            any_promoted = found[:, index, 0] > 0
            row[f"{rule}: any"] = float(any_promoted.mean())
            row[f"{rule}: optimism"] = float(found[:, index, 1].mean())
        rows.append(row)
    return rows


def _powers(rules: dict[str, Rule], trials: int, jobs: int) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for name, model in MODELS.items():
        pairs = [(size, gain) for size in SIZES for gain in GAINS] if name == "typical" else GOALS.values()
        for size, gain in pairs:
            row: dict[str, object] = {"model": name, "cases": size, "gain": gain}
            for looks, judging in ((1, rules), (LATE, {"now": rules["now"]})):
                asked = ((model, size, [*judging.values()], seed) for seed in range(trials))
                work = partial(trial, shift=shift_for(model, gain), looks=looks)
                shares = np.mean(_parallel(work, jobs, asked), axis=0)
                row |= {f"{rule}, look {looks + 1}": float(share) for rule, share in zip(judging, shares, strict=True)}
            rows.append(row)
    return rows


def _guesses(params: Params, trials: int) -> list[dict[str, object]]:
    """Return how many guessers and how many informed models pass against age alone."""
    floors, rows = params.gate.patients.survival, []
    for signal in (0.0, 0.6):
        for kind in (*GUESSERS, "informed"):
            cases = (floors.minimum_cases, 60) if kind == "informed" else (floors.minimum_cases,)
            for count in cases:
                now = before = 0
                for seed in range(trials):
                    patients = _patients(kind, count, signal, np.random.default_rng([seed, count]))
                    own = likelihood(patients, patients, PROBABILITIES)
                    references = uninformed(patients, _training_groups(signal, seed))
                    now += compare(own, references, params, floors=floors, looks=0).verdict == "PROMOTE"
                    predicted = np.array(GROUPS)[patients[list(PROBABILITIES)].to_numpy().argmax(axis=1)]
                    before += (predicted == patients["group"]).mean() >= (patients["group"] == GROUPS[0]).mean()
                row = {"model": kind, "signal of the age": signal, "patients": count}
                rows.append(row | {"now": now / trials, "before": before / trials})
    return rows


def _patients(kind: str, count: int, signal: float, random: np.random.Generator) -> pd.DataFrame:
    """Return patients with their true group, the probabilities by age alone, and those by a model of one kind.

    The group depends on the age by `signal` and on a marker that only the informed model knows. Age alone was fitted on
    few patients: its coefficient has an error of 0.2.
    """
    age, marker = random.normal(size=(2, count))
    truth = _softmax(signal * age + 1.5 * marker)
    groups = [str(random.choice(GROUPS, p=row)) for row in truth]
    guessed = {
        "uniform": np.full((count, 3), 1 / 3),
        "random": random.dirichlet(np.ones(3), count),
        "certain": np.eye(3)[random.integers(0, 3, count)],
        "informed": truth,
    }[kind]
    by_age = _softmax((signal + random.normal(0, 0.2)) * age)
    columns = dict(zip((*PROBABILITIES, *AGE_ONLY_PROBABILITIES), np.hstack([guessed, by_age]).T, strict=True))
    return pd.DataFrame({"group": groups, **columns})


def _training_groups(signal: float, seed: int) -> dict[str, int]:
    patients = _patients("uniform", TRAINED_ON, signal, np.random.default_rng([seed, 1]))
    return {group: int((patients["group"] == group).sum()) for group in GROUPS}


def _softmax(risk: Values) -> Values:
    scores = np.exp(np.column_stack([risk, np.zeros(len(risk)), -risk]))
    return scores / scores.sum(axis=1, keepdims=True)


def _parallel(work: Callable[..., object], jobs: int, asked: Iterable[tuple[object, ...]]) -> list[object]:
    return Parallel(n_jobs=jobs, batch_size=50)(delayed(work)(*arguments) for arguments in asked)


def _figures(
    nulls: list[dict], powers: list[dict], guesses: list[dict], options: argparse.Namespace
) -> dict[str, float]:
    """Return the figures of the last line, each share with its standard error."""
    found: dict[str, float] = {}

    def add(name: str, share: float, count: int) -> None:
        found[name] = round(share, 4)
        found[f"{name}_error"] = round(float(np.sqrt(share * (1 - share) / count)), 4)

    for rule, prefix in (("now", ""), ("before", "before_")):
        add(f"{prefix}any_false_promotion_of_50", max(row[f"{rule}: any"] for row in nulls), options.histories)
        for size in SMALL_SIZES + SIZES:
            share = max(row[f"{rule}: any"] for row in nulls if row["cases"] == size)
            add(f"{prefix}any_false_promotion_of_50_at_{size}", share, options.histories)
        for goal, wanted in GOALS.items():
            shares = {row["model"]: row[f"{rule}, look 2"] for row in powers if (row["cases"], row["gain"]) == wanted}
            add(prefix + goal, shares["typical"], options.trials)
            found[f"{prefix}{goal}_least_of_all_models"] = round(min(shares.values()), 4)
        optimism = {row["cases"]: row[f"{rule}: optimism"] for row in nulls if row["model"] == "typical"}
        found |= {f"{prefix}promoted_optimism_at_{size}": round(optimism[size], 4) for size in SIZES}
        found[f"{prefix}promoted_optimism"] = round(max(optimism[size] for size in SIZES), 4)
        passes = max(row[rule] for row in guesses if row["model"] in GUESSERS)
        add(f"{prefix}random_guesser_passes", passes, options.trials)
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--histories", type=int, default=400, help="histories for each model of scores and size")
    parser.add_argument("--trials", type=int, default=1000, help="trials for each model of scores, size and gain")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument(
        "--alternatives", action="store_true", help="also judge by other rules, for docs/decisions/0016"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
