"""pip in the private Python: how it is run, which of the user's settings it takes, and why it failed, in a sentence."""

import ast
import glob
import os
import platform
import re
import sys
import tempfile
import time

from labkit import NotDone, environment
from labkit.child import Every

INSIDE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inside.py")
SETTING = re.compile(r"^(?:global|install)\.([a-z-]+)=(['\"].*)$")
OFFLINE = "Where there is no network, `python3 lab.py --wheels DIR` takes the packages from a folder (README says how to make one)."

FULL = r"Errno 28\b|No space left|WinError 112\b|Errno 122\b|[Qq]uota exceeded"
ALTERED = r"DO NOT MATCH THE HASHES|[Hh]ash mismatch|HashMismatch"
UNTRUSTED = r"CERTIFICATE_VERIFY_FAILED|certificate verify failed"
UNREACHED = (r"NewConnectionError|Failed to establish a new connection|[Nn]ame ?[Rr]esolution|getaddrinfo failed|"
             r"Name or service not known|ConnectTimeout|ReadTimeout|timed out|ProxyError|Connection (refused|broken|reset|aborted)|"
             r"Network is unreachable|No route to host|Max retries exceeded|SSLError|IncompleteRead|RemoteDisconnected|"
             r"HTTP error \d+|HTTPError|\d{3} (Client|Server) Error")
MISSING = r"No matching distribution found for ([^\s;]+)"
UNBUILT = r"Failed (?:building wheel for|to build) ['\"]?([\w.-]+)"
OTHER_PYTHON = r"Package '([^']+)' requires a different Python: (\S+) not in '([^']+)'"
UNPREPARED = r"metadata-generation-failed|subprocess-exited-with-error"
FORBIDDEN = r"(?:Errno (?:13|1|30)\b|WinError 5\b|Permission denied|Read-only file system)(?:[^'\"]*['\"]([^'\"]+)['\"])?"


def inside(python, venv, what):
    """Return a command of the private Python; no variable and no folder of the user's leads it elsewhere."""
    return [python, "-I", "-X", "utf8", INSIDE, venv, what]


def settings(outer, lines):
    """Return pip's environment: how to get at packages as the user says in variables and (`lines`) in files, no file, nothing else."""
    inner = environment.without_foreign(outer)
    for line in lines:
        match = SETTING.match(line)
        if match and match.group(1) in environment.PIP_KEPT:
            inner[environment.pip_name(match.group(1))] = " ".join(ast.literal_eval(match.group(2)).split())
    inner.update(environment.kept_pip_settings(outer))
    inner.update(PIP_CONFIG_FILE=os.devnull, PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1", PIP_NO_COLOR="1")
    return inner


def user_settings(python, venv, outer, run):
    """Return pip's environment after asking pip itself what the user's files say; raises NotDone when it can't read them."""
    asking = environment.without_foreign(outer)
    if "PIP_CONFIG_FILE" in outer:
        asking["PIP_CONFIG_FILE"] = outer["PIP_CONFIG_FILE"]
    # Four times -v: a file that says `quiet = 3` would silence the answer.
    code, lines = run(inside(python, venv, "pip") + ["config", "list", "-vvvv"], asking)
    if code:
        raise NotDone("pip cannot read its settings: %s" % last_words(lines))
    return settings(outer, lines)


def install(python, venv, files, outer, run, wheels=None, more=()):
    """Install what requirements files list; raises NotDone with the reason.  `wheels` is a folder that replaces the network."""
    inner = user_settings(python, venv, outer, run)
    command = inside(python, venv, "pip") + ["install", "--no-compile", "--progress-bar", "off"] + list(more)
    if wheels:
        for name in ("INDEX_URL", "PYPI_URL", "EXTRA_INDEX_URL", "FIND_LINKS"):
            inner.pop("PIP_" + name, None)
        command += ["--no-index", "--find-links", wheels]
    for file in files:
        command += ["-r", file]
    progress = Progress(venv)
    with Every(progress.pause, progress.show):
        code, lines = run(command, inner, progress.heard)
    progress.end()
    if code:
        sys.stderr.write("\n".join(lines[-12:]) + "\n")
        raise NotDone("the packages were not installed: " + reason(lines, code, venv, wheels))


def last_words(lines):
    """Return the last error that a program printed, or its last line."""
    errors = [line for line in lines if re.match(r"\s*(ERROR|Error|error)\b", line)]
    return (errors or [line for line in lines if line.strip()] or ["it said nothing"])[-1].strip()


def reason(lines, code, folder, wheels=None):
    """Return why pip or venv failed and what helps, from what it printed."""
    text = "\n".join(lines)
    final = "\n".join(line for line in lines if "Retrying" not in line)  # what pip tried again may have come at last
    here = "Python %d.%d on %s %s" % (sys.version_info[0], sys.version_info[1], platform.system(), platform.machine())
    other = "Run lab.py with another Python, such as: python3.12 lab.py"
    missing = re.search(MISSING, text)
    if re.search(FULL, text):
        return ("the disk is full, or your share of it. Make room for 1 GB in %s and in %s, and run it again."
                % (os.path.dirname(folder), tempfile.gettempdir()))
    if re.search(ALTERED, text):
        return ("what came is not the package that was asked for (its hash differs), so something on the way changes or cuts "
                "downloads. Run it again; if that doesn't help, choose another index with PIP_INDEX_URL.")
    if re.search(UNTRUSTED, text):
        return ("the package index's certificate is not trusted here. If a proxy of your network looks into connections, "
                "name its certificate: PIP_CERT=FILE python3 lab.py")
    different = re.search(OTHER_PYTHON, text)
    if different:
        return ("%s needs Python %s, and this is %s. Run lab.py with such a Python%s."
                % (different.group(1), different.group(3), different.group(2), ", or make the folder again with this one" if wheels else ""))
    if missing and wheels:
        return ("%s has no %s for %s. Make the folder again with `python3 lab.py wheels DIR`, by the same version of Python on "
                "the same kind of computer." % (wheels, missing.group(1), here))
    if re.search(UNREACHED, final) or missing and "from versions: none" in text and re.search(UNREACHED, text):
        return "pip could not fetch them; check the network and run it again. " + OFFLINE
    if missing:
        return "the package index has no %s for %s. %s" % (missing.group(1), here, other)
    unbuilt = re.search(UNBUILT, text)
    if unbuilt or re.search(UNPREPARED, text):
        return "%s is not ready-made for %s, and building it failed. %s" % (unbuilt.group(1) if unbuilt else "one of them", here, other)
    forbidden = re.search(FORBIDDEN, final)
    if forbidden:
        return "you may not write to %s. Run lab.py in a copy of the folder that is your own." % (forbidden.group(1) or folder)
    return "%s (exit code %d)" % (last_words(lines), code)


class Progress:
    """Says how far pip is: a line that changes in a terminal, else a line every 15 seconds."""

    def __init__(self, venv):
        self.venv, self.begun, self.found, self.expected = venv, time.time(), 0, 0
        self.changing = sys.stdout.isatty()
        self.pause = 1 if self.changing else 15

    def heard(self, line):
        """Count what pip says that it found, and take from its plan how much it installs."""
        if line.startswith("Collecting "):
            self.found += 1
        elif line.startswith("Installing collected packages:"):
            self.expected = line.count(",") + 1

    def show(self):
        """Print where pip is now."""
        text = "%d packages found" % self.found
        if self.expected:
            there = len(glob.glob(os.path.join(glob.escape(self.venv), "[Ll]ib", "**", "*.dist-info", "RECORD"), recursive=True))
            text = "%d of %d packages installed" % (min(there, self.expected), self.expected)
        sys.stdout.write("%s  %3d s: %s%s" % (("\r", time.time() - self.begun, text, "   ") if self.changing
                                              else ("", time.time() - self.begun, text, "\n")))
        sys.stdout.flush()

    def end(self):
        """Leave the line that changes."""
        if self.changing:
            sys.stdout.write("\n")
