"""The shell scripts, in isolation from the network: which Python, which CUDA extra, which environment."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHELL_SCRIPTS = ["scripts/quickstart", "scripts/test", ".ci/run"]

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="the scripts need bash")


def executable(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def shell(command, path=None, **variables):
    """Run a bash command after scripts/environment.sh; ``path`` holds fake commands and hides all real ones."""
    folders = os.environ["PATH"] if path is None else str(path)
    environment = {"PATH": folders, "ROOT": str(ROOT), **variables}
    return subprocess.run(
        [shutil.which("bash"), "-c", f'set -euo pipefail; . "{ROOT}/scripts/environment.sh"; {command}'],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip


@pytest.fixture
def fakes(tmp_path):
    """A folder for fake commands, with the few real ones that the scripts rely on."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("basename", "cat", "cksum", "grep", "head", "mkdir", "rm", "sed", "tr"):
        (folder / name).symlink_to(shutil.which(name))
    return folder


def fake_python(path, version):
    """A command that answers as a Python of that version would to the scripts' questions."""
    real = f'exec "{sys.executable}" -c "import sys, platform; V = {version!r}; platform.python_version = lambda: V'
    text = f"""#!/bin/sh
{real}; sys.version_info = tuple(map(int, V.split('.'))); exec(sys.argv[1])" "$2"
"""
    return executable(path, text)


@pytest.mark.parametrize("script", SHELL_SCRIPTS)
def test_scripts_are_executable_bash_without_syntax_errors(script):
    path = ROOT / script
    assert os.access(path, os.X_OK)
    assert path.read_text().startswith("#!/usr/bin/env bash\n")
    subprocess.run(["bash", "-n", path], check=True)


def test_continuous_integration_runs_the_test_script_and_nothing_else(tmp_path):
    for name in ("checkout/.ci", "checkout/scripts", "shared/corpora"):
        (tmp_path / name).mkdir(parents=True)
    shutil.copy2(ROOT / ".ci" / "run", tmp_path / "checkout" / ".ci" / "run")
    executable(
        tmp_path / "checkout" / "scripts" / "test",
        '#!/bin/sh\necho "$*|${W2V_TEST_CORPORA-unset}|${W2V_TEST_EVALUATION-unset}"\nexit 7\n',
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("W2V_TEST_")}
    done = subprocess.run(
        [tmp_path / "checkout" / ".ci" / "run", "-k", "x"],
        env=environment, cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 7
    assert done.stdout == f"-k x|{tmp_path}/checkout/../shared/corpora|unset\n"


def test_the_first_recent_python_is_found(fakes):
    fake_python(fakes / "python3", "3.9.6")
    fake_python(fakes / "python3.12", "3.12.1")
    fake_python(fakes / "python3.10", "3.10.4")
    assert shell('find_python; echo "$PYTHON"', fakes).stdout == "python3.12\n"


def test_python_as_named_is_used(fakes, tmp_path):
    fake_python(fakes / "python3", "3.13.0")
    named = fake_python(tmp_path / "my python", "3.10.0")
    assert shell('find_python; echo "$PYTHON"', fakes, PYTHON=str(named)).stdout == f"{named}\n"


@pytest.mark.parametrize(
    ("installed", "named", "message"),
    [
        ("3.9.6", None, "needs Python 3.10 or newer, and python3 is 3.9.6"),
        (None, None, "needs Python 3.10 or newer, and there is no python3"),
        ("3.12.0", "3.9.18", "is Python 3.9.18: give the path of a Python 3.10 or newer"),
        ("3.12.0", "absent", "does not run: give the path of a Python 3.10 or newer"),
    ],
)
def test_no_recent_python_is_one_line(fakes, tmp_path, installed, named, message):
    if installed:
        fake_python(fakes / "python3", installed)
    if named and named != "absent":
        fake_python(tmp_path / "named", named)
    variables = {"PYTHON": str(tmp_path / "named")} if named else {}
    done = shell("find_python", fakes, **variables)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("header", "extra"),
    [
        ("| NVIDIA-SMI 550.54.15    Driver Version: 550.54.15     CUDA Version: 12.4     |", "cuda12"),
        ("| NVIDIA-SMI 580.65.06    Driver Version: 580.65.06     CUDA Version: 13.0     |", "cuda13"),
        ("| NVIDIA-SMI 470.82.01    Driver Version: 470.82.01     CUDA Version: 11.4     |", ""),
        ("| NVIDIA-SMI 550.54.15    Driver Version: 550.54.15     CUDA Version: N/A      |", ""),
    ],
)
def test_the_extra_follows_the_driver(fakes, header, extra):
    executable(
        fakes / "nvidia-smi", f'#!/bin/sh\n[ "$1" = -L ] && echo "GPU 0: NVIDIA H200 (UUID: x)" || echo "{header}"\n'
    )
    done = shell("cuda_extra", fakes)
    assert (done.returncode, done.stdout.strip()) == (0, extra)


def test_no_extra_without_a_gpu(fakes):
    assert (shell("cuda_extra", fakes).returncode, shell("cuda_extra", fakes).stdout) == (0, "")
    executable(fakes / "nvidia-smi", "#!/bin/sh\necho 'NVIDIA-SMI has failed' && exit 9\n")
    assert (shell("cuda_extra", fakes).returncode, shell("cuda_extra", fakes).stdout) == (0, "")


# A stand-in for the real work on an environment, which counts how often it is done.
FAKE_WORK = """
    create_environment() { echo created; mkdir -p "$1/bin"; }
    install_project() {
        echo "installed[$2]"
        printf '#!/bin/sh\\n' >"$1/bin/w2v"
        chmod +x "$1/bin/w2v"
    }
"""


def make(folder, extra="", before=":"):
    command = f'{FAKE_WORK} {before}; make_environment "{folder}" "{extra}"; echo "reused=$ENVIRONMENT_REUSED"'
    return shell(command, PYTHON=sys.executable)


def test_an_environment_is_reused_until_something_changes(tmp_path):
    folder = tmp_path / "a folder" / "environment"
    assert make(folder).stdout.split() == ["created", "installed[]", "reused=no"]
    assert make(folder).stdout.split() == ["reused=yes"]
    assert make(folder, extra="cuda13").stdout.split() == ["created", "installed[cuda13]", "reused=no"]
    (folder / "bin" / "w2v").unlink()
    assert make(folder, extra="cuda13").stdout.split() == ["created", "installed[cuda13]", "reused=no"]


def test_an_unfinished_environment_is_made_again(tmp_path):
    folder = tmp_path / "environment"
    broken = make(folder, before="install_project() { touch $1/rest; exit 1; }")
    assert broken.returncode == 1
    assert make(folder).stdout.split() == ["created", "installed[]", "reused=no"]
    assert not (folder / "rest").exists()


def test_an_environment_of_the_users_own_is_added_to_and_not_removed(tmp_path):
    folder = tmp_path / "environment"
    executable(folder / "bin" / "python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    assert make(folder).stdout.split() == ["installed[]", "reused=no"]
    assert (folder / "bin" / "python").exists()


def test_a_folder_that_is_no_environment_is_left_alone(tmp_path):
    (tmp_path / "environment").mkdir()
    done = make(tmp_path / "environment")
    assert done.returncode == 1
    assert "move it away" in done.stderr
    assert list((tmp_path / "environment").iterdir()) == []


def test_a_python_that_cannot_make_environments_is_one_line_of_advice(fakes, tmp_path):
    # Debian without python3-venv: ensurepip is missing, and so is pip here.
    real = fakes / "python3"
    executable(
        real,
        f"""#!/bin/sh
case "$1 $2" in
    "-c import ensurepip, venv") exit 1 ;;
    "-m venv"|"-m pip") exit 1 ;;
esac
exec "{sys.executable}" "$@"
""",
    )
    done = shell(f'find_python; create_environment "{tmp_path}/environment"', fakes)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert done.returncode == 1
    assert f"apt install python{version}-venv" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_failed_installation_shows_why_in_a_few_lines(tmp_path):
    executable(
        tmp_path / "environment" / "bin" / "python",
        '#!/bin/sh\n[ "$3" = --version ] && exit 0\necho noise\necho "ERROR: no such thing" >&2\nexit 1\n',
    )
    done = shell(f'install_project "{tmp_path}/environment" test')
    assert done.returncode == 1
    assert done.stdout == ""
    first, last = done.stderr.splitlines()
    assert first == "ERROR: no such thing"
    assert f"{tmp_path}/environment/install.log" in last


def test_quickstart_prints_neighbours_that_make_sense(tmp_path):
    """The whole script but the installation: a corpus out of this interpreter's docstrings, training, queries."""
    environment = Path(sys.prefix)
    if not (environment / "bin" / "w2v").exists():
        pytest.skip(f"w2v is not installed in {environment}")
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    done = subprocess.run(
        [tmp_path / "scripts" / "quickstart"],
        env={**os.environ, "W2V_ENVIRONMENT": str(environment)}, cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lists = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.startswith("     ")}
    assert len(lists["float"]) == len(lists["list"]) == 8
    assert {"int", "integer"} & set(lists["float"])
    assert {"tuple", "sequence"} & set(lists["list"])
    assert (tmp_path / "quickstart-model" / "config.json").exists()
    assert "quickstart-model" in done.stdout.splitlines()[-4]


def test_quickstart_wants_w2v_where_it_is_said_to_be(tmp_path):
    done = subprocess.run(
        [ROOT / "scripts" / "quickstart"],
        env={**os.environ, "W2V_ENVIRONMENT": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"quickstart: W2V_ENVIRONMENT={tmp_path} has no bin/w2v: install w2v there, or unset it\n"
