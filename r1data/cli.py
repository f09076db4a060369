"""The command line: one app, its commands in the order data flows.

Each command builds one config and calls one function; libraries are imported inside, so that help
is quick. Results go to stdout, everything else to stderr. Exit codes: 0 fine, 1 error, 2 usage,
130 interrupted.
"""

from typing import Any

import typer
from typer.core import TyperGroup

from r1data.commands import data, models, runs

ORDER = (
    *("init", "problems", "decontaminate", "sample", "verify", "filter", "dedup", "select"),
    *("assemble", "train", "eval", "report", "publish", "run", "plan", "explain", "sql"),
    *("schema", "doctor"),
)


class InOrder(TyperGroup):
    """Lists the commands in the order data flows, groups of commands among the others."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands."""
        return list(ORDER)


app = typer.Typer(
    name="r1data",
    cls=InOrder,
    help="Data for reasoning models the DeepSeek-R1 way.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("init")(data.init)
app.add_typer(data.problems, name="problems")
app.command("decontaminate")(data.decontaminate)
app.command("sample")(data.sample)
app.command("verify")(data.verify)
app.command("filter")(data.filter_command)
app.command("dedup")(data.dedup)
app.command("select")(data.select)
app.command("assemble")(data.assemble)
app.add_typer(models.train, name="train")
app.command("eval")(models.evaluate)
app.command("report")(runs.report)
app.command("publish")(runs.publish)
app.command("run")(runs.run)
app.command("plan")(runs.plan)
app.command("explain")(runs.explain)
app.command("sql")(runs.sql)
app.command("schema")(runs.schema)
app.command("doctor")(runs.doctor)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
