"""Groups of commands that tell what a mistyped word may have meant."""

import click


class HelpfulGroup(click.Group):
    """A group of commands that names those that are like a word that it does not have."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command. Raises UsageError, with what may have been meant, where there is none."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            like = self._like(str(args[0]))
            # Newer releases of click tell the like of this group by themselves.
            if not like or "Did you mean" in error.format_message():
                raise
            raise click.UsageError(f"{error.message.rstrip('.')}. Did you mean: {', '.join(like)}?", ctx) from None

    def _like(self, word: str) -> list[str]:
        from difflib import get_close_matches

        if word == "help":
            return ["--help"]
        known = {name: name for name in self.commands}
        for name, command in self.commands.items():
            # `hotspare tail` is `alarm tail`.
            for inner in command.commands if isinstance(command, click.Group) else ():
                known.setdefault(inner, f"{name} {inner}")
        exact = [whole for inner, whole in known.items() if inner == word]
        return exact or [known[found] for found in get_close_matches(word, known, n=3, cutoff=0.7)]
