"""The checks of ``lint``: each turns what one tool says into issues."""
