"""What `mkdocs build` adds to the pages: the list of options, each task's key figures, and links from option names.

On a page `<!-- options -->` becomes the tables of every option, and `<!-- task: KEY -->` a task's row of the table of
tasks. README files beside the data and the configurations become pages. An option's name in code is linked to its row.
"""

import functools
import html
import itertools
import re
from pathlib import Path

from mkdocs.structure.files import File

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.config.options import show_default
from maskrcnn_benchmark.tasks.task import TASKS

ROOT = Path(__file__).resolve().parents[1]
OPTIONS_PAGE = "options.md"
# Page of the site -> the file of the repository that it shows
BORROWED = {"configs.md": "configs/README.md", "datasets.md": "datasets/README.md"}
RECIPES = {"make train": "mini_R_18_FPN.yaml", "full size": "e2e_multitask_R_50_FPN_1x.yaml"}

_CODE = re.compile(r"<(a|pre|h[1-6])\b.*?</\1>|<code>([A-Z][A-Z0-9_.]*)(?: [^<]*)?</code>", re.DOTALL)
_NAME_IN_COMMENT = re.compile(r"(?<![\w.])[A-Z][A-Z0-9]*(?:[._][A-Z0-9_]+)+\b")


def on_files(files, config):
    """Add the pages that show files outside docs/."""
    for page, source in BORROWED.items():
        text = (ROOT / source).read_text().replace("](../docs/", "](")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown, page, config, files):
    """Point links to the borrowed files at their pages, call pages by their titles, and fill the markers in."""
    up = "../" * page.file.src_uri.count("/")
    for name, source in BORROWED.items():
        markdown = re.sub(rf"\]\((?:\.\./)*{re.escape(source)}", f"]({up}{name}", markdown)
    titles = _titles(config.nav)
    markdown = re.sub(
        r"\[([\w./]+\.md)\]\(([\w/]+\.md)", lambda found: f"[{titles.get(found[2], found[1])}]({found[2]}", markdown
    )
    markdown = re.sub(r"<!-- task: (\w+) -->", lambda found: task_table(TASKS[found[1]]), markdown)
    if page.file.src_uri == OPTIONS_PAGE:
        markdown = markdown.replace("<!-- options -->", options_tables())
    return markdown


def on_page_content(content, page, config, files):
    """Link every option that a page names to its row."""
    if page.file.src_uri == OPTIONS_PAGE:
        return content
    target = files.get_file_from_path(OPTIONS_PAGE).url_relative_to(page.file)

    def link(found):
        name = found[2]
        return f'<a href="{target}#{name}">{found[0]}</a>' if name in _linkable() else found[0]

    return _CODE.sub(link, content)


def options_tables():
    """Markdown of all options: a heading for each section and each group of options, and its table."""
    text, seen, sections = [], set(), {}
    for option in default_cfg.records():  # a task's options come after all others, and stand under the same headings
        sections.setdefault(option.section, []).append(option)
    for section, members in sections.items():
        text.append(f"## {section}\n")
        groups = {}
        for option in members:
            groups.setdefault(_group(option), []).append(option)
        for group, rows in groups.items():
            if group:
                anchor = "" if group in seen else f" {{#{group}}}"  # MODEL has options in two sections
                text.append(f"### {group}{anchor}\n")
            seen.add(group)
            text.append(_table(rows))
    return "\n".join(text)


def task_table(task):
    """HTML table of a task's row: its switch, losses, headline metric, and its weight in the recipes."""
    name = task.key.upper()
    weights = {"default": default_cfg, **{title: _recipe(file) for title, file in RECIPES.items()}}
    shown = ", ".join(f"{title} {node.MULTITASK.LOSS_WEIGHTS[name]:g}" for title, node in weights.items())
    alone = ", ".join(f"<code>configs/detail/{file.name}</code>" for file in _alone(task))
    rows = {
        "key": f"<code>{task.key}</code>",
        "switch": f"<code>MODEL.{task.switch}</code>",
        "losses": ", ".join(f"<code>{loss}</code>" for loss in task.losses),
        "weight": f"<code>MULTITASK.LOSS_WEIGHTS.{name}</code>: {shown}",
        "headline metric": task.headline,
        "alone": alone,
    }
    cells = "".join(f"<tr><th>{title}</th><td>{value}</td></tr>" for title, value in rows.items())
    return f'<table class="task">{cells}</table>\n'


def _table(rows):
    lines = [
        '<table class="options"><thead><tr><th>option</th><th>default</th><th>range</th><th></th></tr></thead><tbody>'
    ]
    for comment, alike in itertools.groupby(rows, lambda option: option.comment):
        alike = list(alike)
        for index, option in enumerate(alike):
            group, dot, name = option.key.rpartition(".")
            key = f'<code><span class="group">{group}{dot}</span>{name}</code>'
            value = f"<code>{html.escape(show_default(option.default))}</code>"
            values = html.escape(option.range.short, quote=False)
            words = f'<td rowspan="{len(alike)}">{_comment(comment)}</td>' if index == 0 else ""
            lines.append(f'<tr id="{option.key}"><td>{key}</td><td>{value}</td><td>{values}</td>{words}</tr>')
    return "\n".join([*lines, "</tbody></table>\n"])


def _comment(text):
    text = _NAME_IN_COMMENT.sub(r"<code>\g<0></code>", html.escape(text, quote=False))
    return re.sub(r"docs/(\w+)\.md", r'<a href="\1.html">\1</a>', text)


def _group(option):
    """The option's name without its last part, "" for one that stands alone."""
    return option.key.rpartition(".")[0]


@functools.cache
def _linkable():
    """Names that have a row or a heading on the page of options."""
    return {name for option in default_cfg.records() for name in (option.key, _group(option)) if name}


def _titles(nav):
    """{path: title} of the pages that a navigation gives a title."""
    found = {}
    for entry in nav:
        if isinstance(entry, dict):
            for title, place in entry.items():
                found.update(_titles(place) if isinstance(place, list) else {place: title})
    return found


def _recipe(file):
    node = default_cfg.clone()
    node.merge_from_file(ROOT / "configs" / "detail" / file)
    return node


def _alone(task):
    return sorted((ROOT / "configs" / "detail").glob(f"*_{task.key}_R_*.yaml"), reverse=True)
