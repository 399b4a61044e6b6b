"""`completion`: what a shell has to be told so that Tab completes commands, options and files."""

import click

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_HOTSPARE_COMPLETE"
"""By which the shell asks for completions."""


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print what lets SHELL complete commands by Tab."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    root = click.get_current_context().find_root().command
    one = found(root, {}, "hotspare", VARIABLE)
    # Not by `source()`: for bash that starts one and complains where it is old; whoever asks has chosen.
    script = one.source_template % one.source_vars()
    # Click's zsh script, where it is loaded from a folder, does nothing at the second Tab of a shell: by then it is a
    # function that is not being loaded any more.
    click.echo(script.replace("$zsh_eval_context[-1] == loadautofunc", "$funcstack[1] == _hotspare"))
