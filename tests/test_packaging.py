"""The package as it is shipped: source distribution, wheel, uninstalled checkout, extras, and light imports."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOT_SHIPPED = shutil.ignore_patterns(
    ".git", ".venv*", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info", "build", "dist", "downloads",
    "quickstart-*",
)  # fmt: skip
EXTRAS = {"cuda12", "cuda13", "io", "plot", "ann", "hub", "map", "tensorboard", "ray", "test", "bench", "fuzz"}


def python(code, *, cwd, path=None):
    """Run Python code away from the checkout, with ``path`` before all installed packages; returns its output."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the checkout, so that building leaves nothing behind in the real one."""
    folder = tmp_path_factory.mktemp("checkout") / "w2v"
    shutil.copytree(ROOT, folder, ignore=NOT_SHIPPED)
    return folder


@pytest.fixture(scope="module")
def sdist(checkout, tmp_path_factory):
    """The source distribution, built offline."""
    out = tmp_path_factory.mktemp("sdist")
    python(f"from setuptools import build_meta; build_meta.build_sdist({str(out)!r})", cwd=checkout)
    (archive,) = out.iterdir()
    return archive


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    """The wheel, built offline from the unpacked source distribution, as pip would."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        # The safe filter came with the last maintenance releases of Python 3.10 and 3.11.
        archive.extractall(source, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (folder,) = source.iterdir()
    python(f"from setuptools import build_meta; build_meta.build_wheel({str(out)!r})", cwd=folder)
    (archive,) = out.iterdir()
    return archive


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder with nothing but the installed wheel."""
    target = tmp_path_factory.mktemp("installed")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--target",
        target,
        wheel,
    ]
    subprocess.run(command, check=True, cwd=target)
    return target


@pytest.fixture(scope="module")
def metadata(wheel):
    """The wheel's metadata."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode("utf-8"))


def test_wheel_holds_the_kernels_inside_the_package_and_no_other_top_level_name(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"w2v"}
    shipped = {name.removeprefix("w2v/kernels/") for name in names if name.startswith("w2v/kernels/")}
    kernels = {path.name for path in (ROOT / "kernels").iterdir() if path.suffix in {".py", ".cu", ".cuh", ".md"}}
    assert shipped == kernels


def test_wheel_holds_every_module_and_page_of_the_package(wheel):
    suffixes = (".py", ".html", ".css", ".js")
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if name.startswith("w2v/") and name.endswith(suffixes)}
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "w2v").rglob("*") if path.suffix in suffixes}
    assert {name for name in shipped if not name.startswith("w2v/kernels/")} == files


def test_sdist_holds_what_the_tests_need(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"setup.py", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "data/README.md", ".ci/run"}
    wanted |= {"scripts/quickstart", "scripts/test", "scripts/environment.sh", "scripts/fetch_data"}
    wanted |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.py")}
    assert wanted <= names
    assert not any("__pycache__" in name or "downloads" in name for name in names)


def test_the_installed_wheel_imports_its_own_kernels(installed, tmp_path):
    code = "import w2v, w2v.kernels; print(w2v.__file__); print(w2v.kernels.__file__)"
    files = python(code, cwd=tmp_path, path=installed).splitlines()
    assert files == [str(installed / "w2v" / "__init__.py"), str(installed / "w2v" / "kernels" / "__init__.py")]


def test_the_command_and_the_module_answer(installed, tmp_path, metadata):
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    for command in ([installed / "bin" / "w2v"], [sys.executable, "-m", "w2v"]):
        done = subprocess.run(
            [*command, "--version"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        assert metadata["Version"] in done.stdout


def test_an_uninstalled_checkout_imports_its_kernels(checkout, tmp_path):
    code = "import w2v, w2v.kernels; print(w2v.__file__); print(w2v.kernels.__file__)"
    files = python(code, cwd=tmp_path, path=checkout).splitlines()
    assert files == [str(checkout / "w2v" / "__init__.py"), str(checkout / "kernels" / "__init__.py")]


def test_metadata_says_what_users_and_indexes_read(metadata):
    assert metadata["Name"] == "w2v"
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License"] == "MIT" or metadata["License-Expression"] == "MIT"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert (ROOT / "README.md").read_text("utf-8").strip() in metadata.get_payload()


def test_extras_are_the_documented_ones(metadata):
    assert set(metadata.get_all("Provides-Extra")) == EXTRAS
    for document in ("README.md", "data/README.md", "CHANGELOG.md"):
        for named in re.findall(r"w2v\[([\w,]+)\]", (ROOT / document).read_text("utf-8")):
            assert set(named.split(",")) <= EXTRAS, document


def test_errors_about_missing_packages_name_an_extra_that_has_them(metadata):
    """Every ``require(module, extra, …)`` in the package names an extra that exists."""
    extras = []
    for path in sorted((ROOT / "w2v").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "require":
                extras += [a.value for a in node.args[1:2] if isinstance(a, ast.Constant)]
    assert extras
    assert set(extras) <= EXTRAS


def test_kernels_import_nothing_from_the_package():
    for path in sorted((ROOT / "kernels").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                assert not any(alias.name.partition(".")[0] == "w2v" for alias in node.names), path.name
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                source = node.module
                assert source.partition(".")[0] != "w2v" or source.startswith("w2v.kernels"), path.name
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 1, path.name


HEAVY = "numpy numba llvmlite scipy tqdm smart_open zstandard matplotlib safetensors cupy"


@pytest.mark.parametrize(
    ("module", "unwanted"), [("w2v", f"{HEAVY} click"), ("w2v.errors", f"{HEAVY} click"), ("w2v.cli", HEAVY)]
)
def test_imports_bring_nothing_heavy(module, unwanted, tmp_path):
    code = f"import sys, {module}; print(*(set({unwanted.split()!r}) & set(sys.modules)))"
    assert python(code, cwd=tmp_path, path=ROOT) == ""
