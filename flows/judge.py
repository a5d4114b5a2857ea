"""`make judge`, `make sheet`, `make sheet-in`, `make confidence` and `make constitutional`: who compares, counts or
corrects sampled answers, before the DAG ranks them. Samples are brought up to date first.
"""

import argparse
import sys
from pathlib import Path

from flows.evaluate import bring_up_to_date
from flows.pipeline import LOGS, only_one
from flows.screen import Screen
from tasks import params as typed
from tasks import paths
from tasks import stage as edge
from tasks.comparison.win_rate.prompts import prompts_in
from tasks.dataset import sampled
from tasks.dataset.sampled import Sampled
from tasks.errors import ParamsError
from tasks.files import read_json, sha256
from tasks.formats.answer import format_in
from tasks.inference.engine.lifetime import keeping
from tasks.judging import comparisons, confidence, constitution, endpoint, sheet, verdicts
from tasks.judging.judge import Judge
from tasks.judging.verdicts import Reader
from tasks.params import Params, lineage
from tasks.preflight import samples, sections
from tasks.rankings.verdicts import Params as Verdicts
from tasks.section import suggestion

JOURNALS = Path(".anneal/judging")
SHEETS = Path("data/sheets")


def judge(ranking: str) -> None:
    """Have a model compare the answers that a ranking names, and write its verdicts."""
    params, row = _ranking(ranking)
    model = Judge(endpoint.from_environment(), row.criteria)
    asked = comparisons.of_samples(_samples(params, row.samples), row.comparisons, row.seed)
    judged = comparisons.judged(model, asked, row.criteria, JOURNALS / f"{ranking}.jsonl")
    file = verdicts.write(Path(row.by), judged.reading)
    unread = f"; {judged.unread} could not be read and are left out" if judged.unread else ""
    print(f"{len(judged.reading.verdicts)} verdicts of {model.name}: {file}{unread}")
    _tell_agreement(Path(row.by))


def write_sheet(ranking: str) -> None:
    """Write a blind sheet of the comparisons that a ranking names."""
    params, row = _ranking(ranking)
    asked = comparisons.of_samples(_samples(params, row.samples), row.comparisons, row.seed)
    file = SHEETS / f"{ranking}.csv"
    sheet.write(file, asked, row.seed, params.samples[row.samples].model)
    print(f"{len(asked)} comparisons: {file}; a reader writes 1, 2 or tie into the column `better`, and sees no key.")
    print(f"Then, for each reader: make sheet-in RANKING={ranking} FILE=… READER=name")


def read_sheet(ranking: str, file: Path, reader: Reader) -> None:
    """Read a sheet that came back."""
    _, row = _ranking(ranking)
    filled = sheet.read(file, sheet.key_file(SHEETS / f"{ranking}.csv"), reader)
    before = verdicts.of_reader(Path(row.by), reader)
    written = verdicts.write(Path(row.by), filled.reading)
    left = f"; {filled.left_open} left open" if filled.left_open else ""
    print(f"{len(filled.reading.verdicts)} verdicts of {reader.name} ({reader.kind}): {written}{left}")
    if before:
        print(f"in place of an earlier reading, with which it agrees in {verdicts.agreement(before, filled.reading)};")
        print("both are of one reader, who counts once")
    _tell_agreement(Path(row.by))


def revise(name: str, rules: Path) -> None:
    """Have a model criticise and revise the first answers of a row of samples."""
    params = _params()
    _known(params.samples, "SAMPLES", name)
    written, model = constitution.principles(rules), endpoint.from_environment()
    rows, sample = _samples(params, name), params.samples[name]
    form = format_in(read_json(paths.prepared(sample.dataset) / "format.json"))
    revisions = constitution.revise(model, rows, written, form, JOURNALS / f"revised-{name}.jsonl", sample.seed)
    facts = {"samples": name, "wrote": sample.model, "revised_by": model.model, "principles": sha256(rules)}
    folder = paths.revised(name)
    report = constitution.write(folder, revisions, facts)
    out = ", ".join(f"{count} {why}" for why, count in report["left_out"].items()) or "none"
    print(f"{report['pairs']} of {report['rows']} answers are revised (left out: {out})")
    pairs, replies = ((folder / name).parent for name in (constitution.PAIRS, constitution.REPLIES))
    print(f"sources of datasets: {pairs} (preference), {replies} (chat)")


def state_confidence(name: str, about: list[str]) -> None:
    """Write rows that say how sure an answer may be: how often the answers of a row of samples were right."""
    params = _params()
    _known(params.samples, "SAMPLES", name)
    rows, sample = _samples(params, name), params.samples[name]
    form = format_in(read_json(paths.prepared(sample.dataset) / "format.json"))
    for column in about:
        if column not in form.columns:
            raise ParamsError(f"ABOUT={column}: answers have no such column{suggestion(column, form.columns)}")
    names = [row for row in lineage(params, sample.model) if row in params.models]
    known = prompts_in(paths.prepared(params.models[row].dataset) for row in names)
    folder = paths.stated(name)
    facts = confidence.write(folder, rows, form, about, frozenset(known))
    words = ", ".join(f"{count} {word}" for word, count in facts["words"].items())
    print(f"{facts['rows']} rows, {facts['right']:.1%} of their answers right: {words}")
    if facts["trained"]:
        print(f"{sample.model} was trained on {facts['trained']} of them, and is surer of those than of new ones")
    print(f"source of a dataset whose answers have the column `{confidence.COLUMN}`: {folder / confidence.FILE}")


def _tell_agreement(folder: Path) -> None:
    readings = verdicts.read(folder)
    facts = verdicts.facts(readings)
    for pair in facts["agreement"]:
        between = " and ".join(pair["between"])
        kappa = "not defined" if pair["kappa"] is None else f"{pair['kappa']:.2f}"
        alike = f"{pair['equal'] or 0:.0%} of {pair['comparisons']} comparisons alike"
        print(f"{between}: {alike}, Cohen's kappa {kappa}")
    print(f"read by {facts['people']} people and {facts['models']} models")


def _params() -> Params:
    """Return params.yaml, completed."""
    completion = sections.complete()
    params = typed.load(text=completion.text)
    completion.write()
    return params


def _ranking(name: str) -> tuple[Params, Verdicts]:
    """Return (params, the ranking `name`); ParamsError if it is not one by verdicts."""
    params = _params()
    _known(params.rankings, "RANKING", name)
    row = params.rankings[name]
    if not isinstance(row, Verdicts):
        raise ParamsError(f"RANKING={name}: rankings.{name}.kind is {row.kind}; verdicts are for kind verdicts.")
    return params, row


def _known(rows: object, key: str, name: str) -> None:
    names = list(rows) if isinstance(rows, dict) else []
    if name not in names:
        raise ParamsError(f"{key}={name}: params.yaml has no such row{suggestion(name, names)}")


def _samples(params: Params, name: str) -> list[Sampled]:
    """Return the samples `name`, brought up to date."""
    for problem in samples.problems_of_samples(params, name):
        raise ParamsError(f"params.yaml: {problem}")
    with Screen() as screen, only_one(), keeping() as keeper:
        screen.keep_log(LOGS / f"judge-{name}.log")
        bring_up_to_date(f"sample@{name}", screen, keeper)
    return sampled.read(paths.sampled(name))


def main() -> None:
    """`python -m flows.judge judge pairs`."""
    parser = argparse.ArgumentParser(prog="python -m flows.judge", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("judge", "sheet", "sheet-in"):
        commands.add_parser(name).add_argument("ranking", help="a row of `rankings` in params.yaml, of kind verdicts")
    filled = commands.choices["sheet-in"]
    filled.add_argument("file", type=Path, help="the sheet that was filled in")
    filled.add_argument("reader", help="who read it")
    filled.add_argument("--model", action="store_true", help="the reader is a model, and no person")
    revised = commands.add_parser("constitutional")
    revised.add_argument("samples", help="a row of `samples` in params.yaml")
    revised.add_argument("principles", type=Path, help="a YAML file with the list `principles`")
    stated = commands.add_parser("confidence")
    stated.add_argument("samples", help="a row of `samples` in params.yaml")
    stated.add_argument("--about", default="", help="columns that make an answer right, with commas; all by default")
    options = parser.parse_args()
    work = {
        "judge": lambda: judge(options.ranking),
        "sheet": lambda: write_sheet(options.ranking),
        "sheet-in": lambda: read_sheet(
            options.ranking, options.file, Reader("model" if options.model else "person", options.reader)
        ),
        "confidence": lambda: state_confidence(options.samples, [*filter(None, options.about.split(","))]),
        "constitutional": lambda: revise(options.samples, options.principles),
    }
    sys.exit(edge.guarded(work[options.command]))


if __name__ == "__main__":
    main()
