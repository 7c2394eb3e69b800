"""The command line. The files `*_commands` of `service.commands` and `service.demo` have the commands and options.

Each command imports its code when it runs. No import at the top of these files may import torch, numpy or Pillow, so
that `latentedge --help` answers at once.
A failure that the user can correct is reported as one line on stderr, with exit code 2 (`service.commands.failure`).
"""

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Annotated

import typer
from typer.exceptions import TyperException

from service.commands import codec_commands, edge_commands, operator_commands, study_commands
from service.commands.failure import USER_ERROR, CommandFailure, complain
from service.commands.settings_help import SettingsCommand
from service.demo import demo_commands
from service.metrics.release import read_version

app = typer.Typer(
    name="latentedge",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def print_version(asked: bool) -> None:  # noqa: FBT001  (typer calls it with the option's value)
    """Print the version and exit if `--version` was given (`asked`)."""
    if asked:
        typer.echo(f"latentedge {read_version()}")
        raise typer.Exit


@app.callback()
def read_common_options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """A picture cache that keeps one learned latent per picture and decodes every size of it on demand."""


app.command()(codec_commands.encode)
app.command()(codec_commands.decode)
app.command()(codec_commands.info)
app.command()(codec_commands.evaluate)
app.command()(codec_commands.train)
app.command()(codec_commands.pack)
app.command(cls=SettingsCommand)(edge_commands.serve)
app.command(cls=SettingsCommand)(edge_commands.refine)
app.command()(edge_commands.purge)
app.command()(edge_commands.sign)
app.command()(edge_commands.origin)
app.command(cls=SettingsCommand)(operator_commands.check)
app.command()(operator_commands.warm)
app.command()(operator_commands.top)
app.command()(demo_commands.demo)
app.command("demo-photos")(demo_commands.demo_photos)

study = typer.Typer(no_args_is_help=True, help="Compare kinds of networks on your own pictures.")
study.command("autoencoders")(study_commands.autoencoders)
app.add_typer(study, name="study")
data = typer.Typer(no_args_is_help=True, help="Look at training pictures.")
data.command("check")(study_commands.check)
app.add_typer(data, name="data")


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code. `arguments` defaults to those of the process."""
    try:
        code = app(args=arguments, prog_name="latentedge", standalone_mode=False)
    except CommandFailure as failure:
        complain(str(failure))
        return USER_ERROR
    except TyperException as error:  # the arguments are invalid
        if message := error.format_message():  # no message means that no command was given, and the help was printed
            complain(f"latentedge: {message}")
        return USER_ERROR
    except (KeyboardInterrupt, typer.Abort):
        return 128 + signal.SIGINT
    return code if isinstance(code, int) else 0


def main() -> None:
    # OpenMP reads this variable when torch is first imported, here or in a child process. By default its threads spin
    # while they wait, and take the cores from working threads. On two busy cores, an encode then took 3.4 s instead of
    # 0.2 s (measured).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    signal.signal(signal.SIGTERM, _leave)
    sys.exit(run())


def _leave(signal_number: int, _frame: FrameType | None) -> None:
    """Raise SystemExit on SIGTERM, so that `finally` blocks remove temporary files and stop child processes."""
    raise SystemExit(128 + signal_number)
