"""What `mkdocs build` adds to the pages: each task's key metrics, and links from option names.

On a page `<!-- task: KEY -->` becomes a task's row of the table of tasks. README files beside the data and the
configurations become pages. An option's name in code is linked to its row.
"""

import functools
import re
from pathlib import Path

from mkdocs.structure.files import File

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.tasks.task import TASKS

ROOT = Path(__file__).resolve().parents[1]
OPTIONS_PAGE = "options.md"
# Page of the site -> the file of the repository that it shows
BORROWED = {"configs.md": "configs/README.md", "datasets.md": "datasets/README.md"}
RECIPES = {"make train": "mini_R_18_FPN.yaml", "full size": "e2e_multitask_R_50_FPN_1x.yaml"}

_CODE = re.compile(r"<(a|pre|h[1-6])\b.*?</\1>|<code>([A-Z][A-Z0-9_.]*)(?: [^<]*)?</code>", re.DOTALL)
_ROW = re.compile(r"<tr>\s*<td><code>((?:\w+\.)*)(\w+)</code></td>")


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
        for group in re.findall(r"^### (.+)$", markdown, re.MULTILINE):  # MODEL has options in two sections
            markdown = markdown.replace(f"\n### {group}\n", f"\n### {group} {{#{group}}}\n", 1)
    return markdown


def on_page_content(content, page, config, files):
    """Link every option that a page names to its row, which is named after the option."""
    if page.file.src_uri == OPTIONS_PAGE:
        content = content.replace("<table>", '<table class="options">')
        return _ROW.sub(r'<tr id="\1\2"><td><code><span class="group">\1</span>\2</code></td>', content)
    target = files.get_file_from_path(OPTIONS_PAGE).url_relative_to(page.file)

    def link(found):
        name = found[2]
        return f'<a href="{target}#{name}">{found[0]}</a>' if name in _linkable() else found[0]

    return _CODE.sub(link, content)


def task_table(task):
    """HTML table of a task's row: its switch, losses, headline metric, and its weight in the recipes."""
    name = task.key.upper()
    weighted = f"<code>MULTITASK.LOSS_WEIGHTS.{name}</code>: "
    weights = {"default": default_cfg, **{title: _recipe(file) for title, file in RECIPES.items()}}
    if task.losses:
        weighted += ", ".join(f"{title} {node.MULTITASK.LOSS_WEIGHTS[name]:g}" for title, node in weights.items())
    alone = ", ".join(f"<code>configs/detail/{file.name}</code>" for file in _alone(task))
    rows = {
        "key": f"<code>{task.key}</code>",
        "switch": f"<code>MODEL.{task.switch}</code>",
        "losses": ", ".join(f"<code>{loss}</code>" for loss in task.losses) or "none: it is derived",
        "weight": weighted if task.losses else "",
        "headline metric": task.headline,
        "alone": alone,
    }
    cells = "".join(f"<tr><th>{title}</th><td>{value}</td></tr>" for title, value in rows.items())
    return f'<table class="task">{cells}</table>\n'


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
