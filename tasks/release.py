"""`make promote` and `make rollback`: move the aliases by hand and serve what they say."""

import sys
from pathlib import Path

from tasks import params as settings
from tasks import register
from tasks.deploy import deploy, is_served
from tasks.errors import AnnealError
from tasks.stage import guarded


def promote(model: str, force: bool) -> None:
    """Deploy @challenger and make it the champion; a version that the gate refused needs `FORCE=1`."""
    params = settings.load()
    settings.model_of(params, model)
    challenger = register.alias(model, "challenger")
    if challenger is None:
        raise AnnealError(f"{model} has no @challenger to promote: `make pipeline MODEL={model}` makes one.")
    if challenger.tags.get("gate") != "passed" and not force:
        raise AnnealError(
            f"{model} version {challenger.version} was refused by the gate ({challenger.tags.get('gate_reasons', 'no reasons kept')}); "
            f"`make promote MODEL={model} FORCE=1` promotes it all the same."
        )
    _serve(params, model, challenger)
    register.promote(challenger)
    _say(model)


def rollback(model: str) -> None:
    """Deploy @previous and make it the champion again."""
    params = settings.load()
    settings.model_of(params, model)
    previous = register.alias(model, "previous")
    if previous is None:
        raise AnnealError(f"{model} has no @previous version to roll back to.")
    _serve(params, model, previous)
    register.roll_back(model)
    _say(model)


def _serve(params: settings.Params, model: str, version: register.Version) -> None:
    if not is_served(version, params.deploy):
        deploy(version, Path(f"models/{params.models[model].parent}/weights"), params.deploy, params.servers)


def _say(model: str) -> None:
    for which, version in register.aliases(model).items():
        print(f"@{which:<11} {model} version {version}")


if __name__ == "__main__":
    what, name, *rest = sys.argv[1:]
    sys.exit(guarded((lambda: promote(name, "force" in rest)) if what == "promote" else lambda: rollback(name)))
