"""What memory is available: the system's, the control groups' and the process's own limits."""

import subprocess
import sys

import pytest

from w2v.host_memory import available_memory

MB = 1 << 20
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def machine(tmp_path):
    """A machine with 1000 MB available, whose files are in tmp_path."""
    write(
        tmp_path / "proc/meminfo", f"MemTotal:  9999999 kB\nMemAvailable:   {1000 * 1024} kB\nHugePages_Total:  0\n"
    )
    write(tmp_path / "proc/self/status", "Name:\tpython\nVmSize:\t  100 kB\nVmData:\t  50 kB\n")
    write(tmp_path / "proc/self/cgroup", "")
    return tmp_path


def group(root, path, limit, used, inactive=0, active=0, high="max"):
    """A control group of version 2, sizes in MB; a limit of None is none."""
    folder = root / "sys/fs/cgroup" / path
    write(folder / "memory.max", "max\n" if limit is None else f"{limit * MB}\n")
    write(folder / "memory.high", high if high == "max" else f"{high * MB}\n")
    write(folder / "memory.current", f"{used * MB}\n")
    write(folder / "memory.stat", f"anon 1\ninactive_file {inactive * MB}\nactive_file {active * MB}\n")


def group_v1(root, path, limit, used, inactive=0):
    """The same of version 1."""
    folder = root / "sys/fs/cgroup/memory" / path
    write(folder / "memory.limit_in_bytes", f"{limit}\n")
    write(folder / "memory.usage_in_bytes", f"{used * MB}\n")
    write(folder / "memory.stat", f"inactive_file 1\ntotal_inactive_file {inactive * MB}\ntotal_active_file 0\n")


def test_without_limits_the_system_decides(machine):
    assert available_memory(machine) == 1000 * MB


def test_the_least_of_the_groups_above_decides_and_cached_files_are_available(machine):
    write(machine / "proc/self/cgroup", "0::/user/work\n")
    group(machine, "user/work", None, 300)
    group(machine, "user", 600, 450, inactive=40, active=10)
    assert available_memory(machine) == 200 * MB
    group(machine, "user/work", 320, 300)
    assert available_memory(machine) == 20 * MB


def test_a_group_that_would_be_throttled_counts(machine):
    write(machine / "proc/self/cgroup", "0::/work\n")
    group(machine, "work", 900, 100, high=400)
    assert available_memory(machine) == 300 * MB


def test_a_group_beyond_its_limit_leaves_nothing(machine):
    write(machine / "proc/self/cgroup", "0::/work\n")
    group(machine, "work", 100, 120)
    assert available_memory(machine) == 0


def test_in_a_container_the_mount_is_the_own_group(machine):
    write(machine / "proc/self/cgroup", "5:cpu:/docker/abc\n4:memory:/docker/abc\n0::/\n")
    group_v1(machine, "", 700 * MB, 300, inactive=50)
    assert available_memory(machine) == 450 * MB


def test_version_1_with_other_controllers_and_no_limit(machine):
    write(machine / "proc/self/cgroup", "4:hugetlb,memory:/a/b\n3:memory_like:/c\n")
    group_v1(machine, "a/b", 9223372036854771712, 300)
    assert available_memory(machine) == 1000 * MB
    group_v1(machine, "a", 310 * MB, 300)
    group_v1(machine, "c", 1 * MB, 1)
    assert available_memory(machine) == 10 * MB


def test_both_versions_at_once(machine):
    write(machine / "proc/self/cgroup", "4:memory:/\n0::/work\n")
    group(machine, "unified/work", 80, 30)
    group_v1(machine, "", 90 * MB, 30)
    assert available_memory(machine) == 50 * MB


def test_a_damaged_group_says_nothing(machine):
    write(machine / "proc/self/cgroup", "0::/work\n")
    group(machine, "work", 100, 10)
    write(machine / "sys/fs/cgroup/work/memory.current", "")
    assert available_memory(machine) == 1000 * MB


@linux
@pytest.mark.parametrize("name", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_limits_of_the_process_count(name):
    code = (
        "import resource\nfrom w2v.host_memory import available_memory\n"
        "before = available_memory()\n"
        f"resource.setrlimit(resource.{name}, (600 << 20, 600 << 20))\n"
        "print(before, available_memory())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert 0 < after < 600 * MB
    assert after <= before


@linux
def test_this_machine_has_some():
    assert available_memory() > 0


def test_elsewhere_psutil_is_asked_and_without_it_nothing_is_known(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert available_memory(tmp_path) is None

    class Psutil:
        @staticmethod
        def virtual_memory():
            return type("Memory", (), {"available": 123 * MB})

    monkeypatch.setitem(sys.modules, "psutil", Psutil)
    assert available_memory(tmp_path) == 123 * MB
