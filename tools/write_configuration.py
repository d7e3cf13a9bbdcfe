"""Writes the tables of options in docs/configuration.md and docs/zh/configuration.md from default_config.yaml.

A test fails where the pages differ from the file.
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from src.common.options import Option, read_options  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
BEGIN = "<!-- options: written by tools/write_configuration.py -->"
HEADS = {
    "docs/configuration.md": ("option", "default", "accepted", "meaning"),
    "docs/zh/configuration.md": ("选项", "默认值", "可取的值", "含义（英文，同 default_config.yaml）"),
}


def table(options: list[Option], head: tuple[str, ...]) -> str:
    """The options as Markdown tables, one for each group."""
    lines, group = [], None
    for option in options:
        if option.group != group:
            group = option.group
            lines += ["", f"### {group}", "", f"| {' | '.join(head)} |", "|---|---|---|---|"]
        accepted = ", ".join(f"`{choice}`" for choice in option.choices) if option.choices else option.expected()
        cells = (f"`{option.name}`", f"`{option.default!r}`" if option.default != "" else "empty", accepted,
                 " ".join(option.help.split()))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def page(path: str) -> str:
    """The whole page as it has to be: what stands before the mark, and the tables."""
    text = (ROOT / path).read_text("utf-8")
    before = text.split(BEGIN)[0]
    options = read_options(ROOT / "default_config.yaml")
    return before + BEGIN + "\n" + table(list(options.values()), HEADS[path])


def main() -> None:
    """Writes both pages."""
    if len(sys.argv) > 1:
        sys.exit(__doc__)
    for path in HEADS:
        (ROOT / path).write_text(page(path), "utf-8")
        print(f"written: {path}")


if __name__ == "__main__":
    main()
