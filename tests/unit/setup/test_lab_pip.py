"""pip as lab.py runs it: which of the user's settings reach it, and what is said when it fails."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from labkit import NotDone, environment, pip, venv as private

INSIDE = pip.INSIDE
FILES = """\
global.cert='/etc/ssl/company.pem'
global.extra-index-url='https://one.example/simple\\nhttps://two.example/simple'
global.index-url='https://index.example/simple'
global.quiet='3'
global.target='/home/student/packages'
global.trusted-host='index.example'
install.constraint='/home/student/constraints.txt'
install.index-url='https://class.example/simple'
install.no-deps='true'
install.user='true'
list.format='columns'
For variant 'user', will try loading '/home/student/.config/pip/pip.conf'
""".splitlines()


def test_only_how_to_get_at_packages_reaches_pip():
    outer = {"PATH": "/bin", "PIP_USER": "1", "PIP_TARGET": "t", "PIP_PREFIX": "p", "PIP_ROOT": "r", "PIP_REQUIRE_VIRTUALENV": "1",
             "PIP_NO_DEPS": "1", "PIP_DRY_RUN": "1", "PIP_ONLY_BINARY": ":none:", "PIP_REQUIREMENT": "x", "PIP_CONFIG_FILE": "f",
             "PIP_PROXY": "http://proxy.example:3128", "PIP_CERT": "/mine.pem", "PYTHONPATH": "/ros", "HTTPS_PROXY": "http://p"}
    assert pip.settings(outer, FILES) == {
        "PATH": "/bin", "HTTPS_PROXY": "http://p", "PYTHONNOUSERSITE": "1", "PYTHONUTF8": "1",
        "PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_NO_COLOR": "1",
        "PIP_PROXY": "http://proxy.example:3128", "PIP_CERT": "/mine.pem", "PIP_INDEX_URL": "https://class.example/simple",
        "PIP_EXTRA_INDEX_URL": "https://one.example/simple https://two.example/simple", "PIP_TRUSTED_HOST": "index.example"}


def test_a_real_pip_tells_what_the_users_file_says(tmp_path, monkeypatch):
    """Even when that file silences pip, sends packages elsewhere and demands a virtual environment."""
    file = tmp_path / "pip.conf"
    file.write_text("[global]\nquiet = 3\nindex-url = https://index.example/simple\nrequire-virtualenv = true\n"
                    "[install]\nuser = true\ntarget = /elsewhere\n")
    outer = {**os.environ, "PIP_CONFIG_FILE": str(file), "PIP_QUIET": "3", "PIP_USER": "1"}
    outer.pop("PIP_INDEX_URL", None)

    def run(command, inner):
        answer = subprocess.run([sys.executable, "-I", "-m", *command[command.index("pip"):]], env=inner, capture_output=True, text=True)
        return answer.returncode, answer.stdout.splitlines()
    inner = pip.user_settings("python", "venv", outer, run)
    assert inner["PIP_INDEX_URL"] == "https://index.example/simple"
    assert not {"PIP_USER", "PIP_TARGET", "PIP_QUIET", "PIP_REQUIRE_VIRTUALENV"} & set(inner)


def test_settings_that_pip_cannot_read_are_named():
    with pytest.raises(NotDone, match="pip cannot read its settings: ERROR: Configuration file contains invalid syntax"):
        pip.user_settings("python", "venv", {}, lambda *_: (1, ["ERROR: Configuration file contains invalid syntax", ""]))


@pytest.mark.parametrize("lines, said", [
    (["WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(...)': /simple/numpy/",
      "ERROR: Could not find a version that satisfies the requirement numpy==2 (from versions: none)",
      "ERROR: No matching distribution found for numpy==2"], "could not fetch them; check the network"),
    (["ERROR: HTTP error 503 while getting https://index.example/numpy.whl"], "check the network"),
    (["pip._vendor.urllib3.exceptions.ReadTimeoutError: Read timed out."], "check the network"),
    (["ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"], "the disk is full"),
    (["OSError: [Errno 122] Disk quota exceeded"], "the disk is full, or your share of it"),
    (["WARNING: Retrying after connection broken by 'SSLError(SSLCertVerificationError(1, "
      "'[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed'))'"], "PIP_CERT=FILE"),
    (["ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE."], "its hash differs"),
    (["WARNING: Retrying after connection broken by 'ReadTimeoutError'",
      "ERROR: Could not find a version that satisfies the requirement numpy==9 (from versions: 1.0, 2.0)",
      "ERROR: No matching distribution found for numpy==9"], "the package index has no numpy==9 for Python %d.%d" % sys.version_info[:2]),
    (["  error: subprocess-exited-with-error", "ERROR: Failed building wheel for pyzmq"], "pyzmq is not ready-made for Python"),
    (["ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: '/shared/vmio/.venv'"],
     "you may not write to /shared/vmio/.venv"),
    (["WARNING: Retrying (Retry(total=4)) after connection broken by 'ReadTimeoutError'", "Collecting numpy",
      "ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: '/x'"], "you may not write to /x"),
    (["WARNING: Retrying after connection broken by 'NewConnectionError(': [Errno 13] Permission denied')': /simple/numpy/",
      "ERROR: Could not find a version that satisfies the requirement numpy==2 (from versions: none)",
      "ERROR: No matching distribution found for numpy==2"], "check the network"),
    (["OSError: [Errno 30] Read-only file system: '/cd/x'"], "you may not write to /cd/x"),
    (["ERROR: Exception:", "Traceback", "ERROR: Can not perform a '--user' install."], "ERROR: Can not perform a '--user' install. (exit code 3)"),
    ([], "it said nothing (exit code 3)"),
])
def test_the_network_is_blamed_only_when_it_was(lines, said):
    answer = pip.reason(lines, 3, "/x/.venv.new-1")
    assert said in answer and ("network and run" in answer) == ("check the network" in said)


@pytest.mark.parametrize("wheels, end", [(None, "such a Python."), ("/stick", "such a Python, or make the folder again with this one.")])
def test_a_package_for_newer_pythons(wheels, end):
    lines = ["ERROR: Package 'soupsieve' requires a different Python: 3.11.2 not in '>=3.11.5'"]
    assert pip.reason(lines, 1, "/x/.venv", wheels) == "soupsieve needs Python >=3.11.5, and this is 3.11.2. Run lab.py with " + end


def test_a_folder_of_wheels_that_lacks_one(tmp_path):
    lines = ["ERROR: Could not find a version that satisfies the requirement numpy==2 (from versions: none)",
             "ERROR: No matching distribution found for numpy==2"]
    answer = pip.reason(lines, 1, "/x/.venv", "/stick/wheels")
    assert answer.startswith("/stick/wheels has no numpy==2 for Python") and "check the network" not in answer


def test_pip_runs_in_no_other_python(tmp_path):
    """Not even if its venv stops being one between two looks: a Python without pyvenv.cfg is the user's own."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    python = private.python_of(str(venv))
    command = pip.inside(python, str(venv), "pip") + ["install", "nothing"]
    other = tmp_path / "other"
    other.mkdir()
    wrong = subprocess.run(pip.inside(python, str(other), "pip") + ["install"], capture_output=True, text=True, stdin=subprocess.PIPE)
    (venv / "pyvenv.cfg").unlink()
    gone = subprocess.run(command, capture_output=True, text=True)
    for answer in (wrong, gone):
        assert answer.returncode == 1 and "nothing was done" in answer.stderr + answer.stdout and "pip" not in answer.stdout


@pytest.mark.parametrize("folder", ["Übung 1", "naïve \U0001f600", "it's 100% \"mine\""])
@pytest.mark.parametrize("locale", ["C", "POSIX", "en_US.ISO-8859-1", ""])
def test_vmio_is_found_in_any_folder_and_locale(tmp_path, folder, locale):
    """Python 3.11 and 3.12 read .pth files in the locale's encoding, so there is nothing but ASCII in ours."""
    root = tmp_path / folder
    try:
        (root / "vmio").mkdir(parents=True)
    except OSError:
        pytest.skip("no such names here")
    (root / "vmio" / "__init__.py").write_text("")
    venv = root / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    python = private.python_of(str(venv))
    subprocess.run(pip.inside(python, str(venv), "finish"), check=True)
    packages = next(venv.glob("[Ll]ib/**/site-packages"))
    assert (packages / "vmio.pth").read_bytes().isascii()
    inner = {**environment.without_foreign(os.environ), "LC_ALL": locale, "LANG": locale}
    for utf8 in ("0", "1"):
        answer = subprocess.run([python, "-c", "import os, vmio; print(ascii(os.fsencode(vmio.__file__)))"], cwd=tmp_path,
                                env={**inner, "PYTHONUTF8": utf8}, capture_output=True, text=True)
        assert answer.stdout.strip() == ascii(os.fsencode(str(root / "vmio" / "__init__.py"))), answer.stderr


def test_progress_counts_what_is_there(tmp_path, capsys):
    progress = pip.Progress(str(tmp_path))
    for line in ("Collecting numpy==2", "  Downloading numpy.whl (16 MB)", "Collecting simpy"):
        progress.heard(line)
    progress.show()
    assert capsys.readouterr().out.endswith("s: 2 packages found\n")
    progress.heard("Installing collected packages: numpy, simpy, zmq")
    record = tmp_path / "lib" / "python3" / "site-packages" / "numpy.dist-info"
    record.mkdir(parents=True)
    (record / "RECORD").write_text("")
    progress.show()
    assert capsys.readouterr().out.endswith("s: 1 of 3 packages installed\n")


def test_sysconfig_names_the_folder_that_progress_looks_into():
    scheme = "nt_venv" if os.name == "nt" else "posix_venv"
    assert Path(sysconfig.get_path("purelib", scheme, {"base": "venv"})).parts[1] in ("lib", "Lib")
