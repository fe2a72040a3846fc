"""`kvbook doctor`: what a machine needs for the book, looked up one by one."""

import importlib.metadata
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import typer
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from rich.markup import escape
from rich.table import Table

from kvbook.chapters.browser import find_chromium
from kvbook.chapters.fonts import find_chinese_font
from kvbook.commands.terminal import out
from kvbook.errors import BrowserError
from kvbook.places import REPOSITORY


@dataclass(frozen=True)
class Check:
    """One line of the doctor's table."""

    what: str
    state: Literal["ok", "warn", "fail"]
    found: str
    advice: str = ""


def doctor() -> None:
    """Is everything there? Python, packages, models, number format, disk, fonts."""
    table = Table("", "what", "found", "what to do")
    marks = {"ok": "[green]ok[/]", "warn": "[yellow]look[/]", "fail": "[red]no[/]"}
    results = list(checks())
    for check in results:
        table.add_row(marks[check.state], check.what, escape(check.found), escape(check.advice))
    out.print(table)
    if any(check.state == "fail" for check in results):
        raise typer.Exit(1)


def checks() -> Iterator[Check]:
    """All checks, cheap ones first. They change nothing; the number format is measured if it never
    was."""
    wanted = importlib.metadata.metadata("kvbook")["Requires-Python"]
    found = platform.python_version()
    right = SpecifierSet(wanted).contains(found, prereleases=True)
    advice = "" if right else f"the lock is for Python {wanted}"
    yield Check("Python", "ok" if right else "warn", found, advice)
    yield _packages()
    yield from _models()
    yield _number_format()
    yield _disk()
    yield _font()
    yield _browser()
    yield _llamacpp()


def locked() -> dict[str, str]:
    """Names and versions of ``requirements.lock``, of what this Python and system need."""
    lines = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8").splitlines()
    needed = [Requirement(line) for line in lines if line and not line.startswith("#")]
    here = [one for one in needed if one.marker is None or one.marker.evaluate()]
    return {one.name: str(one.specifier).removeprefix("==") for one in here}


def _packages() -> Check:
    try:
        wanted = locked()
    except FileNotFoundError:
        return Check(
            "packages", "warn", "no requirements.lock here", "run from a clone of the repository"
        )
    off = []
    for name, version in wanted.items():
        try:
            have = importlib.metadata.version(name).split("+")[0]
        except importlib.metadata.PackageNotFoundError:
            have = "missing"
        if have != version:
            off.append(f"{name} {have}, locked {version}")
    if off:
        advice = "delete .venv/.ready, then make test"
        return Check("packages", "fail", "; ".join(off[:4]), advice)
    return Check("packages", "ok", f"{len(wanted)} as locked")


def _models() -> Iterator[Check]:
    from kvbook.lm.encoder import WHEEL
    from kvbook.lm.models import SMOLLM2

    for what, wheel in (("embedded model", SMOLLM2), ("embedded encoder", WHEEL)):
        if wheel.ready:
            yield Check(what, "ok", f"in {wheel.home}")
        else:
            yield Check(what, "warn", f"not yet in {wheel.home}", "it is fetched when first used")


def _browser() -> Check:
    try:
        return Check("browser", "ok", find_chromium())
    except BrowserError as error:
        return Check("browser", "warn", "none, for `make pdf` and `make browser` only", str(error))


def _llamacpp() -> Check:
    from kvbook.ondevice import find_llamacpp

    python = find_llamacpp()
    if python:
        return Check("llama.cpp", "ok", f"in {python.parent.parent}")
    return Check("llama.cpp", "warn", "none, for the chapter On the device only", "make llamacpp")


def _number_format() -> Check:
    from kvbook.lm.number_format import find_number_format

    return Check("number format", "ok", str(find_number_format()))


def _disk() -> Check:
    free = shutil.disk_usage(REPOSITORY).free / 1e9
    if free < 3:
        return Check(
            "disk", "warn", f"{free:.1f} GB free", "free 3 GB: packages and model need them"
        )
    return Check("disk", "ok", f"{free:.0f} GB free")


def _font() -> Check:
    if found := find_chinese_font():
        return Check("Chinese font", "ok", found)
    return Check(
        "Chinese font",
        "warn",
        "none found",
        "only the look of Chinese, and kvbook-zh.pdf: install a Noto CJK font",
    )
