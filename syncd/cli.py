"""The verbs. Errors become exit codes here and nowhere else."""


def main() -> None:
    """Run the command line."""
