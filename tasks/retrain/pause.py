"""Whether retraining of a model is paused: used by the decision and shown on the dashboard."""

from sqlalchemy import Engine, select

from tasks.records.database import commands


def is_paused(engine: Engine, task: str) -> bool:
    """True if the newest `pause` or `resume` command is a pause."""
    pauses = (commands.c.task == task, commands.c.action.in_(("pause", "resume")))
    newest = select(commands.c.action).where(*pauses).order_by(commands.c.id.desc()).limit(1)
    with engine.connect() as connection:
        return connection.execute(newest).scalar() == "pause"
