"""The help of a command that reads settings from the environment: its options, and then a table of all settings."""

from typing import Any

from typer.core import TyperCommand


class SettingsCommand(TyperCommand):
    """A command whose help lists all settings. Only the help imports the settings, which takes 0.25 s (measured)."""

    def format_help(self, *arguments: Any) -> None:  # noqa: ANN401  (typer's argument types are not public)
        """Print the usual help of the command, then a table of all settings."""
        super().format_help(*arguments)
        _print_settings()


def _print_settings() -> None:
    from rich.console import Console
    from rich.table import Table

    from service.settings.edge_settings import table

    rows = Table("setting", "default", "what it is", box=None, padding=(0, 1), header_style="bold")
    rows.columns[0].no_wrap = True
    for row in table():
        rows.add_row(row.name, row.default, f"{row.help} ({row.unit})")
    Console().print(rows, markup=False, highlight=False)
